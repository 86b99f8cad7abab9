"""`seci-hub ledger timestamp`, `timestamps`: what a TSA has signed of checkpoints, and files of it for an auditor."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy.ext.asyncio import AsyncConnection

from crypto import typed
from crypto.errors import TimestampInvalid, TsaRootsUnusable
from hub import PROGRAM
from hub.errors import FileUnwritable, NothingToStamp, TsaUnset
from hub.roles import Action
from hub.settings import Settings
from hub.shell import AsJson, Home, acting, answer, say, with_database
from hub.stamping import keep
from hub.timestamps import Noted, described, listing, newest
from hub.tsa import stamp


def timestamp(home: Home, as_json: AsJson = False) -> None:
    """Ask the TSA at once for a timestamp over the newest checkpoint, and keep it.

    Exit code 1 if what it answers proves nothing, 2 if no TSA is set or its roots do not read, 5 if it does not answer;
    nothing is kept then.
    """
    settings = Settings.load(home)
    if settings.tsa is None:
        raise TsaUnset("no TSA is set", "set `tsa_url` and `tsa_roots` in hub.json (docs/operations.md, External time)")
    checkpoint = with_database(settings, newest)
    if checkpoint is None:
        raise NothingToStamp("the ledger has no checkpoint yet", "run `seci-hub provision`")
    try:
        found = asyncio.run(stamp(settings.tsa, checkpoint.note.encode()))
    except TimestampInvalid as error:
        typed.fail(PROGRAM, error.code, str(error), 'see docs/operations.md, section "External time"')
        raise typer.Exit(2 if isinstance(error, TsaRootsUnusable) else 1) from error
    kept: Noted = checkpoint

    async def work(connection: AsyncConnection) -> dict[str, Any]:
        await keep(connection, kept, found)
        return described((await listing(connection, 1))[0])

    done = with_database(settings, work)
    answer(done, as_json, _line(done))


def timestamps(
    home: Home,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    entry: Annotated[
        int | None, typer.Option(min=0, help="Only timestamps that cover this ledger index, the earliest first.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder: write each checkpoint with its timestamp, for an auditor.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the timestamps that a TSA gave, newest first, and write them to files that openssl can verify."""
    settings = Settings.load(home)
    acting(settings, Action.LOOK)
    rows = with_database(settings, lambda connection: listing(connection, limit, entry))
    files = [] if out is None else _written(out, rows)
    found = [described(row) for row in rows]
    answer({"timestamps": found, "files": files}, as_json, "\n".join(map(_line, found)) or "none")
    if files:
        say(f"wrote {len(files)} files to {out}; verify one: openssl ts -verify -data CHECKPOINT -in TSR -CAfile ROOTS")


def _line(found: dict[str, Any]) -> str:
    return f"{found['at']}  {found['size']:>8} entries  {found['tsa']}"


def _written(folder: Path, rows: Sequence[Any]) -> list[str]:
    files = {}
    for row in rows:
        files[f"checkpoint-{row.size}"] = row.note.encode()
        files[f"checkpoint-{row.size}.{row.place}.tsr"] = row.response
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
    except OSError as error:
        raise FileUnwritable(
            f"{folder} cannot be written: {error.strerror}", "name a folder with --out, and repeat the command"
        ) from error
    return [str(folder / name) for name in files]
