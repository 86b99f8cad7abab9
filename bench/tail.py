"""What is new in a node's store, read from its SQLite file: what an integrator could see, when it could.

The store's own times will not do: `received_at` is taken before the transaction is on disk, and `settled_at` is
the hub's time of the entry, not when its receipt was here. Asking the API every few milliseconds would cost the
agent more than what is measured. So the file is opened beside the agent, read-only, and asked every
millisecond whether anything was committed; only then is it read. A reader of a store in WAL mode keeps no writer
waiting.
"""

import sqlite3
from itertools import takewhile
from operator import itemgetter
from pathlib import Path
from typing import Final, Self

LOOK_S: Final = 0.001

# What stands before the large columns of a row is read without them.
_RECEIVED: Final = "select seq, id, true from inbox where seq > ? order by seq"
_ACCEPTED: Final = "select seq, id, state = 'accepted' from outbox where seq > ? order by seq"


class Tail:
    """Ids that come into a store after it was opened; each is told once, when it is done with."""

    def __init__(self, connection: sqlite3.Connection, table: str, query: str) -> None:
        self._connection = connection
        self._query = query
        # Up to here all are told.
        self._last = connection.execute(f"select coalesce(max(seq), 0) from {table}").fetchone()[0]  # noqa: S608 ours
        self._version = 0
        self._known: set[str] = set()

    @classmethod
    def received(cls, home: Path) -> Self:
        """What the node in `home` receives."""
        return cls(_open(home), "inbox", _RECEIVED)

    @classmethod
    def accepted(cls, home: Path) -> Self:
        """Those of the messages that the node in `home` sends for which it has taken in the hub's receipt."""
        return cls(_open(home), "outbox", _ACCEPTED)

    def new(self) -> list[str]:
        """What has come since the last call."""
        version = self._connection.execute("pragma data_version").fetchone()[0]
        if version == self._version:
            return []
        self._version = version
        rows = self._connection.execute(self._query, (self._last,)).fetchall()
        found = [id for _, id, done in rows if done and id not in self._known]
        self._known.update(found)
        self._last = max((seq for seq, _, _ in takewhile(itemgetter(2), rows)), default=self._last)
        return found

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()


def _open(home: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{home / 'node.db'}?mode=ro", uri=True, timeout=10)
