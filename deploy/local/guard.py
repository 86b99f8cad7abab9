"""Ends a folder's services when the process that started them dies: `python -m deploy.local.guard FOLDER`.

It waits for the end of its standard input, which its parent holds open, and for another parent. If the
folder has an owner by then (the parent, ending in order, or its successor), it leaves all to that one.
"""

import os
import select
import signal
import sys
from pathlib import Path

from deploy.local.errors import AlreadyRunning
from deploy.local.instance import end_all, erase, owned


def main() -> None:
    """Watch, then end what is recorded in FOLDER; with --erase, delete its data too."""
    folder, erase_after = Path(sys.argv[1]), "--erase" in sys.argv[2:]
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    parent = os.getppid()
    # A process forked by the parent may hold the pipe open after it: look at the parent too.
    while os.getppid() == parent and not select.select([sys.stdin], [], [], 1.0)[0]:
        pass
    try:
        with owned(folder, patience=0):
            end_all(folder)
            if erase_after:
                erase(folder)
    except AlreadyRunning:
        return


if __name__ == "__main__":
    main()
