"""Inserting rows: many of a table by COPY, few of any number of tables in one statement, which is one round trip.

A row has a value for each column, in the order of `hub.tables`; the database has the columns in the same order.
The ledger's content is packed here (PostgreSQL's documentation of COPY, "Binary Format"), so that the rest is done
while the database works: the driver would be done no sooner than that. Its leaves go with what is few, as one value
that the database takes apart: a COPY of their own would be two more round trips.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, Final, TypeVar

import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection

from hub.database import driver_of

T = TypeVar("T")
Row = tuple[object, ...]
# A row of `ledger_content`: index, event, time, salt, entry.
Content = tuple[int, str, int, bytes, bytes]
# By table.
Rows = Mapping[str, Sequence[Row]]

# COPY takes two round trips.
MANY: Final = 20
CHUNK_BYTES: Final = 64 * 1024
# Of the loop, within which the driver has told the database what will come.
STEPS: Final = 3
# For so long after a connection was lost a COPY may go on to tell so.
LOST_S: Final = 1.0
_BEGIN: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_END: Final = b"\xff\xff"
# A row has the number of its columns, and each its length and value. `bigint` has 8 bytes.
_INDEX: Final = b"\x00\x05\x00\x00\x00\x08"
_AT: Final = b"\x00\x00\x00\x08"
_SALT: Final = b"\x00\x00\x00\x20"


async def insert(connection: AsyncConnection, rows: Rows) -> None:
    """Inserts rows in the connection's transaction. Raises asyncpg's errors."""
    driver, few = await driver_of(connection), await _copy_the_many(connection, rows)
    if few:
        await driver.execute(_statement(tuple(few)), *few.values())


async def insert_with_leaves(connection: AsyncConnection, rows: Rows, first: int, leaves: Sequence[bytes]) -> None:
    """Inserts rows, and in `ledger_leaf` the leaf hashes from index `first` on. Raises asyncpg's errors."""
    driver, few = await driver_of(connection), await _copy_the_many(connection, rows)
    await driver.execute(_statement(tuple(few), leaves=True), first, b"".join(leaves), *few.values())


async def _copy_the_many(connection: AsyncConnection, rows: Rows) -> Rows:
    """Copies the rows of each table that has many; gives the others, of those tables that have any."""
    driver = await driver_of(connection)
    for table, found in rows.items():
        if len(found) >= MANY:
            await _told_if_lost(driver, driver.copy_records_to_table(table, records=found))
    return {table: found for table, found in rows.items() if 0 < len(found) < MANY}


async def copy_content(
    connection: AsyncConnection, make: Callable[[], Sequence[Content]], compute: Callable[[], T]
) -> T:
    """Inserts the rows of `ledger_content` that `make` makes, which it does while the database gets ready for them.

    Gives what `compute` does, which is called while the database works on them. Raises asyncpg's errors.
    """
    driver, loop = await driver_of(connection), asyncio.get_running_loop()
    made: asyncio.Future[bytes] = loop.create_future()
    sent: asyncio.Future[None] = loop.create_future()

    async def chunks() -> AsyncIterator[bytes]:
        data = await made
        for start in range(0, len(data), CHUNK_BYTES):
            yield data[start : start + CHUNK_BYTES]
            await asyncio.sleep(0)  # it is written when the loop goes round
        # There is no more; the driver says so to the database and waits for it.
        sent.set_result(None)

    copy = driver.copy_to_table("ledger_content", source=chunks(), format="binary")
    copying = asyncio.create_task(_told_if_lost(driver, copy))
    try:
        for _ in range(STEPS):
            await asyncio.sleep(0)
        made.set_result(_packed(make()))
        await asyncio.wait((copying, sent), return_when=asyncio.FIRST_COMPLETED)
        if copying.done():
            # It has failed: there is nothing to compute for.
            await copying
        computed = compute()
    except BaseException:
        copying.cancel()
        await asyncio.gather(copying, return_exceptions=True)
        raise
    await copying
    return computed


async def _told_if_lost(driver: Any, copy: Coroutine[Any, Any, object]) -> None:
    """The driver's COPY, to its end. Raises asyncpg's errors, for a connection that is lost meanwhile, too."""
    loop = asyncio.get_running_loop()
    copying = asyncio.ensure_future(copy)

    def lost(_: object) -> None:
        # Most often the driver tells it by itself. But while it waits for room to write, nobody tells it anything.
        loop.call_later(LOST_S, copying.cancel)

    driver.add_termination_listener(lost)
    try:
        await copying
    except (RuntimeError, asyncio.CancelledError) as error:
        # uvloop raises RuntimeError when more is written than the connection lives to see, and the driver lets it pass.
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        await asyncio.sleep(0)
        if not driver.is_closed():
            raise
        raise asyncpg.ConnectionDoesNotExistError("the connection was lost while rows were copied") from error
    finally:
        driver.remove_termination_listener(lost)


def _packed(rows: Iterable[Content]) -> bytes:
    pieces = [_BEGIN]
    for index, event, at, salt, entry in rows:
        pieces += (_INDEX, index.to_bytes(8), _between(event, at), salt, len(entry).to_bytes(4), entry)
    pieces.append(_END)
    return b"".join(pieces)


@lru_cache(maxsize=64)
def _between(event: str, at: int) -> bytes:
    """What stands between index and salt, the same in most rows of a batch."""
    name = event.encode()
    return b"".join((len(name).to_bytes(4), name, _AT, at.to_bytes(8), _SALT))


_LEAVES: Final = (
    "INSERT INTO ledger_leaf SELECT $1::bigint + at, substr($2::bytea, 32 * at + 1, 32)"
    " FROM generate_series(0, length($2::bytea) / 32 - 1) AS at"
)


@cache
def _statement(tables: tuple[str, ...], *, leaves: bool = False) -> str:
    # An array of rows is of the table's own type, so the driver knows each column's.
    inserts = [
        f"INSERT INTO {table} SELECT * FROM unnest(${place}::{table}[])"  # noqa: S608 ours
        for place, table in enumerate(tables, 3 if leaves else 1)
    ]
    *others, last = [*inserts, _LEAVES] if leaves else inserts
    beside = ", ".join(f"part_{place} AS ({one})" for place, one in enumerate(others))
    return f"WITH {beside} {last}" if others else last
