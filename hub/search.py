"""Finding entries of the ledger, by message, thread, node, task force, time and event. Reads only.

An entry itself is opaque to the database; what it is found by stands in the tables that are written with it, one for
each kind of event. So a search is one question to these, newest first, and the entries of a page are read by index.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Select,
    Table,
    Text,
    Uuid,
    any_,
    literal,
    literal_column,
    null,
    or_,
    select,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from crypto.trust import RosterKeys
from hub import registrar, tables
from hub.errors import NodeUnknown
from hub.watch import iso
from schemas.control import Entry, Event
from schemas.participants import CENTRE, PARTICIPANTS


@dataclass(frozen=True, slots=True)
class Sought:
    """Which entries: None stands for any. Times are in milliseconds, from `since` on and before `until`.

    `before` is a ledger index to go on from. `node` is anybody who has to do with it: who acted, sent, or is to get it.
    """

    id: UUID | None = None
    thread: UUID | None = None
    node: str | None = None
    task_force: str | None = None
    event: str | None = None
    since: int | None = None
    until: int | None = None
    before: int | None = None
    limit: int = 50


async def check_node(connection: AsyncConnection, node: str, hub: RosterKeys) -> None:
    """Raises NodeUnknown unless it is in the roster, the hub itself, or a participant, who may have been in it."""
    roster = await registrar.current(connection, hub)
    known = sorted({CENTRE, *(found.node for found in roster.nodes)})
    if node not in known and node not in PARTICIPANTS:
        raise NodeUnknown(f"--node: there is no node {node!r}", f"name one of {', '.join(known)}")


async def search(connection: AsyncConnection, sought: Sought) -> list[dict[str, Any]]:
    """The entries, newest first, at most `limit`."""
    found = union_all(*_questions(sought)).subquery()
    query = select(found).order_by(found.c.leaf_index.desc()).limit(sought.limit)
    rows = (await connection.execute(query)).all()
    contents = await _contents(connection, [row.leaf_index for row in rows])
    return [_described(row, contents.get(row.leaf_index)) for row in rows]


async def _contents(connection: AsyncConnection, indices: Sequence[int]) -> dict[int, bytes]:
    table = tables.ledger_content.c
    rows = await connection.execute(select(table.leaf_index, table.entry).where(table.leaf_index.in_(indices)))
    return {row.leaf_index: row.entry for row in rows}


def _described(row: Any, data: bytes | None) -> dict[str, Any]:
    known = {"index": row.leaf_index, "event": row.event, "at": iso(row.at)}
    if data is None:
        return known | {"erased": True}
    entry = Entry.from_bytes(data)
    fields = {
        "node": entry.node,
        "message": entry.message,
        "thread": row.thread,
        "sender": entry.sender,
        "recipients": entry.recipients and list(entry.recipients),
        "task_force": row.task_force,
        "kind": entry.kind,
        "code": entry.code,
        "detail": entry.detail,
        "envelope": entry.envelope and entry.envelope.hex(),
        "evidence": entry.evidence and entry.evidence.hex(),
    }
    texts = (str, list)
    return known | {
        name: value if isinstance(value, texts) else str(value) for name, value in fields.items() if value is not None
    }


@dataclass(frozen=True, slots=True)
class _Table:
    """Where entries of some events stand, and which columns answer what; None where they do not say it."""

    events: frozenset[Event]
    source: Any
    index: ColumnElement[int]
    at: ColumnElement[int]
    event: ColumnElement[str]
    nodes: tuple[ColumnElement[str], ...]
    recipients: ColumnElement[Any] | None = None
    id: ColumnElement[UUID] | None = None
    thread: ColumnElement[UUID] | None = None
    task_force: ColumnElement[str] | None = None


def _of_one(event: Event, table: Table, *nodes: ColumnElement[str], **more: ColumnElement[Any]) -> _Table:
    """A table of one event only."""
    return _Table(frozenset({event}), table, table.c.leaf_index, table.c.at, literal(str(event)), nodes, **more)


_MISSED: Final = frozenset({Event.REMINDED, Event.ESCALATED, Event.EXPIRED, Event.RETURNED, Event.HANDED_OVER})


def _tables() -> Iterator[_Table]:
    message, done, late = tables.message.c, tables.acknowledgement.c, tables.deadline.c
    decided, centre = tables.quarantine_decision.c, literal(str(CENTRE))
    yield _of_one(
        *(Event.ACCEPTED, tables.message, message.sender),
        recipients=message.recipients,
        id=message.id,
        thread=message.thread,
        task_force=message.task_force,
    )
    yield _of_one(Event.REFUSED, tables.refusal, tables.refusal.c.node, id=tables.refusal.c.message)
    yield _of_one(Event.QUARANTINED, tables.quarantine, tables.quarantine.c.node)
    yield _of_one(Event.ROSTER, tables.roster, centre)
    yield _of_one(Event.HANDOVER, tables.handover, centre)
    ordered = tables.membership_order.c
    yield _of_one(
        *(Event.MEMBERSHIP, tables.membership_order, ordered.node, ordered.subject), task_force=ordered.task_force
    )
    # What became of a message has no thread or task force of its own: these are the message's.
    answered = tables.message.join(tables.acknowledgement, (done.sender == message.sender) & (done.id == message.id))
    yield _Table(
        *(frozenset({Event.DELIVERED, Event.DECLINED}), answered, done.leaf_index, done.at, done.outcome),
        *((done.recipient, done.sender), None, done.id, message.thread, message.task_force),
    )
    missed = tables.message.join(tables.deadline, late.id == message.id)
    yield _Table(
        *(_MISSED, missed, late.leaf_index, late.at, late.event),
        *((late.recipient, message.sender), None, late.id, message.thread, message.task_force),
    )
    acts, act = frozenset({Event.SUSPENDED, Event.REINSTATED, Event.REVOKED, Event.REMOVED}), tables.node_act.c
    yield _Table(acts, tables.node_act, act.leaf_index, act.at, act.act, (act.node, centre))
    yield _Table(
        *(frozenset({Event.RELEASED, Event.DISCARDED}), tables.quarantine_decision, decided.leaf_index, decided.at),
        *(decided.decision, (decided.node, centre)),
    )
    for event in (Event.ERASED, Event.OPERATOR):
        # Written out, so that PostgreSQL sees that its index of such entries will do.
        said = tables.ledger_content.c.event == literal_column(f"'{event}'")
        found = select(tables.ledger_content).where(said).subquery(f"entries_{event}")
        yield _Table(frozenset({event}), found, found.c.leaf_index, found.c.at, found.c.event, (centre,))


_TABLES: Final = tuple(_tables())


def _questions(sought: Sought) -> Iterator[Select[Any]]:
    """One for each table that may have something of it."""
    for table in _TABLES:
        asked = ((sought.id, table.id), (sought.thread, table.thread), (sought.task_force, table.task_force))
        if any(value is not None and column is None for value, column in asked):
            continue
        if sought.event is not None and sought.event not in table.events:
            continue
        columns = (
            table.index.label("leaf_index"),
            table.event.label("event"),
            table.at.label("at"),
            (null().cast(Uuid) if table.thread is None else table.thread).label("thread"),
            (null().cast(Text) if table.task_force is None else table.task_force).label("task_force"),
        )
        query = select(*columns).select_from(table.source).where(*_conditions(table, sought))
        # Each cut short by itself, so that the database need not sort all of them together.
        yield select(query.order_by(table.index.desc()).limit(sought.limit).subquery())


def _conditions(table: _Table, sought: Sought) -> Iterator[ColumnElement[bool]]:
    for column, value in ((table.id, sought.id), (table.thread, sought.thread), (table.task_force, sought.task_force)):
        if column is not None and value is not None:
            yield column == value
    if sought.event is not None:
        yield table.event == sought.event
    if sought.node is not None:
        among = [] if table.recipients is None else [literal(sought.node) == any_(table.recipients)]
        yield or_(*(column == sought.node for column in table.nodes), *among)
    if sought.since is not None:
        yield table.at >= sought.since
    if sought.until is not None:
        yield table.at < sought.until
    if sought.before is not None:
        yield table.index < sought.before
