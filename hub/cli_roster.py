"""`seci-hub roster`: who takes part, with which keys, and what changed from version to version."""

from typing import Annotated, Any, Final

import typer
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from crypto import typed
from crypto.trust import open_roster
from hub import tables
from hub.errors import RosterUnknown
from hub.settings import Settings
from hub.setup import hub_key
from hub.shell import AsJson, Home, answer, with_database
from hub.watch import iso
from schemas import rosterwords
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
    found = _roster(Settings.load(home), version)
    answer(rosterwords.fields(found), as_json, "\n".join(rosterwords.lines(found)))


@roster_app.command()
def history(
    home: Home,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    as_json: AsJson = False,
) -> None:
    """List the roster's versions, newest first: when each was, its entry in the ledger, and what changed with it."""
    settings = Settings.load(home)
    key = hub_key(settings).public

    async def work(connection: AsyncConnection) -> list[dict[str, Any]]:
        table, act = tables.roster.c, tables.node_act.c
        rows = (await connection.execute(select(tables.roster).order_by(table.version.desc()).limit(limit + 1))).all()
        rosters = [open_roster(row.signed, key) for row in rows]
        why = {row.version: row for row in await connection.execute(select(tables.node_act).order_by(act.leaf_index))}
        found = []
        for place, row in enumerate(rows[:limit]):
            before = rosters[place + 1] if place + 1 < len(rosters) else None
            by = why.get(row.version)
            found.append(
                {
                    "version": row.version,
                    "at": iso(row.at),
                    "index": row.leaf_index,
                    "changes": rosterwords.differences(before, rosters[place]),
                    "operator": None if by is None else by.operator,
                    "reason": None if by is None else by.reason,
                }
            )
        return found

    found = with_database(settings, work)
    lines = []
    for item in found:
        by = f"; {item['operator']}: {item['reason']}" if item["operator"] else ""
        lines.append(f"{item['version']:>6}  {item['at']}  entry {item['index']}{by}")
        lines += [f"        {change}" for change in item["changes"]]
    answer({"versions": found}, as_json, "\n".join(lines or ["there is no roster yet"]))


@roster_app.command()
def diff(one: Version, other: Version, home: Home, as_json: AsJson = False) -> None:
    """Show what changed from one version to another."""
    settings = Settings.load(home)
    found = rosterwords.differences(_roster(settings, one), _roster(settings, other))
    answer({"from": one, "to": other, "changes": found}, as_json, "\n".join(found or ["nothing has changed"]))


def _roster(settings: Settings, version: int | None) -> Roster:
    key = hub_key(settings).public

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
