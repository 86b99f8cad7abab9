"""The way to PostgreSQL: an engine for the hub's role."""

from typing import Any, Final

import asyncpg
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, ProgrammingError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from hub.errors import DatabaseOutdated, DatabaseUnreachable, SettingsInvalid

WORKER = "seci-hub worker"
PATIENCE_MS = "30000"
# What goes past SQLAlchemy to asyncpg raises asyncpg's errors as they are.
DATABASE_TROUBLE: Final = (
    SQLAlchemyError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)


def engine_of(url: str, application: str = "seci-hub") -> AsyncEngine:
    """An engine for `url` (postgresql://...). A worker's connections are not checked before use: it tries again."""
    # No statement of ours is long enough to be worth compiling, whatever PostgreSQL guesses of a large ledger.
    server = {"application_name": application, "jit": "off"}
    worker = application.startswith(WORKER)
    if worker:
        # A worker that is frozen in its transaction gives the ledger back; one that waits for it gives up.
        server |= {"idle_in_transaction_session_timeout": PATIENCE_MS, "lock_timeout": PATIENCE_MS}
        # Its statements are always the same, and each finds its rows by an index, whatever the parameters.
        server["plan_cache_mode"] = "force_generic_plan"
    arguments = {"server_settings": server}
    return create_async_engine(
        with_driver(url), pool_size=4, max_overflow=4, pool_pre_ping=not worker, connect_args=arguments
    )


async def driver_of(connection: AsyncConnection) -> Any:
    """asyncpg's connection under one of SQLAlchemy's, which begins no transaction by this."""
    known = connection.sync_connection
    if known is not None and not known.closed and not known.invalidated:
        # As `get_raw_connection` does, without the greenlet that it runs this in: a batch asks five times.
        return known.connection.driver_connection
    return (await connection.get_raw_connection()).driver_connection


async def fetch(connection: AsyncConnection, query: str, *arguments: object) -> list[Any]:
    """The rows of a statement that goes past SQLAlchemy, which takes longer over it than PostgreSQL.

    Raises asyncpg's errors. Cancelled, or with the connection lost, it gives the connection up, as SQLAlchemy would.
    """
    driver = await driver_of(connection)
    try:
        found: list[Any] = await driver.fetch(query, *arguments)
    except BaseException as error:
        # A database that says nothing does not answer a ROLLBACK either, and a lost connection is of no use to others.
        if driver.is_closed() or not isinstance(error, Exception):
            await connection.invalidate()
        raise
    return found


def explained(error: Exception) -> DatabaseOutdated | DatabaseUnreachable:
    """What a failure of PostgreSQL means to an operator, and what to do."""
    if isinstance(error, ProgrammingError | asyncpg.SyntaxOrAccessError):
        return DatabaseOutdated(
            "the tables in PostgreSQL are not those of this program, or its role may not use them",
            "run `seci-hub init` of this version as the database's owner; nothing was changed",
        )
    return DatabaseUnreachable(
        f"PostgreSQL: {type(error).__name__}",
        "see that PostgreSQL runs and `database_url` in hub.json is right",
    )


def with_driver(url: str) -> URL:
    """The URL as SQLAlchemy takes it: through asyncpg. Raises SettingsInvalid."""
    try:
        return make_url(url).set(drivername="postgresql+asyncpg")
    except ArgumentError as error:
        raise SettingsInvalid(
            "the database's URL does not parse", "write postgresql://user:password@host/name"
        ) from error
