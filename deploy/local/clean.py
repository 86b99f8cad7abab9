"""Ends and deletes every private service of this folder, for `make clean`: `python -m deploy.local.clean`.

The database's data may be outside of the folder (see `postgres`), so removing the folder is not enough.
"""

import sys
from pathlib import Path

from deploy.local.errors import LocalError
from deploy.local.instance import end_all, erase, owned, say


def main() -> None:
    """Clean all below `.local`; exit 1 if something there belongs to a running process."""
    try:
        for lock in sorted(Path(".local").rglob("lock")):
            with owned(lock.parent, patience=5.0):
                end_all(lock.parent)
                erase(lock.parent)
    except LocalError as error:
        say(f"error ({error.code}): {error}")
        sys.exit(1)


if __name__ == "__main__":
    main()
