"""Inserting rows: many of a table by COPY, few of any number of tables in one statement, which is one round trip.

A row has a value for each column, in the order of `hub.tables`; the database has the columns in the same order.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

T = TypeVar("T")
Row = tuple[object, ...]
# By table.
Rows = Mapping[str, Sequence[Row]]

# COPY takes two round trips.
MANY: Final = 20


async def insert(connection: AsyncConnection, rows: Rows) -> None:
    """Inserts rows in the connection's transaction. Raises asyncpg's errors."""
    await insert_meanwhile(connection, rows, lambda: None)


async def insert_meanwhile(connection: AsyncConnection, rows: Rows, compute: Callable[[], T]) -> T:
    """Inserts rows, and gives what `compute` does, which is called while the database works on the first COPY."""
    driver: Any = (await connection.get_raw_connection()).driver_connection
    few = {table: found for table, found in rows.items() if 0 < len(found) < MANY}
    many = [(table, found) for table, found in rows.items() if len(found) >= MANY]
    computed = await _copy_meanwhile(driver, *many[0], compute) if many else compute()
    for table, found in many[1:]:
        await driver.copy_records_to_table(table, records=found)
    if few:
        await driver.execute(_statement(tuple(few)), *few.values())
    return computed


async def _copy_meanwhile(driver: Any, table: str, rows: Sequence[Row], compute: Callable[[], T]) -> T:
    sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def telling() -> Iterator[Row]:
        yield from rows
        # The driver writes what it has when there is no more, and then waits for the database.
        sent.set_result(None)

    copying = asyncio.ensure_future(driver.copy_records_to_table(table, records=telling()))
    try:
        await asyncio.wait((copying, sent), return_when=asyncio.FIRST_COMPLETED)
        computed = compute()
    except BaseException:
        copying.cancel()
        await asyncio.gather(copying, return_exceptions=True)
        raise
    await copying
    return computed


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
