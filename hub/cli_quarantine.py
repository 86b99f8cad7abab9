"""`seci-hub quarantine`: what could not be read, and what an operator decides on it."""

import json
from typing import Annotated, Final

import typer
from sqlalchemy.ext.asyncio import AsyncConnection

from crypto import typed
from hub import quarantine, registrar
from hub.errors import MessageUnknown, SettingsInvalid
from hub.judge import Verdict
from hub.quarantine import Decision
from hub.roles import Action
from hub.settings import Settings
from hub.setup import ledger_of
from hub.shell import AsJson, Home, acting, answer, with_database

quarantine_app: Final = typer.Typer(no_args_is_help=True, help="What could not be read.")
Index = Annotated[int, typer.Argument(min=0, max=typed.MOST, help="The ledger index, as `list` shows it.")]
Because = Annotated[str, typer.Option("--reason", help="Why; it goes into the ledger with your name.")]


@quarantine_app.command("list")
def list_(
    home: Home,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    every: Annotated[bool, typer.Option("--all", help="Also what was released or discarded.")] = False,
    as_json: AsJson = False,
) -> None:
    """List what nobody has decided on yet, newest first."""
    settings = Settings.load(home)
    acting(settings, Action.CONSULT, {"quarantine": "all" if every else "undecided"})
    found = with_database(settings, lambda connection: quarantine.listing(connection, limit, decided=every))
    head = (
        f"{'index':>8}  {'at':24}  {'node':5} {'type':16} {'reason':20} {'size':>8}       {'digest':16} "
        f"{'decision' if every else ''}"
    ).rstrip()
    lines = [
        f"{q['index']:>8}  {q['at']}  {q['node']:5} {q['type']:16} {q['reason']:20} {q['size'] or 0:>8} bytes "
        f"{q['digest'][:16]} {q['decision'] or ''}".rstrip()
        for q in found
    ]
    answer({"quarantined": found}, as_json, "\n".join([head, *lines] if lines else ["nothing waits in quarantine"]))


@quarantine_app.command()
def show(home: Home, index: Index, as_json: AsJson = False) -> None:
    """Show one thing in quarantine by its ledger index; never its content."""
    settings = Settings.load(home)
    acting(settings, Action.CONSULT, {"quarantine": index})
    found = with_database(settings, lambda connection: quarantine.listing(connection, 1, decided=True, index=index))
    if not found:
        raise MessageUnknown(f"nothing in quarantine has index {index}", "list it with `seci-hub quarantine list`")
    answer(found[0], as_json, json.dumps(found[0], indent=2))


@quarantine_app.command()
def release(home: Home, index: Index, reason: Because, as_json: AsJson = False) -> None:
    """Judge it anew, as if it had just arrived: under today's roster and by this version of the hub.

    Exit code 4 if it cannot be read today either; nothing is changed then.
    """
    settings, words = Settings.load(home), _words(reason)
    actor = acting(settings, Action.RELEASE, {"index": index, "reason": words})
    ledger, decision = ledger_of(settings), Decision(actor.name, words)

    async def work(connection: AsyncConnection) -> Verdict:
        trust = await registrar.trust(connection, ledger.keys)
        return await quarantine.release(connection, ledger, trust, index, decision)

    became = quarantine.outcome(with_database(settings, work, ledger, actor))
    answer({"index": index, "decision": "released", "became": became}, as_json, f"{index} is released: {became}")


@quarantine_app.command()
def discard(home: Home, index: Index, reason: Because, as_json: AsJson = False) -> None:
    """Delete its content for good. That it was there, and who discarded it, stays in the ledger."""
    settings, words = Settings.load(home), _words(reason)
    actor = acting(settings, Action.DISCARD, {"index": index, "reason": words})
    ledger, decision = ledger_of(settings), Decision(actor.name, words)
    with_database(settings, lambda connection: quarantine.discard(connection, ledger, index, decision), ledger, actor)
    answer({"index": index, "decision": "discarded"}, as_json, f"{index} is discarded")


def _words(reason: str) -> str:
    if not reason.strip():
        raise SettingsInvalid("the reason is empty", "say why: it goes into the ledger")
    return reason.strip()
