"""`seci-verify` of a checkpoint with a TSA's timestamp, as an auditor types it."""

import json
from contextlib import chdir
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from crypto.note import Checkpoint, NoteSigner, sign_note
from crypto.timestamp import Timestamp, ask, read_roots, verify_timestamp
from nodes.verify import main
from tests.crypto.exhibits import LOG, ORIGIN, POLICY
from tests.crypto.people import RO
from tests.crypto.tsa import Tsa
from tests.typed import type_in

CHECKPOINT = Checkpoint(ORIGIN, 1234, bytes(range(32)))


@pytest.fixture(scope="module")
def tsa(tmp_path_factory: pytest.TempPathFactory) -> Tsa:
    """The one that the auditor trusts."""
    return Tsa.create(tmp_path_factory.mktemp("tsa") / "good")


@pytest.fixture
def folder(tmp_path: Path, tsa: Tsa) -> Path:
    """What the auditor has."""
    (tmp_path / "policy").write_bytes(POLICY.to_bytes())
    (tmp_path / "roots.pem").write_bytes(tsa.roots.read_bytes())
    _stamped(tmp_path, tsa, sign_note(CHECKPOINT.text(), LOG).encode())
    return tmp_path


def _stamped(folder: Path, tsa: Tsa, note: bytes) -> None:
    (folder / "checkpoint").write_bytes(note)
    (folder / "tsr").write_bytes(tsa.reply(ask(note).request))


def _typed(folder: Path, *arguments: str) -> tuple[int, str, str]:
    words = arguments or ("checkpoint", "--policy", "policy", "--timestamp", "tsr", "--tsa-roots", "roots.pem")
    with chdir(folder):
        return type_in(main, *words)


def _said(folder: Path) -> Timestamp:
    roots = read_roots((folder / "roots.pem").read_bytes())
    return verify_timestamp((folder / "tsr").read_bytes(), (folder / "checkpoint").read_bytes(), roots)


def test_what_is_proven_is_told_in_plain_words(folder: Path) -> None:
    code, said, _ = _typed(folder)
    at = datetime.fromtimestamp(_said(folder).at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert (code, said) == (
        0,
        f"""\
PROVEN under the policy, by the log {ORIGIN} and a TSA:
  checkpoint  1234 entries, root {CHECKPOINT.root.hex()},
              cosigned by no witness of the policy: the log's word alone
  existed     by {at}, give or take 1500 ms, says CN=TSA of good,
              and with it every entry under it
""",
    )


def test_the_same_as_json(folder: Path) -> None:
    words = ("checkpoint", "--policy", "policy", "--timestamp", "tsr", "--tsa-roots", "roots.pem", "--json")
    found: dict[str, Any] = json.loads(_typed(folder, *words)[1])
    assert found["ok"]
    assert found["checkpoint"] == {"origin": ORIGIN, "size": 1234, "root": CHECKPOINT.root.hex()}
    assert (found["tsa"], found["within_ms"]) == ("CN=TSA of good", 1500)


def test_another_checkpoint_is_not_what_the_tsa_signed(folder: Path) -> None:
    other = Checkpoint(ORIGIN, 1235, CHECKPOINT.root)
    (folder / "checkpoint").write_text(sign_note(other.text(), LOG))
    code, _, why = _typed(folder)
    assert (code, "timestamp_foreign" in why) == (1, True)


def test_a_checkpoint_that_the_log_did_not_sign_proves_nothing(folder: Path, tsa: Tsa) -> None:
    _stamped(folder, tsa, sign_note(CHECKPOINT.text(), NoteSigner(ORIGIN, RO.signing)).encode())
    code, _, why = _typed(folder)
    assert (code, "note_invalid" in why) == (1, True)


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"{}"])
def test_what_is_no_checkpoint_proves_nothing(folder: Path, tsa: Tsa, data: bytes) -> None:
    _stamped(folder, tsa, b"x")
    (folder / "checkpoint").write_bytes(data)
    code, _, why = _typed(folder)
    assert (code, "note_invalid" in why) == (1, True)


def test_a_tsa_that_the_auditor_does_not_trust_proves_nothing(folder: Path, tmp_path: Path) -> None:
    (folder / "roots.pem").write_bytes(Tsa.create(tmp_path / "other").roots.read_bytes())
    code, _, why = _typed(folder)
    assert (code, "timestamp_untrusted" in why) == (1, True)


def test_files_that_do_not_read_are_matters_of_usage(folder: Path) -> None:
    (folder / "roots.pem").write_text("none")
    code, _, why = _typed(folder)
    assert (code, "tsa_roots_unusable" in why) == (2, True)
    (folder / "roots.pem").unlink()
    code, _, why = _typed(folder)
    assert (code, "file_unreadable" in why) == (2, True)
    code, _, why = _typed(folder, "checkpoint", "--policy", "policy", "--timestamp", "tsr")
    assert (code, "--tsa-roots" in why) == (2, True)
