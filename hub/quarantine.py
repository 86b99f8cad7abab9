"""The quarantine: what could not be read, kept until an operator decides.

Released, it is judged anew, as if it had just arrived; discarded, its content is deleted. Either is an entry of
the ledger, with who decided and why. What it said is never shown.
"""

import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, and_, delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from crypto.trust import Trust
from hub import ledger, rows, tables
from hub.errors import MessageUnknown, QuarantineDecided, StillUnreadable
from hub.held import OWED, hold
from hub.judge import Acceptable, Arrival, Ordered, Refusable, Unreadable, Verdict, judge
from hub.ledger import DETAIL_SIZE, Ledger
from hub.publication import Untaken
from hub.record import record
from hub.watch import iso
from schemas.control import Entry, Event
from schemas.participants import CENTRE


@dataclass(frozen=True, slots=True)
class Decision:
    """An operator's word: who, and why."""

    operator: str
    reason: str


@dataclass(frozen=True, slots=True)
class _Kept:
    node: str
    digest: bytes
    type: str
    content: bytes | None


async def listing(
    connection: AsyncConnection, limit: int, *, decided: bool, index: int | None = None
) -> list[dict[str, Any]]:
    """What is in quarantine, newest first; with `decided` also what was released or discarded. Never its content."""
    query = _query().order_by(tables.quarantine.c.leaf_index.desc()).limit(limit)
    if not decided:
        query = query.where(tables.quarantine_decision.c.decision.is_(None))
    if index is not None:
        query = query.where(tables.quarantine.c.leaf_index == index)
    return [
        {
            "index": row.leaf_index,
            "at": iso(row.at),
            "node": row.node,
            "type": row.type,
            "reason": row.reason,
            "size": row.size,
            "digest": row.digest.hex(),
            "decision": row.decision,
            "decided_by": row.operator,
            "decided_because": row.because,
        }
        for row in await connection.execute(query)
    ]


async def release(connection: AsyncConnection, log: Ledger, trust: Trust, index: int, decision: Decision) -> Verdict:
    """Judges it anew and records what comes of it, in the caller's transaction.

    Raises MessageUnknown, QuarantineDecided, and StillUnreadable, with which nothing is changed.
    """
    turn = await ledger.take_turn(connection)
    kept = await _undecided(connection, index)
    if kept.content is None:
        raise QuarantineDecided(f"of {index} only the digest was kept", "ask its sender to send it again")
    now = time.time_ns() // 1_000_000
    verdict = judge(Arrival(kept.node, kept.type, kept.content, 0), trust, now)
    if isinstance(verdict, Unreadable):
        raise StillUnreadable(f"{index} cannot be read today either: {verdict.reason}", "discard it, or keep it")
    await _decide(connection, log, turn, kept, Event.RELEASED, decision, now)
    recorded = await record(connection, log, [verdict], now)
    await hold(connection, [Untaken(item, OWED) for item in recorded.publications], now, pause=0)
    return verdict


async def discard(connection: AsyncConnection, log: Ledger, index: int, decision: Decision) -> None:
    """Deletes the content, in the caller's transaction; the record stays. Raises MessageUnknown, QuarantineDecided."""
    turn = await ledger.take_turn(connection)
    kept = await _undecided(connection, index)
    await _decide(connection, log, turn, kept, Event.DISCARDED, decision, time.time_ns() // 1_000_000)


def outcome(verdict: Verdict) -> str:
    """In a word, what a released thing was judged to be."""
    if isinstance(verdict, Acceptable):
        return "accepted"
    if isinstance(verdict, Ordered):
        return "ordered"
    return f"refused: {verdict.code}" if isinstance(verdict, Refusable) else "acknowledged"


def _query() -> Select[Any]:
    kept, content, decided = tables.quarantine, tables.quarantine_content, tables.quarantine_decision
    return (
        select(
            kept,
            func.octet_length(content.c.content).label("size"),
            decided.c.decision,
            decided.c.operator,
            decided.c.reason.label("because"),
        )
        .outerjoin_from(kept, content, and_(kept.c.node == content.c.node, kept.c.digest == content.c.digest))
        .outerjoin(decided, and_(kept.c.node == decided.c.node, kept.c.digest == decided.c.digest))
    )


async def _undecided(connection: AsyncConnection, index: int) -> _Kept:
    query = _query().add_columns(tables.quarantine_content.c.content).where(tables.quarantine.c.leaf_index == index)
    row = (await connection.execute(query)).first()
    if row is None:
        raise MessageUnknown(f"nothing in quarantine has index {index}", "list it with `seci-hub quarantine list`")
    if row.decision is not None:
        raise QuarantineDecided(f"{index} was {row.decision} by {row.operator}", "nothing to do")
    return _Kept(row.node, row.digest, row.type, row.content)


async def _decide(
    connection: AsyncConnection,
    log: Ledger,
    turn: ledger.Turn,
    kept: _Kept,
    event: Event,
    decision: Decision,
    now: int,
) -> None:
    detail = f"{decision.operator}: {decision.reason}"[:DETAIL_SIZE]
    entry = Entry(event=event, at=now, node=CENTRE, evidence=kept.digest, detail=detail)
    appended = await ledger.append(connection, log, turn, [entry])
    index = appended.receipts[0].index
    row = (kept.node, kept.digest, str(event), index, now, decision.operator, decision.reason)
    await rows.insert(connection, {"quarantine_decision": [row]})
    table = tables.quarantine_content.c
    this = (table.node == kept.node) & (table.digest == kept.digest)
    await connection.execute(delete(tables.quarantine_content).where(this))
