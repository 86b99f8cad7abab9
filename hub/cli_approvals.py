"""`seci-hub approvals`: what takes two and waits for the second."""

import json
import sys
from typing import Annotated, Any, Final

import typer
from sqlalchemy.ext.asyncio import AsyncConnection

from crypto import typed
from hub import approvals
from hub.approvals import Approval
from hub.errors import OwnApproval
from hub.roles import Action
from hub.settings import Settings
from hub.setup import ledger_of
from hub.shell import AsJson, Home, acting, answer, now_ms, say, with_database

approvals_app: Final = typer.Typer(no_args_is_help=True, help="What takes two, and waits for the second.")
Number = Annotated[int, typer.Argument(min=1, max=typed.MOST, metavar="NUMBER", help="As `list` shows it.")]


@approvals_app.command("list")
def list_(
    home: Home,
    every: Annotated[bool, typer.Option("--all", help="Also what was done, refused or has expired.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    as_json: AsJson = False,
) -> None:
    """List what was asked for and is not done, newest first."""
    settings = Settings.load(home)
    acting(settings, Action.LOOK)
    now = now_ms()
    rows = with_database(settings, lambda connection: approvals.listing(connection, now, limit, every=every))
    found = [row.described(now) for row in rows]
    answer({"approvals": found}, as_json, "\n".join(map(_line, found)) or "nothing waits")


@approvals_app.command()
def show(number: Number, home: Home, as_json: AsJson = False) -> None:
    """Show what exactly would be confirmed."""
    settings = Settings.load(home)
    acting(settings, Action.LOOK)
    found = with_database(settings, lambda connection: approvals.get(connection, number)).described(now_ms())
    answer(found, as_json, json.dumps(found, indent=2, ensure_ascii=False))


@approvals_app.command()
def confirm(
    number: Number,
    home: Home,
    yes: Annotated[bool, typer.Option("--yes", help="Do not show it and ask first.")] = False,
    as_json: AsJson = False,
) -> None:
    """Confirm what somebody else asked for: read it, and ask whoever asked. Whoever may do it repeats the command then.

    Exit code 4 if you asked for it yourself, or it was confirmed, refused or done already, or has expired.
    """
    settings, found = _of(home, number)
    actor = acting(settings, Action.CONFIRM, approvals.confirming(found))
    if actor.name == found.asked_by:
        # Not only when it is written: nobody should be asked a question that leads nowhere.
        raise OwnApproval(f"approval {number} is what you asked for", "let another security officer confirm it")
    if not yes and (as_json or not sys.stdin.isatty()):
        raise typer.BadParameter("it asks first, and nobody is there to answer: look at it with `show`, and say --yes")
    if not yes:
        say(json.dumps(found.described(now_ms()), indent=2, ensure_ascii=False))
        typer.confirm(f"Confirm that {found.asked_by} may do this?", abort=True, err=True)

    async def work(connection: AsyncConnection) -> Approval:
        return await approvals.confirm(connection, number, actor.name)

    done = with_database(settings, work, ledger_of(settings), actor).described(now_ms())
    answer({"ok": True, **done}, as_json, f"approval {number} is confirmed")
    say(f"next: {found.asked_by} repeats the command, before {done['expires']}")


@approvals_app.command()
def refuse(number: Number, home: Home, as_json: AsJson = False) -> None:
    """Refuse what was asked for, or take back what you confirmed, while it is not done."""
    settings, found = _of(home, number)
    actor = acting(settings, Action.REFUSE, approvals.confirming(found))

    async def work(connection: AsyncConnection) -> Approval:
        return await approvals.refuse(connection, number, actor.name)

    done = with_database(settings, work, ledger_of(settings), actor).described(now_ms())
    answer({"ok": True, **done}, as_json, f"approval {number} is refused")


def _of(home: Home, number: int) -> tuple[Settings, Approval]:
    settings = Settings.load(home)
    acting(settings, Action.LOOK)
    return settings, with_database(settings, lambda connection: approvals.get(connection, number))


def _line(found: dict[str, Any]) -> str:
    words = " ".join(f"{name}={value}" for name, value in found["subject"].items())
    who = f"{found['asked_by']} asked {found['asked_at']}"
    confirmed = f", {found['confirmed_by']} confirmed" if found["confirmed_by"] else ""
    return f"{found['approval']:>6}  {found['state']:9}  {found['action']}: {words}; {who}{confirmed}"
