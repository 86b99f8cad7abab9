"""`seci-node roster`: who takes part by the rosters that this node has verified, and what changed when.

It reads the node's folder itself, so that it works whether the agent runs or not.
"""

import asyncio
from typing import Annotated, Any

import typer
from sqlalchemy.engine import Connection

from crypto import typed
from crypto.trust import open_roster
from nodes import handovers, rosters
from nodes.cli_witness import with_store
from nodes.errors import NotSetUp, RosterUnknown
from nodes.settings import Settings
from nodes.shell import AsJson, Home, answer
from nodes.times import iso
from schemas import rosterwords
from schemas.roster import Roster


def roster(
    home: Home,
    version: Annotated[int | None, typer.Option(min=1, max=typed.MOST, help="This one; default: in force.")] = None,
    history: Annotated[bool, typer.Option("--history", help="All versions, newest first, and what changed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the roster in force, or an earlier one, or what changed from version to version.

    Each was signed by the hub and proven to be in the ledger before it came into force here.
    """
    settings = Settings.load(home)
    known = asyncio.run(with_store(settings, lambda c: _known(c, settings)))
    if not known:
        raise NotSetUp("the store has no roster", "run `seci-node init --welcome FILE` again")
    if history:
        found = [_entry(one, before) for one, before in zip(known, [*known[1:], None], strict=True)]
        lines = []
        for item in found:
            lines += [f"{item['version']:>6}  {item['at']}", *(f"{'':8}{change}" for change in item["changes"])]
        answer({"versions": found}, as_json, "\n".join(lines))
        return
    wanted = known[0] if version is None else next((one for one in known if one.version == version), None)
    if wanted is None:
        raise RosterUnknown(
            f"roster version {version} was never in force here",
            f"this node has {known[-1].version} to {known[0].version}: seci-node roster --history",
        )
    answer(rosterwords.fields(wanted), as_json, "\n".join(rosterwords.lines(wanted)))


def _known(connection: Connection, settings: Settings) -> list[Roster]:
    """All that were in force, the newest first."""
    hub = handovers.keys_of(connection, settings.log_verifier())
    return [open_roster(signed, hub) for signed in rosters.all_in_force(connection)]


def _entry(one: Roster, before: Roster | None) -> dict[str, Any]:
    return {"version": one.version, "at": iso(one.at), "changes": rosterwords.differences(before, one)}
