"""Notices: what the hub's ledger says of deadlines, of this node's messages and of those it received.

reminded, escalated: `recipient` has not answered by the time asked for. expired: it did not take the message.
"""

from collections.abc import Sequence
from typing import Any

import structlog
from sqlalchemy import Row, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import Connection

from crypto.receipt import Proven
from nodes import store
from nodes.times import iso
from schemas.header import Header

log = structlog.get_logger()


def keep(connection: Connection, proven: Proven, node: str) -> bool:
    """Takes in a proven entry about a deadline. False if it fits no message sent or received here."""
    entry = proven.entry
    if entry.node != node and not _sent(connection, proven):
        return False
    row = {
        "id": str(entry.message),
        "sender": entry.sender or "",
        "recipient": entry.node,
        "event": str(entry.event),
        "at": entry.at,
        "ledger_index": proven.index,
    }
    if connection.execute(insert(store.notice).values(row).on_conflict_do_nothing()).rowcount:
        log.warning(str(entry.event), message=str(entry.message), recipient=entry.node)
    return True


def _sent(connection: Connection, proven: Proven) -> bool:
    entry, table = proven.entry, store.outbox.c
    known = select(table.header).where(table.id == str(entry.message), table.digest == entry.envelope)
    header = connection.scalar(known)
    return header is not None and entry.node in Header.from_bytes(header).recipients


def of(connection: Connection, id: str) -> list[dict[str, Any]]:
    """The notices about one message, in the order of the ledger."""
    table = store.notice
    rows = connection.execute(select(table).where(table.c.id == id).order_by(table.c.ledger_index))
    return [_described(row) for row in rows]


def listing(connection: Connection, after: int, limit: int) -> list[dict[str, Any]]:
    """Notices in the order in which they came, from behind `after` on."""
    table = store.notice
    rows = connection.execute(select(table).where(table.c.seq > after).order_by(table.c.seq).limit(limit))
    return [_described(row) for row in rows]


def _described(row: Row[Any]) -> dict[str, Any]:
    return {
        "seq": row.seq,
        "event": row.event,
        "message": row.id,
        "sender": row.sender,
        "recipient": row.recipient,
        "at": iso(row.at),
        "ledger_index": row.ledger_index,
    }


def answered(connection: Connection, questions: Sequence[str]) -> set[str]:
    """Which of these received messages one of ours answers that was not refused and has not expired."""
    reply, sent = store.answer.c, store.outbox.c
    stands = sent.state.not_in(("refused", "expired"))
    query = select(reply.question).join(store.outbox, (sent.id == reply.id) & stands)
    return set(connection.execute(query.where(reply.question.in_(questions))).scalars())
