"""Statements that go past SQLAlchemy: a connection that is of no more use is given up, as if they had gone its way."""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from crypto.tiles import Tile
from hub import database, ledger, tilestore
from hub.database import DATABASE_TROUBLE, WORKER
from tests.hub.ownhub import OwnHub

pytestmark = pytest.mark.system
Read = Callable[[AsyncConnection], Coroutine[None, None, Any]]
_PID = text("SELECT pg_backend_pid()")


async def _tiles(connection: AsyncConnection) -> object:
    return await tilestore.read(connection, [Tile(0, 0, 1)])


READS = [ledger.head, _tiles]


async def _read(engine: AsyncEngine, read: Read) -> None:
    async with engine.connect() as connection:
        await read(connection)


@pytest.mark.parametrize("read", READS)
async def test_a_connection_that_was_lost_is_not_given_to_the_next(own: OwnHub, read: Read) -> None:
    # A worker's: they are not checked before use.
    engine = database.engine_of(own.url, f"{WORKER} of a test")
    try:
        await own.append(engine)
        async with engine.connect() as connection:
            server = await connection.scalar(_PID)
        own.sql(f"SELECT pg_terminate_backend({server})")
        await asyncio.sleep(0.3)
        with pytest.raises(DATABASE_TROUBLE):
            await _read(engine, read)
        await _read(engine, read)
    finally:
        await engine.dispose()


@pytest.mark.parametrize("read", READS)
async def test_nobody_waits_for_ever_for_a_database_that_says_nothing(own: OwnHub, read: Read) -> None:
    engine, server = database.engine_of(own.url), 0

    async def look() -> None:
        nonlocal server
        async with asyncio.timeout(1), engine.begin() as connection:
            server = int(await connection.scalar(_PID) or 0)
            os.kill(server, signal.SIGSTOP)
            await read(connection)

    await own.append(engine)
    looking = asyncio.create_task(look())
    try:
        done, _ = await asyncio.wait((looking,), timeout=30)
        assert done
        with pytest.raises(TimeoutError):
            looking.result()
    finally:
        if server:
            os.kill(server, signal.SIGCONT)
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        await engine.dispose()
