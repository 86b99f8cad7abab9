"""`seci-hub roster`: who takes part, with which keys, and what changed from version to version."""

from typing import Annotated, Any, Final

import typer
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from crypto import typed
from crypto.trust import open_roster
from hub import tables
from hub.errors import RosterUnknown
from hub.roles import Action
from hub.settings import Settings
from hub.setup import hub_keys
from hub.shell import AsJson, Home, acting, answer, with_database
from hub.watch import iso
from schemas import rosterwords
from schemas.control import Entry
from schemas.roster import Roster

roster_app: Final = typer.Typer(no_args_is_help=True, help="The roster and its versions.")
Version = Annotated[int, typer.Argument(min=1, max=typed.MOST, help="A version of the roster.")]


@roster_app.command()
def show(
    home: Home,
    version: Annotated[int | None, typer.Option(min=1, max=typed.MOST, help="Of this version; default: now.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show a roster: each node with its state, agencies, task forces and keys."""
    settings = Settings.load(home)
    acting(settings, Action.LOOK)
    found = _roster(settings, version)
    answer(rosterwords.fields(found), as_json, "\n".join(rosterwords.lines(found)))


@roster_app.command()
def history(
    home: Home,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    as_json: AsJson = False,
) -> None:
    """List the roster's versions, newest first: when each was, its entry in the ledger, and what changed with it."""
    settings = Settings.load(home)
    acting(settings, Action.CONSULT, {"roster": limit})
    key = hub_keys(settings)

    async def work(connection: AsyncConnection) -> list[dict[str, Any]]:
        table, act, entry = tables.roster.c, tables.node_act.c, tables.ledger_content.c
        rows = (await connection.execute(select(tables.roster).order_by(table.version.desc()).limit(limit + 1))).all()
        rosters = [open_roster(row.signed, key) for row in rows]
        said = select(act.version, entry.entry).outerjoin_from(
            tables.node_act, tables.ledger_content, act.leaf_index == entry.leaf_index
        )
        # Who and why stand in the entry alone, so that they are gone with it when it is erased.
        why = {row.version: row.entry and Entry.from_bytes(row.entry).detail for row in await connection.execute(said)}
        found = []
        for place, row in enumerate(rows[:limit]):
            before = rosters[place + 1] if place + 1 < len(rosters) else None
            found.append(
                {
                    "version": row.version,
                    "at": iso(row.at),
                    "index": row.leaf_index,
                    "changes": rosterwords.differences(before, rosters[place]),
                    "why": why.get(row.version),
                }
            )
        return found

    found = with_database(settings, work)
    lines = []
    for item in found:
        lines.append(
            f"{item['version']:>6}  {item['at']}  entry {item['index']}{'; ' if item['why'] else ''}{item['why'] or ''}"
        )
        lines += [f"        {change}" for change in item["changes"]]
    answer({"versions": found}, as_json, "\n".join(lines or ["there is no roster yet"]))


@roster_app.command()
def diff(one: Version, other: Version, home: Home, as_json: AsJson = False) -> None:
    """Show what changed from one version to another."""
    settings = Settings.load(home)
    acting(settings, Action.LOOK)
    found = rosterwords.differences(_roster(settings, one), _roster(settings, other))
    answer({"from": one, "to": other, "changes": found}, as_json, "\n".join(found or ["nothing has changed"]))


def _roster(settings: Settings, version: int | None) -> Roster:
    key = hub_keys(settings)

    async def work(connection: AsyncConnection) -> bytes | None:
        table = tables.roster.c
        query = select(table.signed).order_by(table.version.desc()).limit(1)
        found: bytes | None = await connection.scalar(
            query if version is None else query.where(table.version == version)
        )
        return found

    signed = with_database(settings, work)
    if signed is None:
        raise RosterUnknown(
            f"there is no roster{'' if version is None else f' of version {version}'}", "see `seci-hub roster history`"
        )
    return open_roster(signed, key)
