"""The hub's signing key is replaced while messages go on: nothing is lost, every receipt verifies, nobody alarms."""

import asyncio
import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from crypto.bundle import Evidence
from crypto.evidence import verify_evidence
from crypto.keyfile import load_signing_key
from crypto.keys import SigningKey
from crypto.note import Checkpoint, NoteSigner, sign_note
from crypto.policy import Policy
from crypto.receipt import leaf_of
from deploy.local.exchange import Exchange
from hub import handing
from hub.broker import BrokerAddress
from hub.dispatch import Dispatcher
from hub.publication import Publication
from hub.settings import Settings
from nodes.verify_ledger import verify_ledger
from schemas.control import Entry, Event, MessageType, Receipt, Receipts
from tests.system.conftest import NODES
from tests.system.play import await_delivered, check_nothing_lost, kill, talking, until

pytestmark = pytest.mark.system

AWAY = "hr"


def _asked(exchange: Exchange, node: str, query: str) -> list[Any]:
    """What a node's store says; a program for each question would be a long test."""
    store = sqlite3.connect(exchange.node_home(node) / "node.db", timeout=30)
    try:
        return [row[0] for row in store.execute(query)]
    finally:
        store.close()


def _alarms(exchange: Exchange, node: str) -> list[str]:
    return _asked(exchange, node, "SELECT code FROM alarm WHERE decided_at IS NULL")


def _all_follow(exchange: Exchange, nodes: set[str]) -> bool:
    assert {node: _alarms(exchange, node) for node in nodes} == {node: [] for node in nodes}
    return all(_asked(exchange, node, "SELECT in_force FROM handover") == [1] for node in nodes)


def _verified(*arguments: object) -> dict[str, Any]:
    command = [sys.executable, "-m", "nodes.verify", *map(str, arguments), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


async def _forge(settings: Settings, origin: str, old: SigningKey, node: str) -> None:
    """What a thief of the old key can say through the broker: a receipt in a tree of its own."""
    entry = Entry(event=Event.RELEASED, at=1, node="seci").to_bytes()
    root = leaf_of(bytes(32), entry)
    # Of a size beyond the handover; that the proof does not fit is found later than by whom it is signed.
    note = sign_note(Checkpoint(origin, 1 << 40, root).text(), NoteSigner(origin, old))
    receipts = Receipts(checkpoint=note, receipts=(Receipt(index=0, entry=entry, salt=bytes(32), proof=()),))
    dispatcher = Dispatcher(BrokerAddress.of(settings))
    try:
        item = Publication(node, MessageType.RECEIPTS, False, "forged", receipts.to_bytes())
        assert not await dispatcher.publish([item])
    finally:
        await dispatcher.close()


@pytest.mark.long
def test_another_key_signs_under_load_with_two_workers_and_a_node_away(exchange: Exchange, tmp_path: Path) -> None:
    settings = Settings.load(exchange.hub_home)
    old = load_signing_key(exchange.hub_home / handing.KEY, settings.secret())
    exchange.start_hub("hub-2")
    with talking(exchange, ("bg", "ro"), ("ro", "bg"), ("bg", AWAY), pause_s=1.0) as sent:
        until("something sent", lambda: len(sent) > 3)
        kill(exchange, f"node-{AWAY}")
        before = len(sent)
        assert exchange.hub("hub-key", "prepare")["key"] == exchange.hub("hub-key", "show")["prepared"]
        rolled = exchange.hub("hub-key", "roll")
        assert rolled["key"] != old.public.key_id.hex()
        until("the new key followed", lambda: _all_follow(exchange, set(NODES) - {AWAY}))
        until("more sent", lambda: len(sent) > before + 6)
        exchange.start_node(AWAY)
        exchange.await_nodes([AWAY])
        until("followed by who was away", lambda: _all_follow(exchange, {AWAY}))
    kill(exchange, "hub-2")
    await_delivered(exchange, sent)
    check_nothing_lost(exchange, sent, ("bg", "ro", AWAY))
    [shown] = exchange.hub("hub-key", "show")["handovers"]
    assert shown["cosigned"] == shown["witnesses"] == len(NODES)
    acts = [entry["detail"] for entry in exchange.hub("ledger", "search", "--event", "operator")["entries"]]
    assert any("hub_key=roll" in str(act) for act in acts)
    # Whichever key an auditor knows, all of it is proven.
    origin = settings.log_origin
    new = NoteSigner(origin, load_signing_key(exchange.hub_home / handing.KEY, settings.secret())).verifier
    export, policies = tmp_path / "export", list[Policy]()
    exchange.hub("ledger", "export", str(export))
    for keys in ([NoteSigner(origin, old).verifier], [new], [NoteSigner(origin, old).verifier, new]):
        policies.append(Policy.of(keys, [], 0))
        assert len(verify_ledger(export, policies[-1], (), lambda *_: None).handovers) == 1
    for number, (sender, id) in enumerate((sent[0], sent[before], sent[-1])):
        bundle = tmp_path / f"bundle-{number}"
        exchange.node(sender, "receipt", id, "--out", str(bundle))
        for policy in policies:
            assert verify_evidence(Evidence.from_bytes(bundle.read_bytes()), policy).answers
    (tmp_path / "policy").write_bytes(policies[0].to_bytes())
    assert _verified(bundle, "--policy", tmp_path / "policy")["ok"] is True
    # A thief of the old one is caught by whoever is told.
    asyncio.run(_forge(settings, origin, old, "tr"))
    until("the alarm", lambda: _alarms(exchange, "tr") == ["hub_key_changed"])
    kill(exchange, "node-tr")
    shown = exchange.node("tr", "witness")
    assert (shown["log_vkey"], shown["alarm"]["code"]) == (new.vkey(), "hub_key_changed")
    number = str(shown["alarm"]["number"])
    exchange.node("tr", "trust", "--accept-alarm", number, "--reason", "a test told me that it was a test")
    exchange.start_node("tr")
    exchange.await_nodes(["tr"])
    # From nothing it goes through the handover once more, and on.
    both = rolled["handover"]["index"] + 1
    until("followed again", lambda: _asked(exchange, "tr", "SELECT size FROM witness") > [both])
    assert _all_follow(exchange, set(NODES))
