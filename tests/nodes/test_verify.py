"""`seci-verify` as an auditor types it: with two files and nothing else on the machine."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crypto.bundle import Evidence
from crypto.cosignature import Cosigner
from crypto.envelope import digest_of
from crypto.mldsa import MlDsaKey
from crypto.note import Note
from crypto.policy import Policy
from nodes.verify import main
from tests.crypto.exhibits import ENVELOPE, HEADER, LOG, ORIGIN, POLICY, accepted, evidence, received, refused
from tests.typed import type_in

CHECKPOINT = evidence().proofs[0].checkpoint


def _typed(*arguments: str | Path) -> tuple[int, str, str]:
    return type_in(main, *arguments)


def _in_a_process(*arguments: str | Path, **environment: str) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "nodes.verify", *map(str, arguments)]
    # No setting, no home: nothing but the interpreter finds its way from the environment.
    root = Path(__file__).parents[2]
    settings = {"PYTHONPATH": str(root), **environment}
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, env=settings, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """The auditor's policy: the log's key."""
    file = tmp_path / "policy"
    file.write_bytes(b"# as the Centre published it\n" + POLICY.to_bytes())
    return file


def _written(tmp_path: Path, bundle: Evidence) -> Path:
    file = tmp_path / "bundle.json"
    file.write_bytes(bundle.to_bytes())
    return file


TRANSCRIPT = """\
PROVEN under the policy, by the log ledger.example.org:
  message     {id}
  envelope    SHA-256 {digest}
  sender      ro (RO), which signed it with key {kid},
              its own by the roster version 1 of 2004-11-09T11:33:20.000Z
  what        alert version 1, task force drugs
              handling H1, priority normal
  written     2004-11-09T11:33:20.000Z by the sender's clock
  to          bg (BG), hu (HU)
  accepted    2004-11-09T11:33:21.000Z by the hub
              entry 0 under the checkpoint of 6 entries, root
              {root},
              cosigned by no witness of the policy: the log's word alone
  delivered   bg (BG) 2004-11-09T11:33:23.000Z
              signed by the recipient itself 2004-11-09T11:33:22.000Z, roster version 1
              entry 1 under the checkpoint of 6 entries, root
              {root},
              cosigned by no witness of the policy: the log's word alone
  declined    hu (HU) 2004-11-09T11:33:23.000Z [body_invalid]
              signed by the recipient itself 2004-11-09T11:33:22.000Z, roster version 1
              entry 2 under the checkpoint of 6 entries, root
              {root},
              cosigned by no witness of the policy: the log's word alone
  content     50 bytes, exactly what the sender signed:
  | {{"text":"Lorry with double floor","title":"Lorry"}}
"""


def test_the_whole_way_of_a_message_in_plain_words(tmp_path: Path, policy: Path) -> None:
    file = _written(tmp_path, evidence())
    code, out, err = _in_a_process(file, "--policy", policy)
    assert (code, err) == (0, "")
    said = json.loads(_typed(file, "--policy", policy, "--json")[1])
    assert out == TRANSCRIPT.format(
        id=HEADER.id,
        digest=digest_of(ENVELOPE).hex(),
        kid=said["signed"]["key"],
        root=said["decision"]["checkpoint"]["root"],
    )
    assert (said["ok"], said["sender"], said["kind"], said["not_shown"]) == (True, "ro", "alert", [])
    assert [(answer["recipient"], answer["event"]) for answer in said["answers"]] == [
        ("bg", "delivered"),
        ("hu", "declined"),
    ]
    assert json.loads(said["content"])["title"] == "Lorry"


def test_with_both_keys_of_the_log_in_the_policy_each_must_have_signed(tmp_path: Path) -> None:
    second, policy = Cosigner(ORIGIN, MlDsaKey.generate()), tmp_path / "policy"
    policy.write_bytes(Policy.of([LOG.verifier, second.verifier], [], 0).to_bytes())
    bundle = evidence()
    note = bundle.proofs[0].checkpoint
    twice = note + second.sign(Note.parse(note).text, 1).line()
    signed = replace(bundle, proofs=tuple(replace(proof, checkpoint=twice) for proof in bundle.proofs))
    code, out, _ = _typed(_written(tmp_path, signed), "--policy", policy)
    both = "  the log     signed with both of its keys, Ed25519 and ML-DSA-44"
    assert (code, out.splitlines()[1]) == (0, both)
    code, out, _ = _typed(_written(tmp_path, signed), "--policy", policy, "--json")
    assert (code, json.loads(out)["log_algorithms"]) == (0, ["Ed25519", "ML-DSA-44"])
    # With the second key alone, nobody's signature can be judged: rosters have the first.
    policy.write_bytes(Policy.of([second.verifier], [], 0).to_bytes())
    code, _, err = _typed(_written(tmp_path, signed), "--policy", policy)
    assert (code, "[roster_key_missing]" in err, "add the log's Ed25519 key to the policy" in err) == (1, True, True)
    policy.write_bytes(Policy.of([LOG.verifier, second.verifier], [], 0).to_bytes())
    # One entry that is not under such a checkpoint is enough.
    for lacking in (bundle, replace(signed, proofs=(*signed.proofs[:-1], bundle.proofs[-1]))):
        code, out, _ = _typed(_written(tmp_path, lacking), "--policy", policy, "--json")
        assert (code, json.loads(out)["code"]) == (1, "note_invalid")


@pytest.mark.parametrize(
    ("data", "what", "step"),
    [
        (CHECKPOINT.encode(), f"a checkpoint, over 6 entries of the log {ORIGIN}", "add --timestamp FILE --tsa-roots"),
        (
            CHECKPOINT.replace(ORIGIN, "\u202eelpmaxe", 1).encode(),
            "a checkpoint, over 6 entries of the log \\u202eelpmaxe",
            "--known",
        ),
        (str(evidence().proofs[0]).encode(), "one proof of an entry", "`seci-node receipt` wrote"),
        (b"\x30\x82\x01\x00", "DER, as a TSA's answer is", "name the checkpoint that it is of"),
    ],
)
def test_of_another_kind_of_file_it_is_said_what_it_is_and_what_to_type(
    tmp_path: Path, policy: Path, data: bytes, what: str, step: str
) -> None:
    file = tmp_path / "file"
    file.write_bytes(data)
    code, out, err = _typed(file, "--policy", policy)
    assert (code, out) == (2, "")
    assert f"file is {what}" in err
    assert step in err
    said = json.loads(_typed(file, "--policy", policy, "--json")[1])
    assert (said["ok"], said["code"]) == (False, "usage")


RECIPIENT_S = """\
PROVEN under the policy, by the log ledger.example.org:
  message     {id}
  envelope    SHA-256 {digest}
  sender      ro (RO), which signed it with key {kid},
              its own by the roster version 1 of 2004-11-09T11:33:20.000Z
  shown by    bg (BG), a recipient
  what        alert version 1, task force drugs
              handling H1, priority normal
  written     2004-11-09T11:33:20.000Z by the sender's clock
  to          bg (BG), hu (HU)
  delivered   bg (BG) 2004-11-09T11:33:23.000Z
              signed by the recipient itself 2004-11-09T11:33:22.000Z, roster version 1
              entry 0 under the checkpoint of 4 entries, root
              {root},
              cosigned by no witness of the policy: the log's word alone
  not shown   when the hub accepted it: it takes no word on what it did not accept
  not shown   what became of it at hu
  content     50 bytes, exactly what the sender signed:
  | {{"text":"Lorry with double floor","title":"Lorry"}}
"""


def test_what_a_recipient_shows_in_plain_words(tmp_path: Path, policy: Path) -> None:
    file = _written(tmp_path, received())
    code, out, err = _typed(file, "--policy", policy)
    assert (code, err) == (0, "")
    said = json.loads(_typed(file, "--policy", policy, "--json")[1])
    [answer] = said["answers"]
    assert out == RECIPIENT_S.format(
        id=HEADER.id,
        digest=digest_of(ENVELOPE).hex(),
        kid=said["signed"]["key"],
        root=answer["checkpoint"]["root"],
    )
    assert (said["shown_by"], said["decision"], said["not_shown"]) == ("bg", None, ["hu"])
    assert (answer["recipient"], answer["event"], said["sender"]) == ("bg", "delivered", "ro")
    alone = received(envelope=None, stated=digest_of(ENVELOPE), content=None)
    code, out, _ = _typed(_written(tmp_path, alone), "--policy", policy)
    assert (code, "ro (RO), by the ledger's word alone" in out, "delivered   bg (BG)" in out) == (0, True, True)


def test_what_is_not_shown_is_said(tmp_path: Path, policy: Path) -> None:
    bundle = evidence(accepted(), words=(), envelope=None, stated=digest_of(ENVELOPE), content=None)
    code, out, _ = _typed(_written(tmp_path, bundle), "--policy", policy)
    assert code == 0
    assert "ro (RO), by the ledger's word alone" in out
    assert "not shown   what became of it at bg, hu" in out
    assert "content" not in out
    code, out, _ = _typed(_written(tmp_path, evidence(refused(), words=())), "--policy", policy)
    assert code == 0
    assert "refused     2004-11-09T11:33:21.000Z by the hub [expired]: too late" in out
    assert "not shown" not in out


def test_what_strangers_wrote_does_not_steer_the_terminal(tmp_path: Path, policy: Path) -> None:
    bundle = evidence(refused(detail="\x1b[2J\N{RIGHT-TO-LEFT OVERRIDE}x\nPROVEN"), words=())
    out = _typed(_written(tmp_path, bundle), "--policy", policy)[1]
    assert r"\x1b[2J\u202ex" in out
    assert "\nPROVEN" not in out


def test_a_terminal_of_another_character_set_shows_what_it_lacks_escaped(tmp_path: Path, policy: Path) -> None:
    file = _written(tmp_path, evidence(refused(detail="\N{CYRILLIC SMALL LETTER ZHE}"), words=()))
    code, out, _ = _in_a_process(file, "--policy", policy, PYTHONIOENCODING="iso-8859-1")
    assert (code, r"\u0436" in out) == (0, True)


def test_an_altered_bundle_ends_with_1_and_the_reason(tmp_path: Path, policy: Path) -> None:
    code, out, err = _in_a_process(_written(tmp_path, evidence(words=())), "--policy", policy)
    assert (code, out) == (1, "")
    assert err.startswith("NOT PROVEN: ")
    assert "[acknowledgement_missing]\nnext: do not rely on this bundle" in err
    file = tmp_path / "bundle.json"
    file.write_text("{}")
    code, out, err = _typed(file, "--policy", policy, "--json")
    assert (code, json.loads(out)["code"], err) == (1, "evidence_malformed", "")
    assert "seci-node receipt" in json.loads(out)["next"]


def _usage(tmp_path: Path, *arguments: str | Path) -> dict[str, Any]:
    code, out, _ = _typed(*arguments, "--json")
    assert code == 2
    assert json.loads(out)["next"]
    found: dict[str, Any] = json.loads(out) if out else {}
    return found


def test_what_the_auditor_got_wrong_ends_with_2(tmp_path: Path, policy: Path) -> None:
    file = _written(tmp_path, evidence())
    assert _usage(tmp_path, file)["detail"] == "Missing option '--policy'"
    assert _usage(tmp_path, "--policy", policy)["code"] == "usage"
    assert _usage(tmp_path, tmp_path / "none", "--policy", policy)["code"] == "file_unreadable"
    assert _usage(tmp_path, file, "--policy", tmp_path / "none")["code"] == "file_unreadable"
    assert _usage(tmp_path, file, "--policy", file)["code"] == "policy_invalid"
    code, out, err = _in_a_process(tmp_path / "none", "--policy", policy)
    assert (code, out) == (2, "")
    assert "NOT PROVEN" not in err
    assert "next: name a file that is there" in err
    code, out, err = _typed(file)
    assert (code, out) == (2, "")
    assert err == "seci-verify: Missing option '--policy' [usage]\nnext: see seci-verify --help\n"


def test_it_does_not_wait_for_what_only_services_need() -> None:
    root = Path(__file__).parents[2]
    asked = [sys.executable, "-c", "import sys, nodes.verify; print(*sorted(sys.modules))"]
    loaded = subprocess.run(asked, cwd=root, capture_output=True, check=True, text=True).stdout.split()
    assert "crypto.history" in loaded
    assert not set(loaded) & {"structlog", "rich", "asyncio", "sqlalchemy", "fastapi", "aio_pika"}
