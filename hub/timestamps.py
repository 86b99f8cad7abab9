"""External time: a TSA signs at a set interval that the newest checkpoint existed, so that a date rests on more than
our own clock.

A timestamp covers every entry below its checkpoint's size; nothing is asked while the newest checkpoint has one. Of all
workers one asks: it takes the attempt in `timestamp_progress`, where the last one's outcome is to be seen, too. An
attempt counts as a failure until it is over, so a worker that is killed in it leaves the next one to another.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog
from sqlalchemy import BigInteger, func, literal_column, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from crypto.errors import TimestampInvalid
from hub import reading, tables
from hub.errors import HubError
from hub.settings import Tsa
from hub.tsa import Stamp, stamp
from hub.watch import iso

log = structlog.get_logger()

TICK_S: Final = 5.0
FIRST_PAUSE_S: Final = 30.0
LONGEST_PAUSE_S: Final = 3600.0
# Intervals after which a checkpoint without a timestamp is something to look at.
LATE: Final = 3
# The database's clock is one for all workers.
_NOW: Final = literal_column("CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)", BigInteger)


@dataclass(frozen=True, slots=True)
class Noted:
    """A checkpoint as it was signed: what a timestamp is of."""

    size: int
    note: str


async def keep_stamping(engine: AsyncEngine, tsa: Tsa) -> None:
    """Stamps at the interval, for ever. Raises on trouble with the database only; then begin again."""
    while True:
        await stamp_if_due(engine, tsa)
        await asyncio.sleep(min(TICK_S, tsa.interval_s))


async def stamp_if_due(engine: AsyncEngine, tsa: Tsa) -> bool:
    """Asks the TSA if it is time and nobody else does; whether a timestamp was kept."""
    async with engine.begin() as connection:
        checkpoint = await _taken(connection, tsa.interval_s)
    if checkpoint is None:
        return False
    try:
        found = await stamp(tsa, checkpoint.note.encode())
    except (HubError, TimestampInvalid) as error:
        log.warning("timestamp_failed", code=error.code, size=checkpoint.size)
        async with engine.begin() as connection:
            await connection.execute(update(tables.timestamp_progress).values(code=error.code))
        return False
    async with engine.begin() as connection:
        await keep(connection, checkpoint, found)
    log.info("timestamped", size=checkpoint.size, at=iso(found.said.at))
    return True


def pause_s(failures: int, interval_s: float) -> float:
    """How long after the last attempt the next may begin, so many having failed in a row: longer than one takes."""
    if not failures:
        return interval_s
    longest = min(max(interval_s, FIRST_PAUSE_S), LONGEST_PAUSE_S)
    return min(FIRST_PAUSE_S * float(2 ** min(failures - 1, 10)), longest)


async def newest(connection: AsyncConnection) -> Noted | None:
    """The newest checkpoint, if there is one."""
    row = tables.ledger_checkpoint.c
    found = (await connection.execute(select(row.size, row.note).order_by(row.size.desc()).limit(1))).first()
    return None if found is None else Noted(found.size, found.note)


async def _taken(connection: AsyncConnection, interval_s: float) -> Noted | None:
    checkpoint = await newest(connection)
    stamped = await connection.scalar(select(func.max(tables.timestamps.c.size)))
    if checkpoint is None or checkpoint.size <= (stamped or 0):
        return None
    table = tables.timestamp_progress.c
    tried, failures, now = (await connection.execute(select(table.tried, table.failures, _NOW))).one()
    # A last attempt in the future is of a clock that was wrong.
    if 0 <= now - tried < pause_s(failures, interval_s) * 1000:
        return None
    taken = update(tables.timestamp_progress).where(table.tried == tried, table.failures == failures)
    done = await connection.execute(taken.values(tried=now, failures=failures + 1))
    return checkpoint if done.rowcount else None


async def keep(connection: AsyncConnection, checkpoint: Noted, found: Stamp) -> None:
    """Puts a timestamp on record; the next is due an interval from the last attempt."""
    values = {"size": checkpoint.size, "said": found.said.at, "tsa": found.said.tsa, "response": found.response}
    await connection.execute(tables.timestamps.insert().values(**values, at=_NOW))
    await connection.execute(update(tables.timestamp_progress).values(failures=0, code=None))


async def listing(connection: AsyncConnection, limit: int, entry: int | None = None) -> Sequence[Any]:
    """Rows of `timestamps` with the checkpoint's `note`, newest first; those that cover `entry`, earliest first."""
    table, row = tables.timestamps.c, tables.ledger_checkpoint.c
    query = select(tables.timestamps, row.note).join_from(
        tables.timestamps, tables.ledger_checkpoint, table.size == row.size
    )
    if entry is None:
        query = query.order_by(table.size.desc(), table.place.desc())
    else:
        query = query.where(table.size > entry).order_by(table.said, table.place)
    return (await connection.execute(query.limit(limit))).all()


async def standing(connection: AsyncConnection) -> dict[str, Any]:
    """The newest timestamp, for how long the oldest checkpoint has none (s), and the code of what failed last."""
    rows = await listing(connection, 1)
    table = tables.timestamp_progress.c
    failures, code = (await connection.execute(select(table.failures, table.code))).one()
    return {
        "newest": described(rows[0]) if rows else None,
        "unstamped_s": await reading.unstamped_s(connection),
        "failures": failures if code is not None else 0,
        "code": code,
    }


def described(row: Any) -> dict[str, Any]:
    """A row of `listing` for a reader: without the bytes."""
    return {"size": row.size, "place": row.place, "at": iso(row.said), "tsa": row.tsa, "kept": iso(row.at)}
