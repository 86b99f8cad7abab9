"""Ends and deletes every private service of this folder, for `make clean`: `python -m deploy.local.clean`.

The database's data may be outside of the folder (see `postgres`), so removing the folder is not enough.
"""

import sys

from deploy.local.errors import LocalError
from deploy.local.instance import REPOSITORY, discard, say
from deploy.local.services import stop


def main() -> None:
    """Clean all below `.local`; exit 1 if something there belongs to a running process."""
    try:
        for lock in sorted((REPOSITORY / ".local").rglob("lock")):
            stop(lock.parent)
            discard(lock.parent)
    except LocalError as error:
        say(f"error ({error.code}): {error}")
        sys.exit(1)


if __name__ == "__main__":
    main()
