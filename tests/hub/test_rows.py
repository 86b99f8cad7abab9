"""Rows that are copied while others are made: a connection that is lost is trouble with the database, always."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from hub import ledger, rows
from hub.database import DATABASE_TROUBLE
from hub.pen import writing
from hub.rows import Row
from tests.hub.ownhub import OwnHub, entries

pytestmark = pytest.mark.system


async def _server(connection: AsyncConnection) -> int:
    driver: Any = (await connection.get_raw_connection()).driver_connection
    return int(driver.get_server_pid())


@pytest.mark.parametrize("lost", [0, 1, 3])
async def test_a_connection_that_is_lost_between_parts(own: OwnHub, own_engine: AsyncEngine, lost: int) -> None:
    def parts(server: int) -> Iterator[list[Row]]:
        for part in range(4):
            if part == lost:
                own.sql(f"SELECT pg_terminate_backend({server})")
            yield [(part * rows.MANY + place, bytes(32)) for place in range(rows.MANY)]

    with pytest.raises(DATABASE_TROUBLE):
        async with writing(own_engine, own.log) as connection:
            await rows.copy_meanwhile(connection, "ledger_leaf", parts(await _server(connection)), lambda: None)


@pytest.mark.parametrize("before", [0, 4])
async def test_a_connection_that_is_lost_before_the_first_part(
    own: OwnHub, own_engine: AsyncEngine, before: int
) -> None:
    if before:
        await own.append(own_engine, before)
    with pytest.raises(DATABASE_TROUBLE):
        async with writing(own_engine, own.log) as connection:
            turn = await ledger.take_turn(connection)
            own.sql(f"SELECT pg_terminate_backend({await _server(connection)})")
            await asyncio.sleep(0.3)
            await ledger.append(connection, own.log, turn, entries(rows.MANY))
    await own.append(own_engine, rows.MANY)
    assert own.log.store.read().newest.size == before + rows.MANY
