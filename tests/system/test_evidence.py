"""Evidence of a real exchange: what one node can show, an auditor verifies who has a policy file and nothing else."""

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.local.errors import CommandFailed
from deploy.local.exchange import Exchange
from deploy.local.instance import REPOSITORY
from tests.system.play import await_delivered, post, until

pytestmark = pytest.mark.system


def _verify(*arguments: str | Path) -> tuple[int, dict[str, Any]]:
    command = [sys.executable, "-m", "nodes.verify", *map(str, arguments), "--json"]
    environment = {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, env=environment, check=False)
    return done.returncode, json.loads(done.stdout)


def test_a_message_and_its_deliveries_are_proven_to_an_auditor(exchange: Exchange, tmp_path: Path) -> None:
    id = post(exchange, "ro", to=["bg", "tr"], operation="MERIDIAN")
    await_delivered(exchange, [("ro", id)])
    bundle, policy = tmp_path / "bundle.json", tmp_path / "policy"
    # The auditor has the ledger's key from the hub's operators, not from the node that shows the bundle.
    policy.write_text(f"log {exchange.hub('status')['ledger']['vkey']}\nquorum none\n")
    written = exchange.node("ro", "receipt", id, "--with-content", "--out", str(bundle))
    assert (written["answers"], bundle.stat().st_mode & 0o077) == (2, 0)
    code, found = _verify(bundle, "--policy", policy)
    assert code == 0, found
    assert (found["message"], found["sender"], found["recipients"]) == (id, "ro", ["bg", "tr"])
    assert (found["decision"]["event"], found["operation"]) == ("accepted", "MERIDIAN")
    assert [(answer["recipient"], answer["event"]) for answer in found["answers"]] == [
        ("bg", "delivered"),
        ("tr", "delivered"),
    ]
    assert json.loads(found["content"])["title"] == "Lorry with double floor"

    fields = json.loads(bundle.read_bytes())
    body = base64.b64decode(fields["content"]["body"]).replace(b"double", b"single")
    altered = {
        "digest_mismatch": fields | {"content": fields["content"] | {"body": base64.b64encode(body).decode()}},
        "acknowledgement_missing": fields | {"acknowledgements": fields["acknowledgements"][:-1]},
        "decision_missing": fields | {"proofs": fields["proofs"][1:]},
        "roster_missing": fields | {"rosters": []},
    }
    for wanted, changed in altered.items():
        bundle.write_text(json.dumps(changed))
        code, found = _verify(bundle, "--policy", policy)
        assert (code, found["code"]) == (1, wanted)


def test_without_content_the_bundle_does_not_have_it(exchange: Exchange, tmp_path: Path) -> None:
    id = post(exchange, "ro", to=["bg"])
    await_delivered(exchange, [("ro", id)])
    bundle = exchange.node("ro", "receipt", id)
    assert "content" not in bundle
    assert "double floor" not in json.dumps(bundle)
    with pytest.raises(CommandFailed, match="ended with 2"):
        exchange.node("ro", "receipt", id, "--out", str(tmp_path / "no" / "folder" / "bundle.json"))
    with pytest.raises(CommandFailed, match="ended with 4"):
        exchange.node("tr", "receipt", id)


def _is_on_record(exchange: Exchange, node: str, id: str) -> bool:
    with exchange.api(node) as api:
        answer = api.get(f"/v1/inbox/{id}")
    return answer.status_code == 200 and bool(answer.json()["receipt_verified"])


def test_a_recipient_shows_what_it_received_and_that_it_acknowledged_it(exchange: Exchange, tmp_path: Path) -> None:
    id = post(exchange, "ro", to=["bg", "tr"])
    until("the receipt of its acknowledgement", lambda: _is_on_record(exchange, "bg", id))
    bundle, policy = tmp_path / "bundle.json", tmp_path / "policy"
    policy.write_text(f"log {exchange.hub('status')['ledger']['vkey']}\nquorum none\n")
    written = exchange.node("bg", "receipt", id, "--with-content", "--out", str(bundle))
    assert (written["side"], written["answers"], bundle.stat().st_mode & 0o077) == ("recipient", 1, 0)
    code, found = _verify(bundle, "--policy", policy)
    assert code == 0, found
    assert (found["message"], found["sender"], found["shown_by"], found["decision"]) == (id, "ro", "bg", None)
    assert [(answer["recipient"], answer["event"]) for answer in found["answers"]] == [("bg", "delivered")]
    assert (found["not_shown"], json.loads(found["content"])["title"]) == (["tr"], "Lorry with double floor")

    bundle.write_text(json.dumps(json.loads(bundle.read_bytes()) | {"recipient": "tr"}))
    code, found = _verify(bundle, "--policy", policy)
    assert (code, found["code"]) == (1, "answer_missing")


def test_the_whole_ledger_is_proven_to_an_auditor_who_has_an_export(exchange: Exchange, tmp_path: Path) -> None:
    id = post(exchange, "ro", to=["bg", "tr"])
    await_delivered(exchange, [("ro", id)])
    found = exchange.hub("ledger", "search", "--id", id)["entries"]
    assert [(item["event"], item["task_force"]) for item in found] == [
        *(("delivered", item["task_force"]) for item in found[:2]),
        ("accepted", found[2]["task_force"]),
    ]
    out, policy, held = tmp_path / "export", tmp_path / "policy", tmp_path / "held"
    policy.write_text(f"log {exchange.hub('status')['ledger']['vkey']}\nquorum none\n")
    # A focal point holds a checkpoint, too: the one under which its receipts are proven.
    held.write_text(exchange.node("ro", "receipt", id)["proofs"][0].partition("\n\n")[2])
    said = exchange.hub("ledger", "export", str(out))
    code, found = _verify(out, "--policy", policy, "--known", held)
    assert code == 0, found
    assert (found["size"], found["root"], found["policy"]) == (said["size"], said["root"], True)
    assert found["known"][0]["size"] <= found["size"] == sum(found["events"].values())
    assert set(found["roster"]["nodes"]) == {"ro", "bg", "tr", "hr", "seci"}
    assert not any(b"double floor" in file.read_bytes() for file in out.rglob("*") if file.is_file())
    held.write_text(held.read_text().replace("A", "B", 1) if "A" in held.read_text() else "")
    assert _verify(out, "--policy", policy, "--known", held)[1]["code"] == "note_invalid"
