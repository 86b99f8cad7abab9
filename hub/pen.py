"""Transactions that may append to the ledger.

SQLAlchemy takes longer to hand out a connection, to begin and to commit than PostgreSQL does to work. So a connection
is kept, asyncpg begins and commits, and SQLAlchemy's statements run inside, as if each committed itself.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from hub import ledger
from hub.database import driver_of

# Plans last as long as their connection. One that was made while a table was empty reads all of it, however large
# the table is by then, until PostgreSQL next analyses it; and what is done here finds its rows by an index.
_BEGIN: Final = "BEGIN; SET LOCAL enable_seqscan = off"


class Pen:
    """A connection for one transaction after another, one at a time. After a failure it is another connection."""

    def __init__(self, engine: AsyncEngine, log: ledger.Ledger) -> None:
        self._engine = engine
        self._log = log
        self._connection: AsyncConnection | None = None

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction, committed when the block ends; whatever is raised ends the connection, and so undoes it."""
        connection = self._connection or await self._open()
        try:
            driver = await driver_of(connection)
            beginning = asyncio.create_task(ledger.begin(connection, self._log))
            await driver.execute(_BEGIN)
            await beginning
            yield connection
            if await driver.execute("COMMIT") != "COMMIT":
                # PostgreSQL's answer to it where a statement has failed, and that was not told.
                raise asyncpg.InFailedSQLTransactionError("the transaction was rolled back")
            ledger.settle(connection, self._log)
        except BaseException:
            self._connection = None
            await connection.invalidate()
            await connection.close()
            raise

    async def close(self) -> None:
        """Gives the connection back."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def _open(self) -> AsyncConnection:
        connection = await self._engine.connect()
        self._connection = await connection.execution_options(isolation_level="AUTOCOMMIT")
        return self._connection


@asynccontextmanager
async def writing(engine: AsyncEngine, log: ledger.Ledger) -> AsyncIterator[AsyncConnection]:
    """A single transaction, as `Pen.writing`."""
    pen = Pen(engine, log)
    try:
        async with pen.writing() as connection:
            yield connection
    finally:
        await pen.close()
