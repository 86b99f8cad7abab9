"""Deadlines: who has not answered or taken a message in time, as signed entries of the ledger.

    reminded    three quarters of the time to `reply_by` are gone, and no reply by this recipient
    escalated   `reply_by` is past, and still none: the operators are to telephone
    expired     `expires` is past, and the recipient has not acknowledged the message

Each is an entry for one message and one recipient, and is told to sender and recipient. How far the clock has
been seen to is in the database (`deadline_progress`), advanced in the transaction that records what was due:
killed anywhere, nothing is missed and nothing told twice.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, bindparam, delete, text, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from crypto.log import log
from hub import ledger, rows, tables
from hub.held import OWED, hold
from hub.ledger import Ledger
from hub.publication import Owed, Untaken, bundles, delivery_id
from schemas.control import Entry, Event
from schemas.header import Header
from schemas.refusals import RefusalCode

# Messages of a pass, each with 64 recipients at most: the ledger is locked meanwhile.
PASS: Final = 32
_COLUMN: Final = {Event.REMINDED: "remind_at", Event.ESCALATED: "reply_by", Event.EXPIRED: "expires"}
# OFFSET 0 keeps PostgreSQL from joining with all messages and acknowledgements that there are: it looks each one up.
_NO_REPLY: Final = """
    NOT EXISTS (
        SELECT FROM message reply WHERE reply.in_reply_to = message.id AND reply.sender = recipient.node OFFSET 0)
    AND NOT EXISTS (
        SELECT FROM acknowledgement done WHERE done.sender = message.sender AND done.id = message.id
        AND done.recipient = recipient.node AND done.outcome = 'declined' OFFSET 0)
    AND NOT EXISTS (
        SELECT FROM deadline gone WHERE gone.id = message.id AND gone.recipient = recipient.node
        AND gone.event IN ('returned', 'handed_over') OFFSET 0)
"""
NOT_TAKEN: Final = """
    NOT EXISTS (
        SELECT FROM acknowledgement done WHERE done.sender = message.sender AND done.id = message.id
        AND done.recipient = recipient.node)
    AND NOT EXISTS (
        SELECT FROM deadline gone WHERE gone.id = message.id AND gone.recipient = recipient.node
        AND gone.event = 'returned')
"""
_BY_INDEX: Final = text("SET LOCAL enable_seqscan = off")
_LACKING: Final = {Event.REMINDED: _NO_REPLY, Event.ESCALATED: _NO_REPLY, Event.EXPIRED: NOT_TAKEN}


@dataclass(frozen=True, slots=True)
class DueTimes:
    """When the hub looks at a message again, ms; None for never."""

    expires: int
    remind_at: int | None
    reply_by: int | None


@dataclass(frozen=True, slots=True)
class Missed:
    """A recipient who has missed a deadline of a message."""

    sender: str
    id: UUID
    thread: UUID
    envelope: bytes
    recipient: str


def due_times(header: Header, recorded: int) -> DueTimes:
    """A message's deadlines, none before it is on record: `recorded` is when the ledger was locked, ms."""
    if header.reply_by is None:
        return DueTimes(max(header.expires, recorded + 1), None, None)
    reply_by = max(header.reply_by, recorded + 1)
    remind_at = recorded + (reply_by - recorded) * 3 // 4
    return DueTimes(max(header.expires, recorded + 1), max(remind_at, recorded + 1), reply_by)


async def is_due(connection: AsyncConnection) -> bool:
    """Whether `see_to` has anything to do; needs no lock."""
    now = time.time_ns() // 1_000_000
    return any([await _due(connection, event, now, limit=1) for event in _COLUMN])


async def see_to(connection: AsyncConnection, log_: Ledger) -> int:
    """Records some of what is due by now and keeps what is to be told about it; how many messages it looked at."""
    count = 0
    for event in _COLUMN:
        turn = await ledger.take_turn(connection)
        due = await _due(connection, event, turn.at, limit=PASS)
        if not due:
            continue
        missed = await _missed(connection, event, [row.id for row in due])
        if missed:
            await record(connection, log_, turn, event, missed)
        for item in missed:
            # Here, for a worker has a log. Commands that record what was missed say how much that was.
            log.warning(str(event), message=str(item.id), node=item.recipient, sender=item.sender)
        progress = tables.deadline_progress
        values = {"upto": due[-1].due, "leaf_index": due[-1].leaf_index}
        await connection.execute(update(progress).where(progress.c.event == str(event)).values(values))
        count += len(due)
    return count


async def _due(connection: AsyncConnection, event: Event, now: int, *, limit: int) -> Sequence[Any]:
    column = _COLUMN[event]
    query = f"""
        SELECT message.id, message.leaf_index, message.{column} AS due FROM message
        WHERE (message.{column}, message.leaf_index) > (
            (SELECT upto FROM deadline_progress WHERE event = :event),
            (SELECT leaf_index FROM deadline_progress WHERE event = :event)
        ) AND message.{column} <= :now
        ORDER BY message.{column}, message.leaf_index LIMIT :limit
    """  # noqa: S608 ours
    return (await connection.execute(text(query), {"event": str(event), "now": now, "limit": limit})).all()


async def _missed(connection: AsyncConnection, event: Event, ids: list[UUID]) -> list[Missed]:
    query = f"""
        SELECT message.sender, message.id, message.thread, message.envelope, recipient.node
        FROM message CROSS JOIN LATERAL unnest(message.recipients) AS recipient (node)
        WHERE message.id = ANY (:ids) AND {_LACKING[event]}
        ORDER BY message.leaf_index, recipient.node
    """  # noqa: S608 ours
    rows = await connection.execute(text(query).bindparams(bindparam("ids", type_=ARRAY(Uuid))), {"ids": ids})
    return [Missed(row.sender, row.id, row.thread, row.envelope, row.node) for row in rows]


async def record(
    connection: AsyncConnection,
    log_: Ledger,
    turn: ledger.Turn,
    event: Event,
    missed: Sequence[Missed],
    *,
    code: RefusalCode | None = None,
    detail: str | None = None,
    heir: str | None = None,
) -> None:
    """Records an event of messages for their recipients, and keeps what sender and recipient, or the heir, are told."""
    now = turn.at
    entries = [
        Entry(
            event=event,
            at=now,
            node=item.recipient,
            message=item.id,
            thread=item.thread,
            sender=item.sender,
            envelope=item.envelope,
            recipients=None if heir is None else (heir,),
            code=code,
            detail=detail,
        )
        for item in missed
    ]
    appended = await ledger.append(connection, log_, turn, entries)
    told = [
        (item.id, item.recipient, str(event), receipt.index, now)
        for item, receipt in zip(missed, appended.receipts, strict=True)
    ]
    await rows.insert(connection, {"deadline": told})
    if event in (Event.EXPIRED, Event.RETURNED):
        await _drop_held(connection, missed)
    owed = bundles(appended, [Owed((item.sender, heir or item.recipient)) for item in missed])
    await hold(connection, [Untaken(publication, OWED) for publication in owed], now, pause=0)


async def _drop_held(connection: AsyncConnection, missed: Sequence[Missed]) -> None:
    table = tables.held.c
    keys = [(item.recipient, delivery_id(item.sender, str(item.id), item.recipient)) for item in missed]
    await connection.execute(delete(tables.held).where(tuple_(table.node, table.message_id).in_(keys)))


async def owed_by(connection: AsyncConnection, node: str, now: int) -> list[Any]:
    """The messages with a deadline that this node has not answered, in the ledger's order, as rows of Missed."""
    query = f"""
        SELECT message.sender, message.id, message.thread, message.envelope, message.task_force, recipient.node
        FROM message CROSS JOIN LATERAL unnest(message.recipients) AS recipient (node)
        WHERE message.reply_by IS NOT NULL AND message.expires > :now AND recipient.node = :node AND {_NO_REPLY}
        ORDER BY message.leaf_index
    """  # noqa: S608 ours
    return list((await connection.execute(text(query), {"now": now, "node": node})).all())


async def waiting(connection: AsyncConnection, now: int, limit: int) -> list[dict[str, Any]]:
    """Questions with a deadline that somebody has not answered, the most urgent first; times in ms."""
    query = f"""
        SELECT message.id, message.sender, message.kind, message.task_force, message.reply_by, recipient.node,
            (SELECT array_agg(event ORDER BY at) FROM deadline
             WHERE deadline.id = message.id AND deadline.recipient = recipient.node) AS events
        FROM message CROSS JOIN LATERAL unnest(message.recipients) AS recipient (node)
        WHERE message.reply_by IS NOT NULL AND message.expires > :now AND {_NO_REPLY}
        ORDER BY message.reply_by, message.leaf_index, recipient.node LIMIT :limit
    """  # noqa: S608 ours
    return [dict(row._mapping) for row in await connection.execute(text(query), {"now": now, "limit": limit})]


async def escalated(connection: AsyncConnection, now: int) -> int:
    """How many recipients owe an answer whose time is past, in a transaction. Reads the questions not yet expired."""
    query = f"""
        SELECT count(*) FROM message CROSS JOIN LATERAL unnest(message.recipients) AS recipient (node)
        WHERE message.reply_by <= :now AND message.expires > :now AND {_NO_REPLY}
    """  # noqa: S608 ours
    # A worker's plan is made without knowing the time: half of all questions might be open, for all that it knows.
    await connection.execute(_BY_INDEX)
    return int(await connection.scalar(text(query), {"now": now}) or 0)
