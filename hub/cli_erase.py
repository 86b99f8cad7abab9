"""`seci-hub ledger erase` and `retention`: what entries say is taken away, by an operator or by rule; proofs stay."""

import asyncio
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Annotated, Any, Final

import typer
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from crypto import typed
from crypto.progress import Progress
from hub import database, erasure
from hub import retention as rules
from hub.credentials import NAME_SIZE
from hub.erasure import Candidate
from hub.errors import SettingsInvalid
from hub.ledger import DETAIL_SIZE
from hub.quarantine import Decision
from hub.retention import Swept
from hub.roles import Action
from hub.settings import Settings
from hub.setup import ledger_of
from hub.shell import AsJson, Home, acting, answer, say, with_database
from hub.watch import iso
from schemas.control import MOST_ERASED

Indices = Annotated[
    list[int], typer.Argument(min=0, max=typed.MOST, help="Ledger indices, as `seci-hub trace` shows them.")
]
# Beside the longest name of an operator.
_REASON_SIZE: Final = DETAIL_SIZE - NAME_SIZE - len(": ")
_STAYS: Final = (
    "in PostgreSQL it is gone for good only after VACUUM, and in its backups when they are; receipts that nodes and"
    " auditors hold are not touched"
)


def erase(
    index: Indices,
    home: Home,
    reason: Annotated[
        str | None, typer.Option("--reason", help="Why; it stays in the ledger for ever: name no person.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be erased; needs no reason.")] = False,
    as_json: AsJson = False,
) -> None:
    """Erase what entries say, for good: salt, entry, and what repeats them. All of them or none.

    That it was done, by whom and why is an entry of its own. Proofs of all entries, of these too, still verify. Exit
    code 4 for an entry that must stay, is needed yet, or is erased already.
    """
    settings, indices = Settings.load(home), sorted(set(index))
    if len(indices) > MOST_ERASED:
        raise typer.BadParameter(f"at most {MOST_ERASED} entries at once")
    if dry_run:
        acting(settings, Action.CONSULT, {"erasable": indices})
        _tell(with_database(settings, lambda connection: _look(connection, indices)), as_json)
        return
    if reason is None:
        raise typer.BadParameter("--reason is missing: why they are erased")
    words = words_of(reason)
    if not yes and (as_json or not sys.stdin.isatty()):
        raise typer.BadParameter("it asks first, and nobody is there to answer: look at them again, and say --yes")
    subject = {"entries": indices, "reason": words}
    actor = acting(settings, Action.ERASE, subject, lambda connection: _look(connection, indices))
    log, decision = ledger_of(settings), Decision(actor.name, words)
    if not yes:
        found = with_database(settings, lambda connection: _look(connection, indices))
        say("\n".join(map(_line, found)))
        typer.confirm(f"Erase what these {len(found)} entries say, for good?", abort=True, err=True)
    by = with_database(settings, lambda connection: erasure.erase(connection, log, indices, decision), log, actor)
    result = {"ok": True, "dry_run": False, "erased": indices, "erased_by": by}
    answer(result, as_json, f"{len(indices)} erased, as entry {by} says")
    say(_STAYS)


def _tell(found: Sequence[Candidate], as_json: bool) -> None:
    """What a dry run says: nothing was erased."""
    entries = [
        {
            "index": item.index,
            "at": iso(item.entry.at),
            "event": str(item.entry.event),
            "node": item.entry.node,
            "message": None if item.entry.message is None else str(item.entry.message),
        }
        for item in found
    ]
    result = {"ok": True, "dry_run": True, "erased": [], "erased_by": None, "would_erase": entries}
    answer(result, as_json, "\n".join([f"{len(found)} would be erased", *map(_line, found)]))


def _line(found: Candidate) -> str:
    return f"{found.index:>8}  {iso(found.entry.at)}  {found.entry.event:11} {found.entry.node}"


async def _look(connection: AsyncConnection, indices: list[int]) -> list[Candidate]:
    found = await erasure.candidates(connection, indices)
    erasure.check(found, time.time_ns() // 1_000_000)
    return found


def retention(
    home: Home,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be erased.")] = False,
    as_json: AsJson = False,
) -> None:
    """Erase what the rules under `retention` in hub.json say is old enough; to be run daily.

    In batches, each with an entry that says so: interrupt it when you like, and run it again. Safe beside running
    workers. What no rule is about is kept for ever.
    """
    settings = Settings.load(home)
    if not settings.retention:
        step = 'add for example "retention": [{"event": "refused", "keep_days": 365}]; see docs/operations.md'
        raise SettingsInvalid("hub.json has no rules of retention", step)
    actor = acting(settings, Action.LOOK if dry_run else Action.RETENTION)
    erasing = None if dry_run else (ledger_of(settings), Decision(actor.name, rules.REASON))
    progress = Progress("entries")
    try:
        done = _swept(settings, lambda engine: rules.sweep(engine, settings.retention, progress, erasing))
    finally:
        progress.end()
    counts = [
        {"event": event, "kind": kind, "entries": number} for (event, kind), number in sorted(done.due.items(), key=str)
    ]
    result = {"ok": True, "dry_run": dry_run, "erased": done.count, "by_event": counts, "erased_by": done.erased_by}
    lines = [f"{item['entries']:>8}  {item['event']:11} {item['kind'] or ''}".rstrip() for item in counts]
    words = "would be erased" if dry_run else f"erased, in {len(done.erased_by)} batches"
    answer(result, as_json, "\n".join([f"{done.count} {words}", *lines]))
    if done.count and not dry_run:
        say(_STAYS)


def _swept(settings: Settings, work: Callable[[AsyncEngine], Coroutine[Any, Any, Swept]]) -> Swept:
    async def main() -> Swept:
        engine = database.engine_of(settings.database_url)
        try:
            return await work(engine)
        finally:
            await engine.dispose()

    try:
        return asyncio.run(main())
    except database.DATABASE_TROUBLE as error:
        raise database.explained(error) from error


def words_of(reason: str) -> str:
    """The reason that goes into an entry behind its operator's name. Raises SettingsInvalid."""
    words = reason.strip()
    if not words:
        raise SettingsInvalid("the reason is empty", "say why: it goes into the ledger")
    if len(words) > _REASON_SIZE:
        raise SettingsInvalid(f"the reason has more than {_REASON_SIZE} letters", "make it shorter")
    return words
