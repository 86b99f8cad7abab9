"""What an operator wants to know first: how large the ledger is, what waits, what was refused."""

import time
from typing import Any, Final

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from crypto.keys import VerifyKey
from crypto.trust import open_roster
from hub import deadlines, ledger, quarantine, registrar, tables
from hub.database import WORKER
from hub.watch import iso

# Sessions of the hub's own role are all that it may see, and are enough.
_WORKERS: Final = (
    "SELECT count(DISTINCT application_name) FROM pg_stat_activity WHERE application_name LIKE :name || ' %'"
)


async def overview(connection: AsyncConnection, hub: VerifyKey) -> dict[str, Any]:
    """Counts, and how many workers have the database open; times are ISO 8601."""
    head = await ledger.head(connection)
    signed = await registrar.newest(connection, 0)
    roster = open_roster(signed, hub) if signed is not None else None
    refusals = select(tables.refusal.c.code, func.count()).group_by(tables.refusal.c.code)
    return {
        "ledger": {"size": head.range.size, "root": head.range.root().hex()},
        "roster": {"version": roster.version, "nodes": [n.node for n in roster.nodes]} if roster else None,
        "messages": await _count(connection, tables.message),
        "acknowledged": await _count(connection, tables.acknowledgement),
        "refused": {str(code): int(number) for code, number in await connection.execute(refusals)},
        "quarantined": await quarantine.waiting(connection),
        "overdue": await deadlines.escalated(connection, time.time_ns() // 1_000_000),
        "held": await _held(connection),
        "last_message_at": iso(await connection.scalar(select(func.max(tables.message.c.at)))),
        "workers": await connection.scalar(text(_WORKERS), {"name": WORKER}),
    }


async def _held(connection: AsyncConnection) -> int:
    # What is only on its way through the table is nobody's concern.
    query = select(func.count()).where(tables.held.c.reason != deadlines.OWED)
    return int(await connection.scalar(query) or 0)


async def _count(connection: AsyncConnection, table: Any) -> int:
    return int(await connection.scalar(select(func.count()).select_from(table)) or 0)
