"""What an operator wants to know first: how large the ledger is, what waits, what was refused."""

import time
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from crypto.trust import RosterKeys, open_roster
from hub import deadlines, joining, ledger, operators, reading, registrar, tables, timestamps
from hub.watch import iso
from schemas import rosterwords
from schemas.roster import Roster


async def overview(connection: AsyncConnection, hub: RosterKeys) -> dict[str, Any]:
    """Counts, and how many workers have the database open; times are ISO 8601."""
    head = await ledger.head(connection)
    signed = await registrar.newest(connection, 0)
    roster = open_roster(signed, hub) if signed is not None else None
    refusals = select(tables.refusal.c.code, func.count()).group_by(tables.refusal.c.code)
    return {
        "ledger": {"size": head.range.size, "root": head.range.root().hex()},
        "roster": _roster(roster) if roster else None,
        "messages": await _count(connection, tables.message),
        "acknowledged": await _count(connection, tables.acknowledgement),
        "refused": {str(code): int(number) for code, number in await connection.execute(refusals)},
        "quarantined": await reading.undecided(connection),
        "overdue": await deadlines.escalated(connection, time.time_ns() // 1_000_000),
        "contradictions": await _count(connection, tables.contradiction),
        "held": (await reading.held(connection))[0],
        "timestamps": await timestamps.standing(connection),
        "last_message_at": iso(await connection.scalar(select(func.max(tables.message.c.at)))),
        "workers": await reading.workers(connection),
        "operators": await operators.standing(connection),
        "joining": len(await joining.listing(connection, joining.UNDECIDED)),
    }


def _roster(roster: Roster) -> dict[str, Any]:
    absent = {node.node: rosterwords.state(node) for node in roster.nodes if not node.active}
    return {"version": roster.version, "nodes": [node.node for node in roster.nodes], "absent": absent}


async def _count(connection: AsyncConnection, table: Any) -> int:
    return int(await connection.scalar(select(func.count()).select_from(table)) or 0)
