"""Rows that are copied while others are made: a connection that is lost is trouble with the database, always."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from itertools import product

import pytest
import uvloop
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from hub import database, ledger, rows
from hub.database import DATABASE_TROUBLE, driver_of
from hub.pen import writing
from hub.rows import Content
from tests.hub.ownhub import OwnHub, entries

pytestmark = pytest.mark.system
Copy = Callable[[AsyncConnection], Coroutine[None, None, None]]
LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


async def _server(connection: AsyncConnection) -> int:
    driver = await driver_of(connection)
    return int(driver.get_server_pid())


def _content(count: int) -> list[Content]:
    return [(index, "accepted", 0, bytes(32), bytes(64)) for index in range(count)]


# A worker's loop is uvloop's, which says otherwise that a connection is lost.
@pytest.mark.parametrize("loop", LOOPS)
def test_a_connection_that_is_lost_in_the_middle(own: OwnHub, loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def lose(engine: AsyncEngine, count: int, *, made: bool) -> None:
        async with writing(engine, own.log) as connection:
            server = await _server(connection)

            def end() -> None:
                own.sql(f"SELECT pg_terminate_backend({server})")

            def make() -> list[Content]:
                if not made:
                    end()
                return _content(count)

            await rows.copy_content(connection, make, end if made else lambda: None)

    async def lose_each() -> None:
        engine = database.engine_of(own.url)
        for count, made in product((rows.MANY, 100_000), (False, True)):
            with pytest.raises(DATABASE_TROUBLE):
                await lose(engine, count, made=made)
        await engine.dispose()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(lose_each())


@pytest.mark.parametrize("before", [0, 4])
async def test_a_connection_that_is_lost_before_anything_is_sent(
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


async def _packed(connection: AsyncConnection) -> None:
    await rows.copy_content(connection, lambda: _content(400_000), lambda: None)


async def _at_once(connection: AsyncConnection) -> None:
    long = ("accepted", 0, bytes(32), bytes(5000))
    await rows.insert(connection, {"ledger_content": [(index, *long) for index in range(4000)]})


async def _held_up(
    own: OwnHub,
    engine: AsyncEngine,
    copy: Copy,
    end: Callable[[int, asyncio.Task[None]], None],
    table: str = "ledger_content",
) -> None:
    """Lets rows go to a database that takes none of that table, more than there is room for; and then ends it."""
    async with engine.connect() as blocker, writing(engine, own.log) as connection:
        own.sql(f"GRANT ALL ON {table} TO seci_hub")
        await blocker.execute(text(f"LOCK TABLE {table} IN SHARE MODE"))
        copying = asyncio.create_task(copy(connection))
        await asyncio.sleep(1)
        assert not copying.done()
        end(await _server(connection), copying)
        done, _ = await asyncio.wait((copying,), timeout=10)
        if not done:
            copying.cancel()
            with suppress(asyncio.CancelledError):
                await copying
            raise AssertionError("it waits for ever")
        await copying


@pytest.mark.parametrize("copy", [_packed, _at_once])
async def test_a_connection_that_is_lost_while_there_is_no_room_to_write(
    own: OwnHub, own_engine: AsyncEngine, copy: Copy
) -> None:
    with pytest.raises(DATABASE_TROUBLE):
        await _held_up(own, own_engine, copy, lambda server, _: own.sql(f"SELECT pg_terminate_backend({server})"))


async def test_who_is_cancelled_while_there_is_no_room_to_write(own: OwnHub, own_engine: AsyncEngine) -> None:
    with pytest.raises(asyncio.CancelledError):
        await _held_up(own, own_engine, _packed, lambda _, copying: copying.cancel() and None)


@pytest.mark.parametrize("count", [1, rows.MANY])
@pytest.mark.parametrize("cancelled", [False, True])
async def test_an_append_that_ends_while_its_leaves_are_inserted_never_was(
    own: OwnHub, own_engine: AsyncEngine, count: int, cancelled: bool
) -> None:
    async def append(connection: AsyncConnection) -> None:
        await ledger.append(connection, own.log, await ledger.take_turn(connection), entries(count))

    def end(server: int, appending: asyncio.Task[None]) -> None:
        appending.cancel() if cancelled else own.sql(f"SELECT pg_terminate_backend({server})")

    with pytest.raises(asyncio.CancelledError if cancelled else DATABASE_TROUBLE):
        await _held_up(own, own_engine, append, end, "ledger_leaf")
    # The lock store has the proposal, which says nothing against the next.
    assert (own.log.store.read().newest.size, own.log.store.read().committed) == (count, False)
    await own.append(own_engine, 2)
    assert own.log.store.read().newest.size == 2
    assert (await asyncio.to_thread(own.type, "ledger", "verify"))[0] == 0
