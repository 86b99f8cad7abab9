"""`seci-node witness` and `seci-node trust`: what is known of the hub's ledger, and how to go on once it was caught.

Both read the node's folder itself, so that they work whether the agent runs or not; `trust` wants it stopped.
"""

import asyncio
import time
from typing import Annotated, Any, Final

import typer
from sqlalchemy.engine import Connection

from crypto.cosignature import CosignerKey
from crypto.keyfile import load_node_keys
from crypto.note import in_short
from crypto.trust import Trust, open_roster
from crypto.trust import witness_key as named
from nodes import handovers, histories, rosters
from nodes.errors import AlarmUnknown
from nodes.locked import alone
from nodes.settings import Settings
from nodes.setup import witness_key
from nodes.shell import AsJson, Home, answer, say
from nodes.store import Store
from nodes.witness import describe, warnings

ATTENTION: Final = 3
SHORTEST: Final = 10
LONGEST: Final = 60
_LISTED: Final = {
    "own": "has this key",
    "none": "has no witness key of this node: send enrolment.json to the hub's operators again",
    "other": "has ANOTHER witness key of this node",
}


def witness(home: Home, as_json: AsJson = False) -> None:
    """Show this node's witness key, the hub's, how far it has followed the ledger, and any alarm: exit code 3."""
    settings = Settings.load(home)
    state, evidence = asyncio.run(with_store(settings, lambda c: _read(c, settings)))
    second = settings.log_vkey_mldsa
    state["log_vkey_mldsa"] = second
    lines = [
        f"key        {state['vkey']}",
        f"hub        {state['log_vkey']}",
        *(() if second is None else (f"and        {in_short(second)} (all of it with --json)",)),
        f"roster     {_LISTED[state['listed']]}",
        f"followed   {state['followed'] or 'nothing yet'}{', cosigned' if state['cosigned'] else ''}",
        f"witnessed  {state['witnessed'] or 'nothing yet'}",
        f"receipts   {state['unwitnessed_receipts']} under no witnessed checkpoint yet",
        *(f"WARNING {warning}" for warning in warnings(state)),
        *(f"\n{_in_short(item)}" for item in evidence),
    ]
    answer({**state, "evidence": evidence}, as_json, "\n".join(lines))
    if state["alarm"]:
        raise typer.Exit(ATTENTION)


def trust(
    home: Home,
    accept_alarm: Annotated[int, typer.Option(help="The alarm's number: `seci-node witness` shows it.")],
    reason: Annotated[str, typer.Option(help="Why, and on whose word; it is kept with the alarm.")],
    as_json: AsJson = False,
) -> None:
    """Go on with a hub that was caught, from whatever it says now. Only once its operators have explained it to you.

    What it signed before binds it no longer; the alarm and its evidence are kept. After `roster_key_foreign` it means
    that the keys are this node's own, and nothing else changes. Stop the agent first.
    """
    settings = Settings.load(home)
    if len(reason.strip()) < SHORTEST:
        raise typer.BadParameter(
            "--reason is too short to be one: write who explained what, and how you made sure of it"
        )
    with alone(home):
        done, left = asyncio.run(with_store(settings, lambda c: _decide(c, accept_alarm, reason.strip())))
    if not done:
        raise AlarmUnknown(f"no alarm {accept_alarm} waits for a decision", "see `seci-node witness`")
    result = {"alarm": accept_alarm, "accepted": True, "left": left}
    still = "the hub is trusted again" if left is None else f"alarm {left} waits for a decision, too"
    answer(result, as_json, f"alarm {accept_alarm} is decided; {still}")
    say(f"next: seci-node {'run' if left is None else 'witness'} --home {home}")


def _decide(connection: Connection, number: int, reason: str) -> tuple[bool, int | None]:
    done = histories.decide(connection, number, reason, time.time_ns() // 1_000_000)
    left = histories.undecided(connection)
    return done, None if left is None else left.number


def _read(connection: Connection, settings: Settings) -> tuple[dict[str, Any], tuple[str, ...]]:
    now = time.time_ns() // 1_000_000
    found = histories.undecided(connection)
    signed = rosters.newest(connection)
    listed, hub = None, handovers.keys_of(connection, settings.log_verifier())
    if signed is not None:
        listed = Trust.of(open_roster(signed, hub)).witnesses(now).get(settings.node)
    state = {"log_vkey": hub.newest.vkey()} | describe(connection, settings.log_origin, _own(settings), listed, now)
    return state, () if found is None else found.evidence


def _in_short(item: str) -> str:
    # The news of a roster is for programs.
    return item if "\n" in item or len(item) < LONGEST else f"{item[:LONGEST]}... (all of it with --json)"


def _own(settings: Settings) -> CosignerKey:
    return named(settings.node, witness_key(settings).public.public_bytes())


async def with_store(settings: Settings, work: Any) -> Any:
    """What `work` finds in the node's store."""
    keys = load_node_keys(settings.home / "node.key", settings.secret())
    box = Store.open(settings.home / "node.db", keys.storage)
    try:
        return await box.run(work)
    finally:
        box.close()
