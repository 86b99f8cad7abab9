"""What cannot be understood, or not yet: put aside with the reason, and taken back once it can be."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import Connection

from nodes import store
from nodes.prepared import Prepared

# Put aside until the message named behind it is here.
AFTER: Final = "after "


@dataclass(frozen=True, slots=True)
class Aside:
    """Something put aside: its digest, AMQP type and bytes, and the id of what comes before it in its thread."""

    digest: bytes
    type: str
    content: bytes
    after: str


def put_aside(connection: Connection, thing: Aside, reason: str, at: int) -> None:
    """Keeps what could not be understood, once."""
    row = {"type": thing.type, "digest": thing.digest, "content": thing.content, "after": thing.after}
    connection.execute(insert(store.quarantine).values({**row, "reason": reason, "at": at}).on_conflict_do_nothing())


def put_aside_for(connection: Connection, reasons: Sequence[str], before: int, limit: int) -> list[bytes]:
    """Digests of what was put aside for one of these reasons before a time (ms), oldest first."""
    table = store.quarantine.c
    query = select(table.digest).where(table.reason.in_(reasons), table.at <= before).order_by(table.seq).limit(limit)
    return list(connection.execute(query).scalars())


def put_aside_after(connection: Connection, before: int, limit: int) -> list[bytes]:
    """Digests of what has waited since before a time (ms) for a message that comes earlier in its thread."""
    table = store.quarantine.c
    query = select(table.digest).where(_WAITS, table.at <= before).order_by(table.seq).limit(limit)
    return list(connection.execute(query).scalars())


# A range and not LIKE, for the index's sake.
_WAITS: Final = (store.quarantine.c.reason > AFTER) & (store.quarantine.c.reason < AFTER.rstrip() + "!")
_NEXT_IN_THREAD: Final = Prepared(
    select(store.quarantine.c.digest)
    .where(_WAITS, func.substr(store.quarantine.c.reason, len(AFTER) + 1).in_(select(store.inbox.c.id)))
    .order_by(store.quarantine.c.seq)
)


def next_in_thread(connection: Connection) -> list[bytes]:
    """Digests of what was put aside for want of a message that has come since, oldest first."""
    return [digest for (digest,) in _NEXT_IN_THREAD.all(connection)]


def aside(connection: Connection, digest: bytes) -> Aside:
    """One thing put aside."""
    table = store.quarantine.c
    row = connection.execute(select(table.type, table.content, table.after).where(table.digest == digest)).one()
    return Aside(digest, row.type, row.content, row.after)


def set_reason(connection: Connection, digest: bytes, reason: str) -> None:
    """It is still put aside, but by now for this reason."""
    connection.execute(update(store.quarantine).where(store.quarantine.c.digest == digest).values(reason=reason))


def take_back(connection: Connection, digest: bytes) -> None:
    """Forgets what was put aside: it has been understood since."""
    connection.execute(delete(store.quarantine).where(store.quarantine.c.digest == digest))
