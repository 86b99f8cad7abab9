"""Witnesses on a real exchange: receipts become witnessed, and a hub with two histories is caught by two nodes.

An exchange of its own: at the end of it nobody trusts its hub any more.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crypto.cosignature import CosignatureType, CosignerKey
from crypto.keys import SigningKey
from crypto.note import Checkpoint, Note, NoteVerifier, open_note
from crypto.proof import LogProof
from deploy.local.errors import CommandFailed
from deploy.local.exchange import Exchange, prepare_tls
from deploy.local.instance import REPOSITORY
from deploy.local.services import running
from hub.settings import Settings
from hub.setup import ledger_of
from tests.system.play import await_delivered, end, kill, post, state, until

pytestmark = pytest.mark.system

NODES = ("ro", "bg", "tr")
SETTLED = (("message", "leaf_index"), ("acknowledgement", "leaf_index"), ("ledger_leaf", "leaf_index"))


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    """Three nodes and a hub that are in a hurry to witness."""
    folder = tmp_path_factory.mktemp("witnesses")
    with running(folder, prepare_tls(folder), erase_after=True) as services:
        exchange = Exchange(folder, services, NODES)
        exchange.set_up()
        _set(exchange.hub_home / "hub.json", witness_round_s=1)
        for node in NODES:
            _set(exchange.node_home(node) / "node.json", witness_pause=0.5)
        exchange.start_hub()
        for node in NODES:
            exchange.start_node(node)
        exchange.await_nodes(NODES)
        yield exchange


def _set(file: Path, **settings: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_bytes()) | settings))


def _witness(exchange: Exchange, node: str) -> dict[str, Any]:
    found: dict[str, Any] = exchange.node(node, "witness")
    return found


def _is_witnessed(exchange: Exchange, node: str, id: str) -> bool:
    found = state(exchange, node, id)
    return bool(found["witnessed"] and all(item.get("witnessed") for item in found["deliveries"]))


def _verify(*arguments: str | Path) -> tuple[int, dict[str, Any]]:
    command = [sys.executable, "-m", "nodes.verify", *map(str, arguments), "--json"]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=REPOSITORY, env={"PYTHONPATH": str(REPOSITORY)}, check=False
    )
    return done.returncode, json.loads(done.stdout)


def test_receipts_upgrade_themselves_to_witnessed_ones(watched: Exchange, tmp_path: Path) -> None:
    posted = [post(watched, "ro") for _ in range(5)]
    await_delivered(watched, [("ro", id) for id in posted])
    for id in posted:
        until(f"{id} witnessed", lambda id=id: _is_witnessed(watched, "ro", id))
    bundle, policy = tmp_path / "bundle.json", tmp_path / "policy"
    written = watched.node("ro", "receipt", posted[0], "--out", str(bundle))
    assert written["witnessed"] is True
    # The auditor asks each witness itself for its key.
    keys = {node: _witness(watched, node)["vkey"] for node in NODES}
    lines = [f"log {watched.hub('status')['ledger']['vkey']}", *(f"witness {node} {keys[node]}" for node in NODES)]
    policy.write_text("\n".join([*lines, f"group members 2 {' '.join(NODES)}", "quorum members", ""]))
    code, found = _verify(bundle, "--policy", policy)
    assert code == 0, found
    for proven in (found["decision"], *found["answers"]):
        assert len(proven["witnesses"]) >= 2
    # Somebody else's keys under the same names are not these witnesses.
    keys = {node: keys[other] for node, other in zip(NODES, (*NODES[1:], NODES[0]), strict=True)}
    policy.write_text("\n".join([lines[0], f"witness me {_stranger()}", "quorum me", ""]))
    code, found = _verify(bundle, "--policy", policy)
    assert (code, found["code"]) == (1, "not_witnessed")
    for node in NODES:
        assert watched.node(node, "status")["warnings"] == []
        assert all(stage["ok"] for stage in watched.node(node, "doctor")["stages"])
    assert watched.hub("status")["quarantined"] == 0
    assert watched.hub("status")["contradictions"] == 0


@pytest.mark.long
def test_what_is_witnessed_is_signed_with_both_keys_of_the_hub(watched: Exchange, tmp_path: Path) -> None:
    keys = watched.hub("status")["ledger"]
    assert CosignerKey.parse(keys["vkey_mldsa"]).type is CosignatureType.MLDSA44
    for node in NODES:
        assert _witness(watched, node)["log_vkey_mldsa"] == keys["vkey_mldsa"]
    id = post(watched, "ro")
    await_delivered(watched, [("ro", id)])
    until("witnessed", lambda: _is_witnessed(watched, "ro", id))
    bundle, policy, folder = tmp_path / "bundle.json", tmp_path / "policy", tmp_path / "export"
    watched.node("ro", "receipt", id, "--out", str(bundle))
    lines = [f"log {keys['vkey']}", f"log {keys['vkey_mldsa']}"]
    lines += [f"witness {node} {_witness(watched, node)['vkey']}" for node in NODES]
    policy.write_text("\n".join([*lines, f"group members 2 {' '.join(NODES)}", "quorum members", ""]))
    code, found = _verify(bundle, "--policy", policy)
    assert code == 0, found
    assert all(len(proven["witnesses"]) >= 2 for proven in (found["decision"], *found["answers"]))
    # The whole ledger by the same policy: up to the last checkpoint that was witnessed.
    watched.hub("ledger", "export", str(folder))
    code, found = _verify(folder, "--policy", policy)
    assert code == 0, found
    assert found["size"] >= found["policy_met_at"] > state(watched, "ro", id)["ledger_index"]
    # Without the hub's second signature it proves nothing under this policy.
    fields = json.loads(bundle.read_text())
    fields["proofs"] = [_signed_once(proof) for proof in fields["proofs"]]
    bundle.write_text(json.dumps(fields))
    code, found = _verify(bundle, "--policy", policy)
    assert (code, found["code"]) == (1, "note_invalid")


def _signed_once(proof: str) -> str:
    parsed = LogProof.parse(proof)
    note = Note.parse(parsed.checkpoint)
    return str(replace(parsed, checkpoint=str(Note(note.text, (note.signatures[0], *note.signatures[2:])))))


def _stranger() -> str:
    return CosignerKey("seci.exchange/witness/ro", SigningKey.generate().public).vkey()


def test_a_node_that_was_away_follows_from_where_it_was(watched: Exchange) -> None:
    kill(watched, "node-tr")
    await_at = post(watched, "ro", to=["bg"])
    await_delivered(watched, [("ro", await_at)])
    until("witnessed by two of three", lambda: _is_witnessed(watched, "ro", await_at))
    size = _witness(watched, "ro")["followed"]
    watched.start_node("tr")
    until("tr follows", lambda: (_witness(watched, "tr")["followed"] or 0) >= size)
    assert _witness(watched, "tr")["alarm"] is None


@pytest.mark.long
def test_a_hub_with_two_histories_is_caught_by_two_nodes(watched: Exchange) -> None:
    # Turkey is away, and so is shown only the second history.
    end(watched, "node-tr")
    fork = watched.hub("status")["ledger"]["size"]
    posted = [post(watched, "ro", to=["bg"]) for _ in range(3)]
    await_delivered(watched, [("ro", id) for id in posted])
    size = watched.hub("status")["ledger"]["size"]
    for node in ("ro", "bg"):
        until(f"{node} has cosigned", lambda node=node: (_witness(watched, node)["followed"] or 0) >= size)
    cosigned = _witness(watched, "ro")["followed"]
    end(watched, "node-bg")
    end(watched, "hub")
    _roll_back(watched, fork)
    watched.start_hub()
    watched.start_node("tr")
    watched.await_nodes(["tr"])
    # Its database is in order, says the hub itself: nothing in it is what it was.
    assert watched.hub("ledger", "verify")["ok"] is True
    for _ in range(4):
        post(watched, "tr", to=["bg"])
    for node in ("ro", "tr"):
        until(f"{node} has caught the hub", lambda node=node: _witness(watched, node)["alarm"] is not None)
    alarms = {node: _witness(watched, node) for node in ("ro", "tr")}
    hub = NoteVerifier.parse(watched.hub("status")["ledger"]["vkey"])
    for found in alarms.values():
        # Two notes, both with the hub's signature.
        first, second = (Checkpoint.parse(open_note(note, hub)) for note in found["evidence"])
        assert first != second
    assert Checkpoint.parse(open_note(alarms["tr"]["evidence"][0], hub)).size >= fork
    assert any("seci.exchange/witness/ro" in note for note in alarms["tr"]["evidence"]), alarms["tr"]
    assert cosigned >= size
    assert watched.hub("status")["contradictions"] >= 1
    assert '"ledger_contradicted"' in (watched.logs / "hub.log").read_text()


@pytest.mark.long
def test_a_node_that_has_caught_the_hub_sends_nothing_until_an_operator_decides(watched: Exchange) -> None:
    id = post(watched, "ro", to=["tr"])
    kill(watched, "node-ro")
    watched.start_node("ro")
    watched.await_nodes(["ro"])
    with watched.api("ro") as api:
        ready = api.get("/readyz")
        assert (ready.status_code, ready.json()["code"]) == (503, "not_ready")
        assert "NOT TRUSTED" in ready.json()["detail"]
        assert 'seci_node_hub_distrusted{code="log_' in api.get("/metrics").text
    shown = watched.node("ro", "status")
    assert "NOT TRUSTED" in shown["warnings"][0]
    ledger = next(stage for stage in watched.node("ro", "doctor")["stages"] if stage["name"] == "ledger")
    assert not ledger["ok"]
    assert state(watched, "ro", id)["state"] == "queued"
    number = _witness(watched, "ro")["alarm"]["number"]
    decision = ("trust", "--accept-alarm", str(number), "--reason", "restored from Monday's backup, says Bucharest")
    with pytest.raises(CommandFailed, match="ended with 4"):
        watched.node("ro", *decision)  # the agent runs
    end(watched, "node-ro")
    assert watched.node("ro", *decision)["accepted"] is True
    watched.start_node("ro")
    watched.await_nodes(["ro"])
    until("accepted", lambda: state(watched, "ro", id)["state"] == "accepted")
    until("followed again", lambda: (_witness(watched, "ro")["followed"] or 0) > 0)
    assert _witness(watched, "ro")["alarm"] is None


def _roll_back(exchange: Exchange, size: int) -> None:
    """What a superuser does who wants the last entries gone: all of the database and the lock store is as it was."""
    sql = exchange.services.postgres.run_sql
    later = ("message", "refusal", "acknowledgement", "quarantine", "deadline", "ledger_leaf", "ledger_content")
    for table in later:
        sql(f"DELETE FROM {table} WHERE leaf_index >= {size}")  # noqa: S608 ours
    sql(f"DELETE FROM ledger_subtree WHERE (place + 1) << level > {size}")  # noqa: S608 ours
    for table in ("ledger_checkpoint", "witness_round", "cosignature"):
        sql(f"DELETE FROM {table} WHERE size > {size}")  # noqa: S608 ours
    root = sql(f"SELECT encode(root, 'hex') FROM ledger_checkpoint WHERE size = {size}")  # noqa: S608 ours
    log = ledger_of(Settings.load(exchange.hub_home))
    log.store.begin(Checkpoint(log.origin, size, bytes.fromhex(root)))
