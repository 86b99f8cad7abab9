"""Ends a folder's services when the process that started them dies: `python -m deploy.local.guard FOLDER`.

It waits for its standard input, which its parent holds open: a word there means that the parent ended
everything itself; the end of it, or another parent, means that the parent died. If the folder has a new
owner by then, that one clears up.
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
    while os.getppid() == parent:
        if select.select([sys.stdin], [], [], 1.0)[0]:
            if os.read(sys.stdin.fileno(), 1):
                return
            break
    try:
        # The kernel may release the dead parent's lock a moment after it closed the pipe.
        with owned(folder, patience=5.0):
            end_all(folder)
            if erase_after:
                erase(folder)
    except AlreadyRunning:
        return


if __name__ == "__main__":
    main()
