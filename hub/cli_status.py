"""`seci-hub status`: the first thing that an operator looks at."""

import asyncio
from typing import Any, Final

import typer

from crypto.expiry import warnings
from crypto.note import in_short
from hub.errors import HubError, SessionRequired
from hub.roles import Action
from hub.settings import Settings
from hub.setup import ledger_of
from hub.shell import AsJson, Home, acting, answer, say, with_database
from hub.situation import REACHABLE, broker_state, situation

_CONTRADICTED: Final = (
    'WITNESSES   {} cosigned checkpoints are of another ledger; see docs/operations.md, "A witness contradicts"'
)

_NO_SECOND: Final = "none: checkpoints have an Ed25519 signature alone; run `seci-hub init` again, restart the workers"


def status(home: Home, as_json: AsJson = False) -> None:
    """Show the ledger's size, messages, refusals, and what waits. Which nodes there are only to who is logged in.

    Exit code 3 if something needs attention, 5 if the broker or the database does not answer.
    """
    settings = Settings.load(home)
    log = ledger_of(settings)
    now = with_database(settings, lambda connection: situation(connection, settings, log))
    found, soon, nodes_soon = now.told, warnings(now.ends, now.at), warnings(now.node_ends, now.at)
    if not _is_known(settings):
        found["node_ends"], nodes_soon = None, []
        if found["roster"]:
            found["roster"]["nodes"] = found["roster"]["absent"] = None
    found["broker"] = asyncio.run(broker_state(settings))
    second = found["ledger"]["vkey_mldsa"]
    lines = [
        f"workers     {found['workers']}{'' if found['workers'] else ': NOBODY takes messages in; start seci-hub run'}",
        f"ledger      {found['ledger']['size']} entries, root {found['ledger']['root'][:16]}",
        f"witnessed   {_witnessed(found['ledger'])}",
        f"ledger key  {found['ledger']['vkey']}",
        f"second key  {f'{in_short(second)} (all of it with --json)' if second else _NO_SECOND}",
        _roster_line(found["roster"]),
        *(f"shut out    {node}: {state}" for node, state in ((found["roster"] or {}).get("absent") or {}).items()),
        f"messages    {found['messages']} accepted, {found['acknowledged']} acknowledged by recipients",
        refused_line(found["refused"]),
        f"quarantined {found['quarantined']}",
        f"overdue     {found['overdue']} answers",
        *([_CONTRADICTED.format(found["contradictions"])] if found["contradictions"] else ()),
        f"held        {found['held']} deliveries that the broker would not take yet",
        _time_line(found["timestamps"]),
        f"broker      {found['broker']}",
        _operators_line(found["operators"]),
        *([f"joining     {found['joining']} nodes ask to join: seci-hub requests"] if found["joining"] else ()),
        *(f"WARNING     {warning}: seci-hub renew" for warning in soon),
        *(f"WARNING     {warning}: telephone the node" for warning in nodes_soon),
    ]
    answer(found, as_json, "\n".join(lines))
    if found["broker"] != REACHABLE:
        raise typer.Exit(5)
    late = found["timestamps"]["late"] or soon or nodes_soon
    if found["held"] or found["quarantined"] or found["overdue"] or late or not found["workers"]:
        raise typer.Exit(3)


def _is_known(settings: Settings) -> bool:
    try:
        acting(settings, Action.LOOK)
    except SessionRequired:
        return False
    except HubError as error:
        # What the hub is like, one must see just then.
        say(f"who you are is not known: {error}")
        return False
    return True


def _witnessed(ledger: dict[str, Any]) -> str:
    size = ledger["witnessed"]
    return "no checkpoint yet" if size is None else f"to {size} entries, by more than half of the witnesses"


def _roster_line(roster: dict[str, Any] | None) -> str:
    if roster is None:
        return "roster      none; run `seci-hub provision`"
    nodes = "of which nodes: see `seci-hub login`" if roster["nodes"] is None else ", ".join(roster["nodes"])
    return f"roster      version {roster['version']}: {nodes}"


def _time_line(found: dict[str, Any]) -> str:
    last = found["newest"]
    said = f"{last['at']} over {last['size']} entries by {last['tsa']}" if last else "none"
    if not found["on"]:
        return f"timestamps  off: no TSA is set; newest: {said}"
    trouble = f"; {found['failures']} attempts failed, the last with {found['code']}" if found["code"] else ""
    late = f"; LATE: the oldest checkpoint without one is {found['unstamped_s']:.0f} s old" if found["late"] else ""
    return f"timestamps  newest: {said}{trouble}{late}"


def refused_line(found: dict[str, int]) -> str:
    """How many messages were refused, and by which codes if any was."""
    by_code = f" ({', '.join(f'{code} {number}' for code, number in found.items())})" if found else ""
    return f"refused     {sum(found.values())}{by_code}"


def _operators_line(found: dict[str, int]) -> str:
    if not found["enabled"]:
        return "operators   NONE YET: whoever has this shell acts as `setup`; see `seci-hub operator add --help`"
    failed = (
        f"; FAILED LOGINS of late: {found['failed_logins']}, `operator show` or syslog"
        if found["failed_logins"]
        else ""
    )
    alone = "" if found["officers"] > 1 else ": NOBODY can confirm what takes two; add another"
    return f"operators   {found['enabled']}, security officers {found['officers']}{alone}{failed}"
