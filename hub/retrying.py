"""Held deliveries are tried again with patience.

Only the first of a queue is asked for with growing pauses, the others go after it; so one node's full inbox costs
nobody else anything.
"""

import time
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import delete, text, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from hub import tables
from hub.dispatch import SILENT, UNCONFIRMED, Dispatcher
from hub.held import FIRST_PAUSE_MS
from hub.ledger import Ledger, check_signer
from hub.publication import Publication, Untaken
from schemas.control import MessageType

LONGEST_PAUSE_MS: Final = 5 * 60 * 1000
# An inbox that is silent is passed over by all who publish until it has answered here.
SILENT_PAUSE_MS: Final = 30 * 1000
# While an inbox is silent, publishing takes its time with the lock held; a worker that is frozen gives it back then.
_LOCK_PATIENCE: Final = text("SET LOCAL idle_in_transaction_session_timeout = '5min'")
# "HELD" in ASCII: the advisory lock of the one worker at a time that tries again.
_LOCK: Final = 0x48454C44
_OF_A_QUEUE: Final = 20
_AT_ONCE: Final = 100
# From the first of one queue to the first of the next, by the index: DISTINCT ON would read all that is held.
_DUE: Final = f"""
    WITH RECURSIVE first AS (
        (SELECT node, urgent, due FROM held ORDER BY node, urgent, place LIMIT 1)
        UNION ALL
        SELECT following.* FROM first CROSS JOIN LATERAL (
            SELECT node, urgent, due FROM held WHERE (held.node, held.urgent) > (first.node, first.urgent)
            ORDER BY held.node, held.urgent, held.place LIMIT 1
        ) following
    )
    SELECT waiting.* FROM first CROSS JOIN LATERAL (
        SELECT * FROM held WHERE held.node = first.node AND held.urgent = first.urgent
        ORDER BY place LIMIT {_OF_A_QUEUE}
    ) waiting
    WHERE first.due <= :now ORDER BY first.due, waiting.node, waiting.urgent, waiting.place LIMIT {_AT_ONCE}
"""  # noqa: S608 ours


async def retry_held(engine: AsyncEngine, dispatcher: Dispatcher, log: Ledger | None = None) -> int:
    """Publishes held deliveries that are due; returns how many the broker took.

    Raises HandedOver if another key than the log's signs by now: some of them may be signed by that.
    """
    now = time.time_ns() // 1_000_000
    async with engine.begin() as connection:
        if not await connection.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": _LOCK}):
            return 0
        rows = (await connection.execute(text(_DUE), {"now": now})).all()
        if not rows:
            return 0
        if log is not None:
            # Behind the reading: what was handed over later is in none of these.
            await check_signer(connection, log)
        await connection.execute(_LOCK_PATIENCE)
        tried, untaken = await _publish(dispatcher, rows)
        reasons = {(item.publication.node, item.publication.message_id): item.reason for item in untaken}
        taken = [key for row in tried if (key := (row.node, row.message_id)) not in reasons]
        table = tables.held.c
        await connection.execute(delete(tables.held).where(tuple_(table.node, table.message_id).in_(taken)))
        refused: set[tuple[str, int]] = set()
        for row in rows:
            if (row.node, row.message_id) in reasons and (row.node, row.urgent) not in refused:
                refused.add((row.node, row.urgent))
                await _defer(connection, row, now, reasons[row.node, row.message_id])
    return len(taken)


async def _publish(dispatcher: Dispatcher, rows: Sequence[Any]) -> tuple[list[Any], list[Untaken]]:
    """The rows that were tried, and what of them was not taken."""
    firsts = {(row.node, row.urgent): row for row in reversed(rows)}
    # An inbox that gave no answer gets one message until it does: each would wait there, to be delivered as often.
    trials = [row for row in firsts.values() if row.reason in (SILENT, UNCONFIRMED)]
    untaken = await dispatcher.publish([_publication(row) for row in trials]) if trials else []
    silent = {(item.publication.node, int(item.publication.urgent)) for item in untaken}
    others = [row for row in rows if row not in trials and (row.node, row.urgent) not in silent]
    untaken += await dispatcher.publish([_publication(row) for row in others])
    return trials + others, untaken


async def _defer(connection: AsyncConnection, row: Any, now: int, reason: str) -> None:
    table = tables.held.c
    longest = SILENT_PAUSE_MS if reason in (SILENT, UNCONFIRMED) else LONGEST_PAUSE_MS
    pause = min(FIRST_PAUSE_MS << min(row.attempts, 20), longest)
    this = (table.node == row.node) & (table.message_id == row.message_id)
    values = {"attempts": row.attempts + 1, "due": now + pause, "reason": reason}
    await connection.execute(update(tables.held).where(this).values(values))


def _publication(row: Any) -> Publication:
    return Publication(row.node, MessageType(row.type), bool(row.urgent), row.message_id, row.body, row.after)
