"""Inserting rows: many of a table by COPY, few of any number of tables in one statement, which is one round trip.

A row has a value for each column, in the order of `hub.tables`; the database has the columns in the same order.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

# By table. Tables that others refer to come first.
Rows = Mapping[str, Sequence[tuple[object, ...]]]

# COPY takes four round trips.
MANY: Final = 20


async def insert(connection: AsyncConnection, rows: Rows) -> None:
    """Inserts rows in the connection's transaction. Raises asyncpg's errors."""
    driver: Any = (await connection.get_raw_connection()).driver_connection
    few = {table: found for table, found in rows.items() if 0 < len(found) < MANY}
    for table, found in rows.items():
        if len(found) >= MANY:
            await driver.copy_records_to_table(table, records=found)
    if few:
        await driver.execute(_statement(tuple(few)), *few.values())


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
