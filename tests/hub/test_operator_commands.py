"""Operators as they type: from nobody to two officers who act together, into a real hub with a real ledger."""

import json
import time
from pathlib import Path
from typing import Any

import pyotp
import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from crypto import certificates
from hub import cli_operator
from tests.hub.ownhub import OwnHub

PASSWORD = "correct horse battery"


class People:
    """Types commands as one operator or another, each with a session file of its own."""

    def __init__(self, hub: OwnHub, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.hub, self._folder, self._patch = hub, folder, patch
        self.totp: dict[str, str] = {}
        self._used: dict[str, int] = {}
        self.password = folder / "password"
        self.password.touch(0o600)
        self.password.write_text(PASSWORD + "\n")

    def type(self, who: str, *arguments: str) -> tuple[int, Any]:
        """The exit code and what was printed."""
        self.be(who)
        return self.hub.type(*arguments)

    def be(self, who: str) -> None:
        """What is typed next is typed by this one."""
        self._patch.setenv("SECI_HUB_SESSION", str(self.session(who)))

    def session(self, who: str) -> Path:
        """Where the session is kept."""
        return self._folder / f"{who}.session"

    def adding(self, name: str, role: str) -> tuple[str, ...]:
        """The command."""
        return ("operator", "add", name, "--role", role, "--new-password-file", str(self.password))

    def add(self, who: str, name: str, role: str) -> tuple[int, Any]:
        """Types it, and takes the secret into the authenticator."""
        code, said = self.type(who, *self.adding(name, role))
        if code == 0:
            self.totp[name] = pyotp.parse_uri(said["totp"]).secret
        return code, said

    def code(self, name: str) -> str:
        """One that was not used: of this step, which is good for another half-minute, or the next."""
        step = max(self._used.get(name, 0) + 1, time.time_ns() // 30_000_000_000)
        self._used[name] = step
        return pyotp.HOTP(self.totp[name]).at(step)

    def login(self, name: str) -> tuple[int, Any]:
        """With password and code."""
        return self.type(name, "login", name, "--password-file", str(self.password), "--code", self.code(name))

    def acts(self) -> list[str]:
        """What the ledger says of all of them, oldest first."""
        found = self.type("ana", "ledger", "search", "--event", "operator", "--limit", "1000")[1]["entries"]
        return [entry["detail"] for entry in reversed(found)]

    def officers(self) -> None:
        """Two of them, logged in."""
        assert self.type("ana", "provision")[0] == 0
        assert self.add("ana", "ana", "security-officer")[0] == self.login("ana")[0] == 0
        assert self.add("ana", "bob", "security-officer")[0] == self.login("bob")[0] == 0


@pytest.fixture
def people(own: OwnHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> People:
    """Nobody yet."""
    return People(own, tmp_path, monkeypatch)


@pytest.mark.system
def test_from_nobody_to_two_officers_who_act_together(people: People) -> None:
    # Nobody yet: who is there acts, and is on record as such.
    assert people.type("ana", "provision")[0] == 0
    assert people.type("ana", "status")[1]["operators"]["enabled"] == 0
    assert people.add("ana", "ana", "operator")[1]["code"] == "operator_refused"
    assert people.add("ana", "ana", "security-officer")[0] == 0
    # From now on every command asks who it is.
    for command in (("messages",), ("quarantine", "list"), ("ledger", "search"), ("operator", "list"), ("deadlines",)):
        code, said = people.type("ana", *command)
        assert (code, said["code"]) == (4, "session_required"), command
    assert people.add("eve", "eve", "security-officer")[1]["code"] == "session_required"
    assert people.type("eve", "status")[1]["roster"] == {"version": 1, "nodes": None, "absent": None}
    assert people.login("ana")[1]["role"] == "security-officer"
    assert people.type("ana", "whoami")[1]["operator"] == "ana"
    # The second officer she may add alone; from then on it takes two.
    assert people.add("ana", "bob", "security-officer")[0] == 0
    code, said = people.add("ana", "eve", "auditor")
    assert (code, said["code"], said["errors"][0]["found"]) == (3, "approval_waiting", "1")
    assert people.add("ana", "eve", "auditor")[1]["errors"][0]["found"] == "1", "it is not asked twice"
    code, said = people.type("ana", "approvals", "confirm", "1", "--yes")
    assert (code, said["code"]) == (4, "own_approval")
    # Where nobody can type, it does not wait, and says what to give.
    assert people.type("bob", "login", "bob")[1]["code"] == "usage"
    assert people.login("bob")[0] == 0
    assert people.type("bob", "approvals", "show", "1")[1]["subject"] == {"name": "eve", "role": "auditor"}
    assert people.type("bob", "approvals", "confirm", "1")[1]["code"] == "usage"
    assert people.type("bob", "approvals", "confirm", "1", "--yes")[1]["state"] == "confirmed"
    assert people.type("bob", "approvals", "confirm", "1", "--yes")[1]["code"] == "approval_closed"
    # Killed in the middle of it, it is done once when the command is repeated.
    people.be("ana")
    assert people.hub.type(*people.adding("eve", "auditor"), crash_at=("hub.operators:add",))[0] == -9
    assert people.add("ana", "eve", "auditor")[0] == 0
    assert people.add("ana", "eve", "auditor")[1]["code"] == "operator_refused"
    # An auditor reads, and changes nothing.
    assert people.login("eve")[0] == 0
    assert people.type("eve", "ledger", "search")[0] == 0
    code, said = people.type("eve", "ledger", "erase", "0", "--reason", "mine", "--yes")
    assert (code, said["code"]) == (4, "role_missing")
    # All of it is in the ledger, which holds, with the names and without the secrets.
    details = people.acts()
    assert details[0].startswith("setup/")
    assert details[1] == "ana: operator.add name=ana role=security-officer"
    assert sum(detail.startswith("ana: operator.add (approval 1) name=eve") for detail in details) == 1
    assert "bob: confirm approval=1 for=operator.add asked_by=ana name=eve role=auditor" in details
    assert people.type("ana", "ledger", "verify")[0] == 0
    files = [path.read_bytes() for path in people.hub.home.iterdir() if path.is_file()]
    kept = b"".join(files).decode(errors="replace") + json.dumps(details)
    assert not any(secret in kept for secret in (PASSWORD, *people.totp.values()))
    assert people.session("ana").stat().st_mode & 0o777 == 0o600


@pytest.mark.system
def test_what_two_officers_do_to_accounts_and_to_the_rule_itself(
    people: People, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    people.officers()
    # The last two stay, and neither makes the rule alone.
    assert people.type("ana", "operator", "disable", "bob")[1]["code"] == "operator_refused"
    assert people.type("ana", "operator", "four-eyes", "off")[0] == 3
    assert people.type("bob", "approvals", "refuse", "1")[1]["state"] == "refused"
    assert people.type("ana", "operator", "four-eyes", "off")[0] == 3
    assert people.type("bob", "approvals", "confirm", "2", "--yes")[0] == 0
    assert people.type("ana", "operator", "four-eyes", "off")[1]["four_eyes"] == []
    # What takes two brings with it what makes a second person.
    assert people.type("ana", "operator", "four-eyes", "erase")[0] == 0
    assert people.add("ana", "eve", "security-officer")[1]["code"] == "approval_waiting"
    assert people.type("ana", "operator", "four-eyes", "off")[0] == 3
    assert people.type("bob", "approvals", "confirm", "4", "--yes")[0] == 0
    assert people.type("ana", "operator", "four-eyes", "off")[0] == 0
    # Who is disabled is out at once, and does not come in.
    assert people.add("ana", "eve", "auditor")[0] == people.login("eve")[0] == 0
    assert people.type("ana", "operator", "disable", "eve")[0] == 0
    assert people.type("eve", "whoami")[1]["code"] == "session_required"
    assert people.login("eve")[1]["code"] == "login_refused"
    # A certificate instead of password and code.
    key = certificates.new_tls_key()
    csr, pem, file = (tmp_path / f"bob.{name}" for name in ("csr", "pem", "key"))
    csr.write_bytes(certificates.to_pem(certificates.create_csr("operator-bob", key)))
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSWORD.encode())))
    assert people.type("ana", "operator", "certificate", "bob", "--csr", str(csr), "--out", str(pem))[0] == 0
    assert people.type("bob", "logout")[1]["operator"] == "bob"
    assert people.type("bob", "whoami")[1]["code"] == "session_required"
    shown = ("--certificate", str(pem), "--key", str(file), "--password-file", str(people.password))
    assert people.type("bob", "login", "bob", *shown)[0] == 0
    assert people.type("eve", "login", "ana", *shown)[1]["code"] == "login_refused"
    # While somebody types a new password for bob, he gets another role: that stays, and his certificate is no more.
    assert people.add("ana", "dan", "security-officer")[0] == 0

    def typed(*_: object, **__: object) -> str:
        assert people.type("ana", "operator", "role", "bob", "--role", "auditor")[0] == 0
        return PASSWORD

    with monkeypatch.context() as patched:
        patched.setattr(cli_operator, "read_password", typed)
        assert people.type("ana", "operator", "password", "bob")[0] == 0
    assert people.type("ana", "operator", "show", "bob")[1]["role"] == "auditor"
    assert people.type("bob", "login", "bob", *shown)[1]["code"] == "login_refused"
    # The owner of the database helps when nobody can confirm any more; that is on record, too.
    owner = people.hub.options[1]
    recover = ("operator", "recover", "ana", "--new-password-file", str(people.password), "--admin-database")
    assert people.type("eve", *recover, people.hub.url)[1]["code"] == "operator_refused"
    said = people.type("eve", *recover, owner)[1]
    people.totp["ana"] = pyotp.parse_uri(said["totp"]).secret
    assert people.type("ana", "whoami")[1]["code"] == "session_required"
    assert people.login("ana")[0] == 0
    acted = {
        "ana: four-eyes (approval 2) actions=none",
        "bob: login by=certificate",
        "owner: operator.recover name=ana",
    }
    assert acted <= {*people.acts()}
