"""`seci-node` as it is typed, without services: what it says when something is wrong, and how it ends."""

import base64
import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import structlog

from crypto import certificates
from crypto.certificates import Profile
from crypto.keyfile import load_tls_key
from nodes.cli import main
from nodes.settings import Settings
from tests.crypto.people import HUB
from tests.nodes.twofaced import SECOND
from tests.nodes.welcomes import LEDGER, signed_for, welcome

Type = Callable[..., tuple[int, Any]]


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Type]:
    """Types a command with `--json`; returns the exit code and what it printed."""

    def run(*arguments: str | Path) -> tuple[int, Any]:
        monkeypatch.setattr(sys, "argv", ["seci-node", *map(str, arguments), "--json"])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr().out
        return int(ended.value.code or 0), json.loads(printed) if printed.strip() else None

    # `run` sends logs to this test's stderr, which is closed after it, and takes Python's own warnings and errors too.
    for module, name in ((sys, "excepthook"), (sys, "unraisablehook"), (threading, "excepthook")):
        monkeypatch.setattr(module, name, getattr(module, name))
    yield run
    structlog.reset_defaults()


@pytest.fixture
def home(tmp_path: Path, typed: Type) -> Path:
    """Romania's folder after the first step."""
    assert typed("init", "--home", tmp_path / "ro", "--node", "ro")[0] == 0
    return tmp_path / "ro"


def _enrol(home: Path, days: int) -> None:
    settings = Settings.load(home)
    key = certificates.new_tls_key()
    ca = certificates.create_ca("CA", key)
    csr = certificates.create_csr("node-ro", load_tls_key(home / "tls.key", settings.secret()))
    issued = certificates.issue(csr, ca, key, Profile.CLIENT, common_name="node-ro", days=days)
    (home / "ca.pem").write_bytes(certificates.to_pem(ca))
    (home / "tls.pem").write_bytes(certificates.to_pem(issued))
    hub_key = "AQ" + "A" * 42
    settings.model_copy(update={"hub_key": hub_key, "broker_host": "localhost", "broker_port": 1}).save()


def test_init_makes_private_files_and_is_safe_to_repeat(home: Path, typed: Type) -> None:
    keys = (home / "node.key").read_bytes()
    assert typed("init", "--home", home, "--node", "ro")[0] == 0
    assert (home / "node.key").read_bytes() == keys
    for name in ("secret.key", "node.key", "tls.key", "tls.key.password", "api.token", "node.json"):
        assert (home / name).stat().st_mode & 0o077 == 0, name


def test_a_folder_belongs_to_one_node(home: Path, typed: Type) -> None:
    code, said = typed("init", "--home", home, "--node", "bg")
    assert (code, said["code"]) == (2, "folder_taken")
    assert "belongs to node ro" in said["detail"]


@pytest.mark.parametrize("node", ["", "R0", "romania-north", "ro!"])
def test_a_bad_node_id_is_named(tmp_path: Path, typed: Type, node: str) -> None:
    code, said = typed("init", "--home", tmp_path / "x", "--node", node)
    assert (code, said["code"]) == (2, "usage")
    assert "--node" in said["detail"]
    assert not (tmp_path / "x" / "node.json").exists()


def test_a_file_that_is_not_there_or_is_damaged_is_told_as_that(home: Path, typed: Type) -> None:
    code, said = typed("init", "--home", home, "--welcome", home / "none.json")
    assert (code, said["code"]) == (2, "file_unreadable")
    assert "none.json does not read" in said["detail"]
    code, said = typed("init", "--home", home / "node.json", "--node", "ro")
    assert (code, said["code"]) == (2, "file_unwritable")
    for text, words in (('{"node": "RO"}', "wrong are node"), ("{", "line 1 column 2"), ("[]", "no JSON object")):
        (home / "node.json").write_text(text)
        code, said = typed("run", "--home", home)
        assert (code, said["code"]) == (2, "settings_invalid")
        assert "node.json is damaged: " in said["detail"]
        assert words in said["detail"]


def test_a_welcome_says_what_is_new_in_it(home: Path, typed: Type) -> None:
    file = welcome(home)
    code, said = typed("init", "--home", home, "--welcome", file)
    assert (code, said["changed"]) == (0, ["broker", "hub_key", "certificate", "authorities", "roster"])
    assert typed("init", "--home", home, "--welcome", file) == (0, said | {"changed": []})
    roster = LEDGER.published(signed_for(home)).published(signed_for(home, 2))
    again = json.loads(file.read_text()) | {
        "log_vkey_mldsa": SECOND.verifier.vkey(),
        "roster": base64.b64encode(roster.news(signed_for(home, 2))).decode(),
    }
    file.write_text(json.dumps(again))
    code, said = typed("init", "--home", home, "--welcome", file)
    assert (code, said["changed"]) == (0, ["second_key", "roster"])


def test_a_node_that_is_not_enrolled_does_not_run(home: Path, typed: Type) -> None:
    code, said = typed("run", "--home", home)
    assert (code, said["code"]) == (2, "not_set_up")
    assert "seci-node join" in said["next"]


def test_the_wrong_passphrase_is_told_and_nothing_is_changed(tmp_path: Path, typed: Type) -> None:
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("correct horse battery staple\n")
    home, init = tmp_path / "ro", ("init", "--home", tmp_path / "ro", "--node", "ro", "--passphrase-file", passphrase)
    passphrase.chmod(0o644)
    assert typed(*init)[1]["code"] == "key_file_refused"
    passphrase.chmod(0o600)
    assert typed(*init)[0] == 0
    _enrol(home, days=10)
    keys = (home / "node.key").read_bytes()
    passphrase.write_text("wrong\n")
    code, said = typed("run", "--home", home)
    assert (code, said["code"]) == (2, "wrong_passphrase")
    assert (home / "node.key").read_bytes() == keys
    code, said = typed("doctor", "--home", home)
    assert (code, said["stages"][-1]["name"], said["stages"][-1]["ok"]) == (3, "keys", False)


def test_a_missing_passphrase_file_is_told(tmp_path: Path, typed: Type) -> None:
    code, said = typed("init", "--home", tmp_path / "ro", "--node", "ro", "--passphrase-file", tmp_path / "none")
    assert (code, said["code"]) == (2, "key_file_refused")
    assert "name the right file" in said["next"]


def test_an_expired_certificate_is_told_before_any_connection(home: Path, typed: Type) -> None:
    _enrol(home, days=0)
    code, said = typed("run", "--home", home)
    assert (code, said["code"]) == (2, "certificate_refused")
    assert "expired" in said["detail"]
    code, said = typed("doctor", "--home", home)
    assert code == 3
    assert (said["stages"][-1]["name"], said["stages"][-1]["ok"]) == ("certificate", False)


def test_key_files_that_others_can_read_are_refused(home: Path, typed: Type) -> None:
    _enrol(home, days=10)
    (home / "node.key").chmod(0o644)
    code, said = typed("run", "--home", home)
    assert (code, said["code"]) == (2, "key_file_refused")
    assert "chmod 600" in said["detail"]


def test_a_port_in_use_is_told(home: Path, typed: Type) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, said = typed("run", "--home", home, "--port", str(port))
    assert (code, said["code"]) == (4, "port_taken")
    assert str(port) in said["detail"]


def test_without_an_agent_the_next_step_is_to_start_it(home: Path, typed: Type) -> None:
    code, said = typed("status", "--home", home)
    assert (code, said["code"]) == (5, "agent_unreachable")
    assert "seci-node run" in said["next"]


def test_a_receipt_is_asked_of_the_running_agent(home: Path, typed: Type, tmp_path: Path) -> None:
    out = tmp_path / "evidence.json"
    code, said = typed("receipt", "01a20f97-e270-71d7-88d6-b834d3465199", "--home", home, "--out", out)
    assert (code, said["code"], out.exists()) == (5, "agent_unreachable", False)
    code, said = typed("receipt", "--home", home)
    assert (code, said["code"], said["detail"]) == (2, "usage", "Missing argument 'id'")


@pytest.mark.parametrize("content", ["{", "[1", '"text', ""])
def test_a_body_that_is_no_json_is_told(home: Path, typed: Type, tmp_path: Path, content: str) -> None:
    body = tmp_path / "body.json"
    body.write_text(content)
    code, said = typed("send", "--home", home, "--kind", "alert", "--task-force", "drugs", "--body", body)
    assert (code, said["code"]) == (2, "body_not_json")


def test_a_welcome_file_of_somebody_else_is_refused(home: Path, typed: Type, tmp_path: Path) -> None:
    file = tmp_path / "welcome.json"
    for content in ("{}", "no json", ""):
        file.write_text(content)
        code, said = typed("init", "--home", home, "--welcome", file)
        assert (code, said["code"]) == (4, "welcome_refused")
    assert not Settings.load(home).enrolled
    assert HUB.node == "hub"


def test_the_version_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["seci-node", "--version"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"seci-exchange {version('seci-exchange')}, protocol 1\n"


def test_a_damaged_settings_file_is_told(home: Path, typed: Type) -> None:
    (home / "node.json").write_text('{"node": 7}')
    assert typed("run", "--home", home)[0] == 2
    assert typed("run", "--home", home / "nowhere")[0] == 2
