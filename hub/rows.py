"""Inserting rows: many of a table by COPY, few of any number of tables in one statement, which is one round trip.

A row has a value for each column, in the order of `hub.tables`; the database has the columns in the same order.
Those of the ledger's two tables are packed here (PostgreSQL's documentation of COPY, "Binary Format"), so that the
database works on some while others are made: the driver would send none before it has them all.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from functools import cache
from itertools import starmap
from struct import Struct
from typing import Any, Final, TypeVar

import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection

from hub.database import driver_of

T = TypeVar("T")
Row = tuple[object, ...]
# By table.
Rows = Mapping[str, Sequence[Row]]

# COPY takes two round trips.
MANY: Final = 20
# For so long after a connection was lost a COPY may go on to tell so.
LOST_S: Final = 1.0
_BEGIN: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_END: Final = b"\xff\xff"
# A row has the number of its columns, and each its length and value. `bigint` has 8 bytes.
_INDEX_HASH: Final = Struct(">hiqi32s")
_INDEX: Final = Struct(">hiqi")
_AT_SALT: Final = Struct(">iqi32si")


async def insert(connection: AsyncConnection, rows: Rows) -> None:
    """Inserts rows in the connection's transaction. Raises asyncpg's errors."""
    driver = await driver_of(connection)
    few = {table: found for table, found in rows.items() if 0 < len(found) < MANY}
    for table, found in rows.items():
        if len(found) >= MANY:
            await _told_if_lost(driver, driver.copy_records_to_table(table, records=found))
    if few:
        await driver.execute(_statement(tuple(few)), *few.values())


async def copy_meanwhile(
    connection: AsyncConnection, table: str, parts: Iterable[Iterable[Row]], compute: Callable[[], T]
) -> T:
    """Inserts the ledger's rows, of which each part is made while the database works on the one before it.

    Gives what `compute` does, which is called while it works on the last. Raises asyncpg's errors.
    """
    driver = await driver_of(connection)
    pack, sent = _PACK[table], asyncio.get_running_loop().create_future()

    async def packed() -> AsyncIterator[bytes]:
        yield _BEGIN
        for part in parts:
            yield b"".join(starmap(pack, part))
            await asyncio.sleep(0)  # it is written when the loop goes round
        yield _END
        # There is no more; the driver says so to the database and waits for it.
        sent.set_result(None)

    copy = driver.copy_to_table(table, source=packed(), format="binary")
    copying = asyncio.create_task(_told_if_lost(driver, copy))
    try:
        await asyncio.wait((copying, sent), return_when=asyncio.FIRST_COMPLETED)
        if not sent.done():
            # It has failed, and not all parts were made: there is nothing to compute with.
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


def _pack_leaf(index: int, leaf: bytes) -> bytes:
    return _INDEX_HASH.pack(2, 8, index, 32, leaf)


def _pack_content(index: int, event: str, at: int, salt: bytes, entry: bytes) -> bytes:
    name = event.encode()
    return _INDEX.pack(5, 8, index, len(name)) + name + _AT_SALT.pack(8, at, 32, salt, len(entry)) + entry


_PACK: Final[Mapping[str, Callable[..., bytes]]] = {"ledger_leaf": _pack_leaf, "ledger_content": _pack_content}


@cache
def _statement(tables: tuple[str, ...]) -> str:
    # An array of rows is of the table's own type, so the driver knows each column's.
    inserts = [
        f"INSERT INTO {table} SELECT * FROM unnest(${place}::{table}[])"  # noqa: S608 ours
        for place, table in enumerate(tables, 1)
    ]
    *others, last = inserts
    beside = ", ".join(f"{table}_rows AS ({one})" for table, one in zip(tables, others, strict=False))
    return f"WITH {beside} {last}" if others else last
