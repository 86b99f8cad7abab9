"""Transactions on a connection that is kept, and the rows that go in with them, on a real database."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from hub import archive, database, ledger, rows, tables
from hub.archive import Asked
from hub.database import DATABASE_TROUBLE
from hub.pen import Pen
from tests.hub.ownhub import OwnHub, entries

pytestmark = pytest.mark.system


@pytest.fixture
async def pen(own: OwnHub, own_engine: AsyncEngine) -> AsyncIterator[Pen]:
    """Of a worker, on an empty ledger."""
    pen = Pen(own_engine, own.log)
    yield pen
    await pen.close()


async def _append(pen: Pen, own: OwnHub) -> int:
    async with pen.writing() as connection:
        turn = await ledger.take_turn(connection)
        await ledger.append(connection, own.log, turn, entries(1))
        return await _server(connection)


async def _server(connection: AsyncConnection) -> int:
    return int(await connection.scalar(text("SELECT pg_backend_pid()")) or 0)


async def _size(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        return (await ledger.head(connection)).range.size


async def test_one_connection_serves_one_transaction_after_another(
    own: OwnHub, own_engine: AsyncEngine, pen: Pen
) -> None:
    assert await _append(pen, own) == await _append(pen, own)
    assert await _size(own_engine) == 2


async def test_what_fails_is_undone_and_gives_its_turn_back(own: OwnHub, own_engine: AsyncEngine, pen: Pen) -> None:
    with pytest.raises(KeyError):
        async with pen.writing() as connection:
            await ledger.append(connection, own.log, await ledger.take_turn(connection), entries(1))
            raise KeyError
    assert await _size(own_engine) == 0
    async with asyncio.timeout(20):
        await _append(pen, own)
    assert await _size(own_engine) == 1


async def test_who_is_cancelled_is_undone_and_gives_its_turn_back(
    own: OwnHub, own_engine: AsyncEngine, pen: Pen
) -> None:
    begun = asyncio.Event()

    async def endless() -> None:
        async with pen.writing() as connection:
            await ledger.append(connection, own.log, await ledger.take_turn(connection), entries(1))
            begun.set()
            await connection.execute(text("SELECT pg_sleep(60)"))

    task = asyncio.create_task(endless())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(20):
        await _append(pen, own)
    assert await _size(own_engine) == 1


async def test_a_failure_that_was_not_told_is_told_at_the_end(own: OwnHub, own_engine: AsyncEngine, pen: Pen) -> None:
    with pytest.raises(asyncpg.InFailedSQLTransactionError):
        async with pen.writing() as connection:
            await ledger.append(connection, own.log, await ledger.take_turn(connection), entries(1))
            with pytest.raises(DATABASE_TROUBLE):
                await connection.execute(text("SELECT 1 / 0"))
    assert not own.log.store.read().committed
    assert await _size(own_engine) == 0


async def test_a_connection_that_was_lost_is_trouble_once(own: OwnHub, own_engine: AsyncEngine, pen: Pen) -> None:
    server = await _append(pen, own)
    own.sql(f"SELECT pg_terminate_backend({server})")
    with pytest.raises(DATABASE_TROUBLE):
        await _append(pen, own)
    assert await _append(pen, own) != server
    assert await _size(own_engine) == 2


async def test_a_plan_made_for_empty_tables_reads_none_of_them_whole_later(own: OwnHub) -> None:
    engine = database.engine_of(own.url, f"{database.WORKER} 1")
    pen, ids = Pen(engine, own.log), [uuid4() for _ in range(200)]

    async def ask() -> int:
        async with pen.writing() as connection:
            await archive.take_turn_seeing(connection, [Asked("ro", id, bytes(32)) for id in ids])
            await archive.addressed(connection, ids)
            await archive.acknowledgements(connection, ids)
            return int(await connection.scalar(text("SELECT sum(seq_tup_read) FROM pg_stat_xact_user_tables")) or 0)

    await ask()
    many = "FROM generate_series(1, 5000) AS n"
    own.sql(
        f"""
        INSERT INTO message SELECT 'ro', gen_random_uuid(), '', n, 0, gen_random_uuid(), '', '', '', '{{bg}}', 0 {many};
        INSERT INTO acknowledgement SELECT 'ro', gen_random_uuid(), 'bg', '', n, 0, '' {many}
        """
    )
    assert await ask() == 0
    await pen.close()
    await engine.dispose()


async def test_columns_stand_in_the_database_as_in_the_tables(own_engine: AsyncEngine) -> None:
    columns = "SELECT column_name FROM information_schema.columns WHERE table_name = :name ORDER BY ordinal_position"
    async with own_engine.connect() as connection:
        for table in tables.metadata.tables.values():
            found = (await connection.execute(text(columns), {"name": table.name})).scalars().all()
            assert found == [column.name for column in table.columns], table.name


@pytest.mark.parametrize("count", [1, rows.MANY - 1, rows.MANY])
async def test_few_rows_and_many_arrive_whole(own_engine: AsyncEngine, pen: Pen, count: int) -> None:
    messages = [
        ("ro", uuid4(), bytes(32), index, 7, uuid4(), "drugs", "alert", "normal", ["bg", "hu"], 9, uuid4(), None, 8)
        for index in range(count)
    ]
    decided = [("ro", bytes(32), "released", 1, 2, "operator", "quotes ' and , and }")]
    async with pen.writing() as connection:
        await rows.insert(connection, {"message": messages, "refusal": [], "quarantine_decision": decided})
    async with own_engine.connect() as connection:
        table = tables.message
        found = [tuple(row) for row in await connection.execute(select(table).order_by(table.c.leaf_index))]
        assert found == messages
        assert [tuple(row) for row in await connection.execute(select(tables.quarantine_decision))] == decided
        assert await connection.scalar(select(func.count()).select_from(tables.refusal)) == 0
