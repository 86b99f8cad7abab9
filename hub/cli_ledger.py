"""`seci-hub ledger`: verify what is stored, export it for auditors, publish it as tiles, find entries in it."""

import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final
from uuid import UUID

import typer
from sqlalchemy.ext.asyncio import AsyncConnection

from crypto import typed
from crypto.export import Manifest
from crypto.progress import Progress
from hub import search as searching
from hub import tiles as tiling
from hub.audit import audit
from hub.cli_erase import erase, retention
from hub.cli_time import timestamp, timestamps
from hub.errors import LedgerBroken
from hub.export import Exported, export
from hub.exportfolder import ExportFolder
from hub.roles import Action
from hub.search import Sought
from hub.settings import Settings
from hub.setup import hub_keys, ledger_of
from hub.shell import AsJson, Home, acting, answer, say, with_database
from hub.tilefolder import TileFolder
from hub.tiles import Tiled
from schemas.codes import TASK_FORCES
from schemas.control import Event

_Folder = Annotated[Path, typer.Argument(help="Made if it is not there; one that is there is gone on with.")]
ledger_app: Final = typer.Typer(no_args_is_help=True, help="The audit ledger.")
_EVENTS: Final = tuple(map(str, Event))


def _moment(text: str) -> int:
    """A day or a time, in milliseconds."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        forms = "a day, 2026-11-24, or a time, 2026-11-24T14:00 or 2026-11-24T14:00:00+02:00; in UTC if it has no zone"
        raise typer.BadParameter(f"{text!r} is no time; write {forms}") from None
    return round((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)


@ledger_app.command()
def verify(home: Home, as_json: AsJson = False) -> None:
    """Compute the whole ledger again, row by row, and hold it against every checkpoint and the lock store.

    Exit code 6 if a row was changed, taken away or added: it says which was the first. Safe beside running workers.
    """
    settings = Settings.load(home)
    log = ledger_of(settings)
    progress = Progress("entries")
    try:
        audited = with_database(settings, lambda connection: audit(connection, log, progress))
    except LedgerBroken as error:
        if not as_json:
            raise
        found = {"fault": error.fault, "table": error.table, "index": error.index}
        answer({"ok": False, "code": error.code, **found, "detail": str(error), "next": error.next_step}, as_json, "")
        raise typer.Exit(error.exit_code) from error
    finally:
        progress.end()
    result = {
        "ok": True,
        "size": audited.size,
        "checkpoints": audited.checkpoints,
        "root": audited.root.hex(),
        "erased": audited.erased,
    }
    erased = f", {audited.erased} erased" if audited.erased else ""
    text = f"ledger holds: {audited.size} entries{erased}, {audited.checkpoints} checkpoints, root {audited.root.hex()}"
    answer(result, as_json, text)


@ledger_app.command("export")
def export_(
    folder: _Folder,
    home: Home,
    first: Annotated[
        int,
        typer.Option(
            "--from", min=0, max=typed.MOST, help="Leave out files that have only entries before it and are not there."
        ),
    ] = 0,
    witnessed: Annotated[
        bool, typer.Option("--witnessed", help="Only as far as a quorum of witnesses has cosigned the ledger.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write the whole ledger to a folder that `seci-verify` computes again, without any part of the hub.

    It holds entries with their salts, checkpoints and rosters: who sent what kind of message to whom and when, never
    content. Run it again to go on after an interruption or to add what is new. Safe beside running workers.
    """
    settings = Settings.load(home)
    acting(settings, Action.EXPORT, {"folder": str(folder), "from": first, "witnessed": witnessed})
    log = ledger_of(settings)
    manifest = Manifest(log.origin, log.keys.first.vkey())
    progress, begin = Progress("entries"), time.monotonic()
    try:
        with ExportFolder.open(folder, manifest) as opened:

            async def work(connection: AsyncConnection) -> Exported:
                return await export(connection, opened, first, progress, log, only_witnessed=witnessed)

            done, written = with_database(settings, work), opened.files
    finally:
        progress.end()
    result = {
        "ok": True,
        "folder": str(folder),
        "origin": log.origin,
        "size": done.size,
        "root": done.root.hex(),
        "witnessed": done.witnessed,
        "files": done.files,
        "kept": done.kept,
        "left_out": done.left_out,
        "written": written,
        "rosters": done.rosters,
        "handovers": done.handovers,
        "timestamps": done.timestamps,
        "seconds": round(time.monotonic() - begin, 3),
    }
    text = f"{done.size} entries in {folder}, root {done.root.hex()}; {written} files written, {done.kept} kept"
    answer(result, as_json, text)
    if done.left_out:
        say(f"left out: {done.left_out} files of entries; next: lay it over the export that has them")
        return
    say(f"next: give it to the auditor, and the ledger's key over another way; there: seci-verify {folder}")


@ledger_app.command()
def tiles(folder: _Folder, home: Home, as_json: AsJson = False) -> None:
    """Write the ledger to a folder as a tiled log (C2SP tlog-tiles), which any static file server can serve.

    It holds the newest checkpoint that a quorum of witnesses has cosigned (the newest one while there is none), the
    tree's hashes, and a commitment to each entry: nothing of what entries say.

    Run it again to go on after an interruption or to add what is new; until the new checkpoint is there, the folder is
    the log that it was. Safe beside running workers.
    """
    settings = Settings.load(home)
    log = ledger_of(settings)
    progress, begin = Progress("entries"), time.monotonic()
    try:
        with TileFolder.open(folder, log.keys) as opened:
            published = opened.published
            chosen = with_database(settings, lambda connection: tiling.choose(connection, log, published))

            async def work(connection: AsyncConnection) -> Tiled:
                return await tiling.write(connection, opened, chosen.head, progress)

            done, written = with_database(settings, work), opened.written
    finally:
        progress.end()
    result = {
        "ok": True,
        "folder": str(folder),
        "origin": log.origin,
        "size": done.size,
        "root": done.root.hex(),
        "cosignatures": done.cosignatures,
        "witnessed": chosen.witnessed,
        "newest": chosen.newest,
        "written": written,
        "left_out": done.left_out,
        "seconds": round(time.monotonic() - begin, 3),
    }
    which = "cosigned by a quorum" if chosen.witnessed else "not cosigned by a quorum"
    text = f"{done.size} entries in {folder}, root {done.root.hex()}, {which}; {written} files written"
    answer(result, as_json, text)
    if chosen.newest > done.size:
        say(f"the ledger has {chosen.newest - done.size} entries more, for a later run")
    if done.left_out:
        say(f"left out: {done.left_out} bundles, of which an entry was erased before commitments were kept")


@ledger_app.command()
def search(
    home: Home,
    id: Annotated[UUID | None, typer.Option(help="A message's id.")] = None,
    thread: Annotated[UUID | None, typer.Option(help="All messages of a thread.")] = None,
    node: Annotated[str | None, typer.Option(help="Who acted, sent it, or is to get it.")] = None,
    task_force: Annotated[str | None, typer.Option(parser=typed.one_of(TASK_FORCES), metavar="CODE")] = None,
    since: Annotated[int | None, typer.Option(parser=_moment, metavar="TIME", help="From that day or time on.")] = None,
    until: Annotated[int | None, typer.Option(parser=_moment, metavar="TIME", help="Before that day or time.")] = None,
    event: Annotated[str | None, typer.Option(parser=typed.one_of(_EVENTS), metavar="EVENT")] = None,
    before: Annotated[int | None, typer.Option(min=0, max=typed.MOST, help="Go on below this ledger index.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    as_json: AsJson = False,
) -> None:
    """Find entries, newest first. All that is asked must hold."""
    settings = Settings.load(home)
    sought = Sought(id, thread, node, task_force, event, since, until, before, limit)
    asked = {name: str(value) for name, value in asdict(sought).items() if value is not None and name != "limit"}
    acting(settings, Action.CONSULT, {"search": asked})

    async def work(connection: AsyncConnection) -> list[dict[str, Any]]:
        if node is not None:
            await searching.check_node(connection, node, hub_keys(settings))
        return await searching.search(connection, sought)

    found = with_database(settings, work)
    more = found[-1]["index"] if len(found) == limit else None
    answer({"entries": found, "before": more}, as_json, "\n".join([_HEAD, *map(_line, found)] if found else ["none"]))
    if more is not None:
        say(f"there may be more: --before {more}")


_HEAD: Final = f"{'entry':>8}  {'at (UTC)':24}  {'event':11} {'node':6} what"


def _line(found: dict[str, Any]) -> str:
    words = [found[name] for name in ("message", "task_force", "kind", "code", "detail") if name in found]
    who = found.get("node", "erased")
    return f"{found['index']:>8}  {found['at']}  {found['event']:11} {who:6} {'  '.join(words)}".rstrip()


for _command in (timestamp, timestamps, erase, retention):
    ledger_app.command()(_command)
