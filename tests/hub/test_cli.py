"""`seci-hub` as it is typed, without services: what it says when something is wrong, and how it ends."""

import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import structlog

from crypto.certificates import create_csr, host_names, new_tls_key, read_certificate, to_pem
from crypto.enrolment import sign_request
from crypto.keyfile import load_tls_key, put_tls, save_tls_key
from crypto.keys import EncryptionKey, SigningKey
from hub.broker import BrokerAddress
from hub.cli import main
from hub.cli_status import refused_line
from hub.errors import SettingsInvalid
from hub.locked import keys_alone
from hub.settings import Settings, Tsa
from hub.setup import BrokerNames, ledger_of, make_keys
from hub.situation import situation
from hub.topology import HUB_USERS

Type = Callable[..., tuple[int, Any]]
NOBODY_LISTENS = "postgresql://seci_hub:x@127.0.0.1:1/seci"


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Type]:
    """Types a command with `--json`; returns the exit code and what it printed."""
    monkeypatch.delenv("SECI_HUB_DATABASE_URL", raising=False)

    def run(*arguments: str | Path) -> tuple[int, Any]:
        monkeypatch.setattr(sys, "argv", ["seci-hub", *map(str, arguments), "--json"])
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
def home(tmp_path: Path) -> Path:
    """A hub's folder, whose database and broker are down."""
    make_keys(tmp_path / "hub", BrokerNames(("localhost",), ()))
    settings = Settings(
        home=tmp_path / "hub",
        database_url=NOBODY_LISTENS,
        broker_host="localhost",
        broker_port=1,
        broker_ctl=("false",),
    )
    settings.save()
    return tmp_path / "hub"


@pytest.mark.parametrize("command", [("status",), ("run",), ("ledger", "verify"), ("provision",)])
def test_a_folder_that_is_no_hub_is_named(tmp_path: Path, typed: Type, command: tuple[str, ...]) -> None:
    code, said = typed(*command, "--home", tmp_path / "none")
    assert (code, said["code"]) == (2, "settings_invalid")
    assert "none" in said["detail"]


async def test_a_file_that_is_gone_is_not_the_database_s_doing(home: Path) -> None:
    settings = Settings.load(home)
    (home / "hub-ingest.pem").unlink()
    # Before the database is asked anything: there is none.
    with pytest.raises(SettingsInvalid, match=r"hub-ingest\.pem does not read"):
        await situation(cast(Any, None), settings, ledger_of(settings))


@pytest.mark.parametrize("command", [("join-desk",), ("console", "--tls")])
def test_a_service_waits_for_the_command_that_writes_keys(home: Path, typed: Type, command: tuple[str, ...]) -> None:
    # Which may be the one that handed over: the service begins anew before that has come to its end.
    held = threading.Event()

    def hold() -> None:
        with keys_alone(home):
            held.set()
            time.sleep(0.5)

    writing = threading.Thread(target=hold)
    writing.start()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        held.wait()
        listen = ("--listen", "127.0.0.1", "--port", str(taken.getsockname()[1]))
        assert typed(*command, *listen, "--home", home)[1]["code"] == "port_taken"
    writing.join()


@pytest.mark.parametrize("command", [("status",), ("ledger", "verify"), ("provision",)])
def test_a_database_that_is_down_is_told(home: Path, typed: Type, command: tuple[str, ...]) -> None:
    code, said = typed(*command, "--home", home)
    assert (code, said["code"]) == (5, "database_unreachable")
    assert "database_url" in said["next"]


def test_nothing_is_erased_unasked(home: Path, typed: Type) -> None:
    code, said = typed("ledger", "erase", "7", "--reason", "court order", "--home", home)
    assert (code, said["code"]) == (2, "usage")
    assert "--yes" in said["detail"]
    code, said = typed("ledger", "erase", "7", "--yes", "--home", home)
    assert (code, said["code"]) == (2, "usage")
    assert "--reason" in said["detail"]
    for words in (" ", "x" * 296):
        code, said = typed("ledger", "erase", "7", "--yes", "--reason", words, "--home", home)
        assert (code, said["code"]) == (2, "settings_invalid")


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ("[]", "no rules of retention"),
        ('[{"event": "roster", "keep_days": 9}]', "never erased"),
        ('[{"event": "refused", "kind": "alert", "keep_days": 9}]', "of no kind"),
        ('[{"event": "accepted", "kind": "poem", "keep_days": 9}]', "no kind 'poem'"),
        ('[{"event": "accepted", "keep_days": 9}, {"event": "accepted", "keep_days": 8}]', "the same event and kind"),
        ('[{"event": "accepted", "keep_days": 0}]', "must be at least 1"),
    ],
)
def test_rules_of_retention_that_cannot_be_are_named(home: Path, typed: Type, rules: str, words: str) -> None:
    stored = json.loads((home / "hub.json").read_text())
    (home / "hub.json").write_text(json.dumps(stored | {"retention": json.loads(rules)}))
    code, said = typed("ledger", "retention", "--home", home)
    assert (code, said["code"]) == (2, "settings_invalid")
    assert words in said["detail"]


def test_the_wrong_key_file_is_told(home: Path, typed: Type, tmp_path: Path) -> None:
    make_keys(tmp_path / "other", BrokerNames(("localhost",), ()))
    (home / "secret.key").unlink()
    (tmp_path / "other" / "secret.key").rename(home / "secret.key")
    code, said = typed("run", "--home", home)
    assert (code, said["code"]) == (2, "wrong_passphrase")


def test_making_keys_again_changes_none(home: Path) -> None:
    before = {path.name: path.read_bytes() for path in home.iterdir()}
    make_keys(home, BrokerNames(("localhost",), ()))
    assert {path.name: path.read_bytes() for path in home.iterdir()} == before


def test_a_hub_from_before_there_was_a_second_key_works_on_and_gets_one(home: Path) -> None:
    settings, file = Settings.load(home), home / "ledger.mldsa.key"
    others = {path.name: path.read_bytes() for path in home.iterdir() if path != file}
    file.unlink()
    before = ledger_of(settings)
    assert (before.second, before.second_vkey) == (None, None)
    make_keys(home, BrokerNames(("localhost",), ()))
    now = ledger_of(settings)
    assert now.second is not None and now.second.name == now.origin
    assert now.signer.verifier == before.signer.verifier
    assert {path.name: path.read_bytes() for path in home.iterdir() if path != file} == others
    assert ledger_of(settings).second_vkey == now.second_vkey


def test_no_key_is_in_clear(home: Path) -> None:
    assert not [path.name for path in home.iterdir() if b"BEGIN PRIVATE KEY" in path.read_bytes()]
    assert all(path.stat().st_mode & 0o077 == 0 for path in home.glob("*.key"))


@pytest.mark.parametrize("content", ["", "{}", "no json"])
def test_an_enrolment_request_that_is_none_is_refused(home: Path, typed: Type, tmp_path: Path, content: str) -> None:
    file = tmp_path / "enrolment.json"
    file.write_text(content)
    code, said = typed("enrol", file, "--out", tmp_path, "--home", home)
    assert (code, said["code"]) == (4, "enrolment_refused")


def test_a_folder_for_welcomes_that_cannot_be_is_told(home: Path, typed: Type, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    request = tmp_path / "enrolment.json"
    csr = to_pem(create_csr("ro", new_tls_key()))
    request.write_text(
        sign_request("ro", SigningKey.generate(), EncryptionKey.generate().public, csr).model_dump_json()
    )
    code, said = typed("enrol", request, "--out", tmp_path / "file", "--home", home)
    assert (code, said["code"]) == (2, "file_unwritable")


def test_a_database_url_that_is_none_is_told(home: Path, typed: Type) -> None:
    code, said = typed("init", "--home", home, "--admin-database", "nonsense", "--database", "nonsense")
    assert (code, said["code"]) == (2, "settings_invalid")


def test_an_unknown_task_force_is_named_before_anything_is_done(home: Path, typed: Type, tmp_path: Path) -> None:
    code, said = typed("enrol", tmp_path / "x", "--task-force", "piracy", "--out", tmp_path, "--home", home)
    assert (code, said["code"]) == (2, "usage")
    assert "piracy" in said["detail"]
    assert "trafficking" in said["detail"]


def test_the_environment_goes_before_the_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.load(home).tsa is None
    for name, value in (("URL", "http://tsa.example/"), ("ROOTS", "roots.pem"), ("INTERVAL_S", "77")):
        monkeypatch.setenv(f"SECI_HUB_TSA_{name}", value)
    assert Settings.load(home).tsa == Tsa("http://tsa.example/", home / "roots.pem", 77)
    assert Settings.stored(home).tsa is None


@pytest.mark.parametrize(
    ("fields", "environment"),
    [
        ({"tsa_url": "tsa.example", "tsa_roots": "roots.pem"}, {}),
        ({"tsa_url": "ftp://tsa.example/", "tsa_roots": "roots.pem"}, {}),
        ({"tsa_url": "http://tsa.example:99999/", "tsa_roots": "roots.pem"}, {}),
        ({"tsa_url": "http://tsa.example/"}, {}),
        ({}, {"SECI_HUB_TSA_INTERVAL_S": "often"}),
        ({}, {"SECI_HUB_TSA_INTERVAL_S": "0"}),
    ],
)
def test_a_tsa_that_cannot_be_is_a_matter_of_settings(
    home: Path, typed: Type, monkeypatch: pytest.MonkeyPatch, fields: dict[str, str], environment: dict[str, str]
) -> None:
    (home / "hub.json").write_text(json.dumps(json.loads((home / "hub.json").read_text()) | fields))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    code, said = typed("ledger", "timestamp", "--home", home)
    assert (code, said["code"]) == (2, "settings_invalid")


def _ctl(folder: Path, script: str) -> tuple[str, ...]:
    file = folder / "rabbitmqctl"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o700)
    return (str(file),)


def _with_ctl(home: Path, ctl: tuple[str, ...]) -> None:
    Settings.load(home).model_copy(update={"broker_ctl": ctl}).save()


@pytest.mark.parametrize(
    "script",
    [
        "echo 'Error: unable to perform an operation on node rabbit@x' >&2; echo 'Most common reasons' >&2; exit 69",
        "echo 'Error: operation list_queues on node rabbit@x timed out. Timeout value used: 60000' >&2; exit 75",
        "echo \"Error: this command requires the 'rabbit' app to be running on the target node\" >&2; exit 64",
    ],
)
def test_a_broker_that_is_down_is_told_in_words_of_ours(home: Path, typed: Type, tmp_path: Path, script: str) -> None:
    _with_ctl(home, _ctl(tmp_path, script))
    code, said = typed("queues", "--home", home)
    assert (code, said["code"]) == (5, "broker_unreachable")
    assert said["detail"].startswith("RabbitMQ does not answer")
    assert "rabbit@x" not in said["detail"]
    assert "\n" not in said["detail"] + said["next"]
    assert "broker_ctl" in said["next"]


def test_a_rabbitmqctl_that_does_not_run_is_a_matter_of_settings(home: Path, typed: Type, tmp_path: Path) -> None:
    _with_ctl(home, (str(tmp_path / "none"),))
    code, said = typed("queues", "--home", home)
    assert (code, said["code"]) == (1, "provisioning_failed")
    assert "broker_ctl" in said["next"]


def test_what_the_broker_refuses_is_told_on_one_line(home: Path, typed: Type, tmp_path: Path) -> None:
    _with_ctl(home, _ctl(tmp_path, "printf 'Error:\\nno such virtual host\\n' >&2; exit 70"))
    code, said = typed("queues", "--home", home)
    assert (code, said["code"]) == (1, "provisioning_failed")
    assert said["detail"].endswith("Error: no such virtual host")


@pytest.mark.parametrize(
    ("words", "detail", "field"),
    [
        (("queues", "--colour"), "No such option: --colour", None),
        (("enqueue",), "No such command 'enqueue'", None),
        (("ledger", "mend"), "No such command 'mend'", None),
        (("enrol",), "Missing argument", None),
        (("messages", "--limit", "0"), "wrong: --limit", "--limit"),
        (("trace", "7"), "wrong: ID", "ID"),
        (("messages", "--before", "-1"), "wrong: --before", "--before"),
        (("messages", "--before", "9" * 20), "wrong: --before", "--before"),
        (("quarantine", "show", "9" * 20), "wrong: INDEX", "INDEX"),
        (("quarantine", "discard", "9" * 20, "--reason", "x"), "wrong: INDEX", "INDEX"),
        (("messages", "--task-force", "Drugs"), "there is no 'Drugs'; known are trafficking, drugs", None),
        (("messages", "--kind", "poem"), "there is no 'poem'; known are administrative.notice, alert", None),
    ],
)
def test_words_that_are_not_understood_are_told_as_any_error(
    home: Path, typed: Type, words: tuple[str, ...], detail: str, field: str | None
) -> None:
    code, said = typed(*words, "--home", home) if words[0] not in ("enqueue", "ledger") else typed(*words)
    assert (code, said["code"]) == (2, "usage")
    assert detail in said["detail"]
    assert "--help" in said["next"]
    assert [item["field"] for item in said["errors"]] == ([] if field is None else [field])


def test_certificates_are_renewed_where_they_end_soon(home: Path, typed: Type) -> None:
    before = {path.name: path.read_bytes() for path in home.glob("*.pem")}
    code, said = typed("renew", "--home", home)
    assert (code, said["renewed"]) == (0, [])
    assert {path.name: path.read_bytes() for path in home.glob("*.pem")} == before
    code, said = typed("renew", "--within", "800", "--home", home)
    assert (code, said["renewed"]) == (0, ["hub-ingest", "hub-dispatch", "hub-quarantine", "broker"])
    new = read_certificate((home / "broker.pem").read_bytes())
    assert host_names(new) == host_names(read_certificate(before["broker.pem"]))
    assert new.serial_number != read_certificate(before["broker.pem"]).serial_number
    assert (home / "ca.pem").read_bytes() == before["ca.pem"]
    settings = Settings.load(home)
    # Each key opens, and is that of its certificate.
    assert BrokerAddress.of(settings).contexts.keys() == set(HUB_USERS)
    key = load_tls_key(home / "broker.key", settings.secret())
    assert key.public_key() == new.public_key()
    assert not list(home.glob("*.next.*"))


def test_a_renewal_of_certificates_that_was_killed_goes_on(home: Path) -> None:
    secret = Settings.load(home).secret()
    key = new_tls_key()
    save_tls_key(home / "hub-ingest.next.key", key, secret)
    (home / "hub-ingest.next.pem").write_bytes((home / "broker.pem").read_bytes())
    # Cut off after the first step of putting it in place.
    (home / "hub-ingest.next.key.password").replace(home / "hub-ingest.key.password")
    assert put_tls(home, "hub-ingest")
    assert load_tls_key(home / "hub-ingest.key", secret).private_numbers() == key.private_numbers()
    assert not put_tls(home, "hub-ingest")


def test_refusals_are_told_by_code_if_there_are_any() -> None:
    assert refused_line({}) == "refused     0"
    assert refused_line({"expired": 1, "not_a_member": 2}) == "refused     3 (expired 1, not_a_member 2)"
