"""Who may do what at the hub, and what lets somebody in: pure, with the clock passed in."""

import time
from pathlib import Path

import pyotp
import pytest

from crypto import certificates
from crypto.errors import CertificateRefused
from crypto.keyfile import Secret
from hub import credentials, sessionfile
from hub.credentials import Credential
from hub.errors import FileUnwritable, OperatorsTampered, PasswordWeak
from hub.roles import DANGEROUS, MAY_TAKE_TWO, RULES, Action, Leaf, Role, allows, of_two, takes_two
from hub.sessions import FREE_ATTEMPTS, lasts, pause_ms

SECRET = Secret.passphrase("a poem that nobody has written")
PASSWORD = "correct horse battery"
NOW = 1_800_000_000_000


def test_each_action_has_a_rule_and_auditors_change_nothing() -> None:
    assert set(RULES) == set(Action)
    for action, rule in RULES.items():
        assert not (rule.dangerous and allows(Role.AUDITOR, action)), action
        assert not (rule.leaf is Leaf.NONE and rule.changes), action
    assert not allows(Role.OPERATOR, Action.CONFIRM)
    assert not any(allows(Role.OPERATOR, action) for action in (Action.REVOKE, Action.OPERATOR_ADD, Action.FOUR_EYES))
    assert allows(Role.AUDITOR, Action.EXPORT) and not allows(Role.AUDITOR, Action.RELEASE)
    assert DANGEROUS < MAY_TAKE_TWO


def test_what_takes_two_is_chosen_and_that_choice_takes_two() -> None:
    assert takes_two(Action.ENROL, DANGEROUS, 2)
    assert not takes_two(Action.RELEASE, DANGEROUS, 2)
    assert takes_two(Action.RELEASE, {Action.RELEASE}, 2)
    # Whoever could decide on that, or make another officer, alone, would be both of the two.
    for action in (Action.FOUR_EYES, Action.OPERATOR_ADD, Action.OPERATOR_ROLE, Action.OPERATOR_CREDENTIALS):
        assert takes_two(action, of_two({Action.RELEASE}), 2)
    assert of_two(()) == frozenset()
    assert not takes_two(Action.OPERATOR_ADD, DANGEROUS, 1, adds_officer=True)
    assert takes_two(Action.OPERATOR_ADD, DANGEROUS, 2, adds_officer=True)
    assert takes_two(Action.OPERATOR_ADD, DANGEROUS, 1)


def test_pauses_grow_and_have_an_end() -> None:
    pauses = [pause_ms(failures) // 1000 for failures in range(FREE_ATTEMPTS + 9)]
    assert pauses == [0] * FREE_ATTEMPTS + [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]
    assert pause_ms(10**6) == 3_600_000


def test_a_session_ends_idle_or_old() -> None:
    assert lasts(NOW, NOW + 9, 5, NOW + 4)
    assert not lasts(NOW, NOW + 9, 5, NOW + 5)
    assert not lasts(NOW + 8, NOW + 9, 5, NOW + 9)


def test_a_code_is_of_now_and_good_once() -> None:
    # RFC 6238, appendix B: the last six of its eight digits.
    secret, step = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", 1_111_111_109 // 30
    assert credentials.totp_step(secret, "081804", 1_111_111_109_000, 0) == step
    assert credentials.totp_step(secret, "081 804", 1_111_111_109_000 + 30_000, 0) == step
    assert credentials.totp_step(secret, "081804", 1_111_111_109_000 - 30_000, 0) == step
    assert credentials.totp_step(secret, "081804", 1_111_111_109_000 + 61_000, 0) is None
    assert credentials.totp_step(secret, "081804", 1_111_111_109_000, step) is None
    assert credentials.totp_step(secret, "081805", 1_111_111_109_000, 0) is None
    assert credentials.totp_step(secret, "٠٨١٨٠٤", 1_111_111_109_000, 0) is None


def test_password_and_code_are_both_asked_and_of_nobody_neither() -> None:
    credential = Credential.new("ana", Role.OFFICER, PASSWORD)
    code = pyotp.TOTP(credential.totp).at(NOW // 1000)
    assert credentials.accepts(credential, PASSWORD, code, NOW, 0) == NOW // 30_000
    assert credentials.accepts(credential, PASSWORD + "!", code, NOW, 0) is None
    assert credentials.accepts(credential, PASSWORD, "", NOW, 0) is None
    assert credentials.accepts(None, PASSWORD, code, NOW, 0) is None
    assert PASSWORD not in repr(credential) and credential.totp not in repr(credential)


@pytest.mark.parametrize("password", ["short", "x" * 1025, "aaaabbbbaaaa", "I am ANA, the first"])
def test_a_weak_password_is_refused(password: str) -> None:
    with pytest.raises(PasswordWeak):
        Credential.new("ana", Role.OFFICER, password)


def test_a_credential_is_good_for_whom_and_what_it_was_made() -> None:
    credential = Credential.new("ana", Role.OPERATOR, PASSWORD)
    sealed = credential.seal(SECRET)
    assert Credential.open(sealed, SECRET, "ana", "operator") == credential
    for name, role in (("bob", "operator"), ("ana", "security-officer")):
        with pytest.raises(OperatorsTampered):
            Credential.open(sealed, SECRET, name, role)
    with pytest.raises(OperatorsTampered):
        Credential.open(sealed[:-1] + bytes([sealed[-1] ^ 1]), SECRET, "ana", "operator")


def test_a_session_is_kept_where_nobody_else_reads_or_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(sessionfile.VARIABLE, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert sessionfile.read(tmp_path / "hub") is None
    file = sessionfile.save(tmp_path / "hub", "a token")
    assert (file.parent, file.stat().st_mode & 0o777) == (tmp_path / "seci-hub", 0o600)
    assert sessionfile.read(tmp_path / "hub") == "a token"
    assert sessionfile.read(tmp_path / "another") is None
    file.chmod(0o640)
    assert sessionfile.read(tmp_path / "hub") is None
    file.parent.chmod(0o777)
    with pytest.raises(FileUnwritable):
        sessionfile.save(tmp_path / "hub", "a token")
    monkeypatch.setenv(sessionfile.VARIABLE, str(tmp_path / "ana"))
    assert sessionfile.save(tmp_path / "hub", "another") == tmp_path / "ana"
    sessionfile.forget(tmp_path / "hub")
    assert sessionfile.read(tmp_path / "hub") is None


@pytest.mark.parametrize("name", ["Ana", "setup", "owner", "", "a/b", "-a", "a..b", "a" * 33, "ana\n"])
def test_names_that_could_be_taken_for_others_are_none(name: str) -> None:
    assert not credentials.is_name(name)
    assert credentials.is_name("ana.p-2")


def test_a_certificate_is_good_with_its_key_for_its_name_and_time() -> None:
    ca_key, key = certificates.new_tls_key(), certificates.new_tls_key()
    ca = certificates.create_ca("a CA", ca_key)
    request = certificates.create_csr("operator-ana", key)
    profile = certificates.Profile.CLIENT
    issued = certificates.issue(request, ca, ca_key, profile, common_name="operator-ana", days=2)
    now, challenge = time.time_ns() // 1_000_000, credentials.new_challenge()
    signed = credentials.sign_challenge(key, "ana", challenge)
    assert credentials.check_possession(issued, ca, "ana", challenge, signed, now) == credentials.fingerprint(issued)
    other = certificates.create_ca("a CA", certificates.new_tls_key())
    for changed in (
        (issued, other, "ana", challenge, signed, now),
        (issued, ca, "bob", challenge, signed, now),
        (issued, ca, "ana", credentials.new_challenge(), signed, now),
        (issued, ca, "ana", challenge, credentials.sign_challenge(ca_key, "ana", challenge), now),
        (issued, ca, "ana", challenge, signed, now + 3 * 86_400_000),
    ):
        with pytest.raises(CertificateRefused):
            credentials.check_possession(*changed)
