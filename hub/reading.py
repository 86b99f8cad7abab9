"""What the database says at this moment, for monitors and for `seci-hub top`. Reads only.

`probe` reads no row of a table; `read` and `events_between` look at little, however large the ledger is;
`undelivered` looks at every message.
"""

import time
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from hub import operators, tables
from hub.database import WORKER
from hub.deadlines import escalated
from hub.held import OWED, WITHHELD
from schemas.control import Event

# Sessions of the hub's own role are all that it may see, and are enough.
_WORKERS: Final = (
    "SELECT count(DISTINCT application_name) FROM pg_stat_activity WHERE application_name LIKE :name || ' %'"
)
_UNDECIDED: Final = """
    SELECT count(*) FROM quarantine AS kept
    WHERE NOT EXISTS (
        SELECT FROM quarantine_decision AS decided WHERE decided.node = kept.node AND decided.digest = kept.digest)
"""
_UNDELIVERED: Final = """
    SELECT recipient AS node, count(*) AS number, min(message.at) AS oldest
    FROM message CROSS JOIN LATERAL unnest(message.recipients) AS recipient
    LEFT JOIN acknowledgement AS done USING (sender, id, recipient)
    WHERE done.id IS NULL AND message.expires > :now AND NOT EXISTS (
        SELECT FROM deadline
        WHERE deadline.id = message.id AND deadline.recipient = recipient AND deadline.event = 'returned')
    GROUP BY recipient ORDER BY recipient
"""


# Names what the newest migrations added, and reads none of it.
_PROBE: Final = """
    SELECT CAST('take_turn_seeing(bigint, uuid[], text[], bytea[])' AS regprocedure), (SELECT since FROM held LIMIT 0),
        (SELECT at FROM contradiction LIMIT 0), (SELECT tried FROM timestamp_progress LIMIT 0),
        CAST('erase_entries(bigint, bigint[], uuid[])' AS regprocedure), (SELECT commitment FROM erasure LIMIT 0),
        (SELECT line FROM witness_round LIMIT 0), (SELECT place FROM imported_statistic LIMIT 0),
        (SELECT act FROM operator_act LIMIT 0), (SELECT act FROM node_act LIMIT 0), (SELECT news FROM handover LIMIT 0)
"""


@dataclass(frozen=True, slots=True)
class Reading:
    """Entries in the ledger, the roster's version, what is held and for how long at most (s), and so on.

    `unstamped_s` is None where no TSA is set.
    """

    ledger: int
    roster: int
    held: int
    held_s: float
    quarantined: int
    overdue: int
    workers: int
    operators: int = 0
    failed_logins: int = 0
    unstamped_s: float | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a node has not acknowledged yet: how many messages, and for how long the oldest of them has waited (s)."""

    node: str
    number: int
    oldest_s: float


async def probe(connection: AsyncConnection) -> None:
    """Whether the database answers and is this program's. Raises what SQLAlchemy raises if not."""
    await connection.execute(text(_PROBE))


async def read(connection: AsyncConnection, *, stamped: bool = False) -> Reading:
    """The counts of this moment; of timestamps only if there are to be any."""
    number, since = await held(connection)
    people = await operators.standing(connection)
    return Reading(
        ledger=int(await connection.scalar(select(func.max(tables.ledger_checkpoint.c.size))) or 0),
        roster=int(await connection.scalar(select(func.max(tables.roster.c.version))) or 0),
        held=number,
        held_s=0.0 if since is None else _age(since),
        quarantined=await undecided(connection),
        overdue=await escalated(connection, time.time_ns() // 1_000_000),
        workers=await workers(connection),
        operators=people["enabled"],
        failed_logins=people["failed_logins"],
        unstamped_s=await unstamped_s(connection) if stamped else None,
    )


async def held(connection: AsyncConnection) -> tuple[int, int | None]:
    """How many deliveries the broker would not take, and since when the oldest is held (ms)."""
    table = tables.held.c
    # What is only on its way through the table is nobody's concern; what is withheld has its own list.
    query = select(func.count(), func.min(table.since)).where(table.reason.not_in((OWED, WITHHELD)))
    number, since = (await connection.execute(query)).one()
    return int(number), since


async def undecided(connection: AsyncConnection) -> int:
    """How many things in quarantine nobody has released or discarded."""
    return int(await connection.scalar(text(_UNDECIDED)) or 0)


async def workers(connection: AsyncConnection) -> int:
    """How many workers have the database open."""
    return int(await connection.scalar(text(_WORKERS), {"name": WORKER}) or 0)


async def unstamped_s(connection: AsyncConnection) -> float:
    """For how long the oldest checkpoint that no timestamp covers has stood (s); 0 if there is none."""
    table = tables.ledger_checkpoint.c
    stamped = select(func.coalesce(func.max(tables.timestamps.c.size), 0)).scalar_subquery()
    since = await connection.scalar(select(table.at).where(table.size > stamped).order_by(table.size).limit(1))
    return 0.0 if since is None else _age(since)


async def events_between(connection: AsyncConnection, first: int, end: int) -> dict[Event, int]:
    """How many entries of each event the ledger has from index `first` on, below `end`."""
    table = tables.ledger_content.c
    query = select(table.event, func.count()).where(table.leaf_index >= first, table.leaf_index < end)
    return {Event(event): int(number) for event, number in await connection.execute(query.group_by(table.event))}


async def undelivered(connection: AsyncConnection) -> list[Waiting]:
    """For each node that has accepted messages still to acknowledge in time, how many and how old."""
    rows = await connection.execute(text(_UNDELIVERED), {"now": time.time_ns() // 1_000_000})
    return [Waiting(row.node, int(row.number), _age(row.oldest)) for row in rows]


def _age(since: int) -> float:
    return round(max(0.0, time.time() - since / 1000), 3)
