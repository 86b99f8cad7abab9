"""External time: a TSA signs at a set interval that the newest checkpoint existed, so that a date rests on more than
our own clock.

A timestamp covers every entry below its checkpoint's size; nothing is asked while the newest checkpoint has one. Of all
workers one asks: it takes the attempt in `timestamp_progress`, where the last one's outcome is to be seen, too. An
attempt counts as a failure until it is over, so a worker that is killed in it leaves the next one to another.
"""

import asyncio
from typing import Final

from sqlalchemy import BigInteger, func, literal_column, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from crypto.errors import TimestampInvalid
from crypto.log import log
from hub import tables
from hub.errors import HubError
from hub.settings import Tsa
from hub.timestamps import Noted, newest
from hub.tsa import Stamp, stamp
from hub.watch import iso

TICK_S: Final = 5.0
FIRST_PAUSE_S: Final = 30.0
LONGEST_PAUSE_S: Final = 3600.0
# The database's clock is one for all workers.
_NOW: Final = literal_column("CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)", BigInteger)


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
