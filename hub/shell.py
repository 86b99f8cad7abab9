"""What every command of `seci-hub` shares: its options, the way to the database, and how it speaks."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer
from sqlalchemy.ext.asyncio import AsyncConnection

from hub import database
from hub.ledger import Ledger
from hub.pen import writing
from hub.settings import HOME_VARIABLE, Settings

PROGRAM: Final = "seci-hub"
T = TypeVar("T")
Home = Annotated[Path, typer.Option(envvar=HOME_VARIABLE, help="The hub's folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def with_database(
    settings: Settings, work: Callable[[AsyncConnection], Coroutine[Any, Any, T]], writes: Ledger | None = None
) -> T:
    """Runs `work` in one transaction, which may append to `writes`. Raises DatabaseUnreachable, DatabaseOutdated."""

    async def main() -> T:
        engine = database.engine_of(settings.database_url)
        try:
            async with engine.begin() if writes is None else writing(engine, writes) as connection:
                return await work(connection)
        finally:
            await engine.dispose()

    try:
        return asyncio.run(main())
    except database.DATABASE_TROUBLE as error:
        raise database.explained(error) from error


def answer(result: Any, as_json: bool, text: str) -> None:
    """Data, to stdout."""
    typer.echo(json.dumps(result) if as_json else text)


def say(text: str) -> None:
    """Everything else, to stderr."""
    typer.echo(text, err=True)
