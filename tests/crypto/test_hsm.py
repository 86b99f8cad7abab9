"""Signing keys in a token: they sign like others, never come out, and a token that does not answer is told."""

import dataclasses
import threading
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from crypto import hsm, keyfile
from crypto.errors import HsmUnavailable, KeyUnusable, SignatureInvalid
from crypto.handover import open_handover, sign_handover
from crypto.hsm import HsmKey, Reference, Token
from crypto.keyfile import NodeKeys, Secret
from crypto.keys import SignatureAlgorithm, SigningKey
from hub import handing
from tests.crypto.handing import handover
from tests.crypto.softhsm import PIN, make_token, needs_softhsm

pytestmark = needs_softhsm
Make = Callable[[Token, str], HsmKey]
BOTH = pytest.mark.parametrize("make", [hsm.generate_p256, hsm.generate_ed25519])


@pytest.fixture(scope="session")
def token(tmp_path_factory: pytest.TempPathFactory) -> Token:
    """A token for all tests: the library finds those there were when it was loaded."""
    return make_token(tmp_path_factory.mktemp("softhsm"), "seci-test")


@pytest.fixture(scope="session")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Secret:
    """A key file's."""
    path = tmp_path_factory.mktemp("hsm") / "secret.key"
    keyfile.generate_key_file(path)
    return Secret.from_key_file(path)


@BOTH
def test_a_key_in_a_token_signs_and_its_public_key_verifies(token: Token, make: Make) -> None:
    key = SigningKey(make(token, f"signs {make.__name__}"))
    signature = key.sign(b"what is signed")
    key.public.verify(signature, b"what is signed")
    assert len(signature) == 64
    with pytest.raises(SignatureInvalid):
        key.public.verify(signature, b"what is not")
    assert (
        key.public.algorithm
        is {
            "generate_p256": SignatureAlgorithm.ES256,
            "generate_ed25519": SignatureAlgorithm.EDDSA,
        }[make.__name__]
    )


@BOTH
def test_a_key_in_a_token_does_not_come_out(token: Token, make: Make) -> None:
    key = make(token, f"stays {make.__name__}")
    with pytest.raises(KeyUnusable):
        SigningKey(key).private_bytes()
    with pytest.raises(KeyUnusable):
        key.private_bytes()


@BOTH
def test_what_is_stored_is_where_the_key_is_and_sealed(
    token: Token, make: Make, secret: Secret, tmp_path: Path
) -> None:
    key = SigningKey(make(token, f"stored {make.__name__}"))
    keys = dataclasses.replace(NodeKeys.generate(), signing=key)
    keyfile.save_node_keys(tmp_path / "node.key", keys, secret)
    keyfile.save_signing_key(tmp_path / "hub.key", key, secret)
    for file in tmp_path.iterdir():
        assert PIN.encode() not in file.read_bytes()
    for again in (
        keyfile.load_node_keys(tmp_path / "node.key", secret).signing,
        keyfile.load_signing_key(tmp_path / "hub.key", secret),
    ):
        assert again.public == key.public
        assert again.reference == key.reference
        again.public.verify(again.sign(b"again"), b"again")
    assert PIN not in repr(keys) + repr(key) + repr(key.reference)


# The library ends a search of the session that is closed when it is collected, and cannot say that to anybody.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_token_that_forgets_its_session_is_asked_again(token: Token) -> None:
    key = SigningKey(hsm.generate_p256(token, "forgotten"))
    session = hsm._session_of(token)
    assert session._session is not None
    session._session.close()
    key.public.verify(key.sign(b"after"), b"after")


def test_a_token_that_does_not_answer_is_told_with_no_pin(token: Token) -> None:
    key = hsm.generate_p256(token, "lonely")
    for change, words in (
        ({"label": "nobody's"}, "does not answer"),
        ({"module": Path("/nowhere.so")}, "does not answer"),
    ):
        elsewhere = dataclasses.replace(token, **change)
        lost = hsm.opened(dataclasses.replace(key.reference, token=elsewhere))
        with pytest.raises(HsmUnavailable, match=words) as told:
            SigningKey(lost).sign(b"")
        assert PIN not in str(told.value)
    gone = hsm.opened(dataclasses.replace(key.reference, key="never made"))
    with pytest.raises(HsmUnavailable, match="no such key"):
        SigningKey(gone).sign(b"")


def test_a_label_is_taken_once(token: Token) -> None:
    hsm.generate_p256(token, "once")
    with pytest.raises(KeyUnusable, match="already"):
        hsm.generate_ed25519(token, "once")


def test_what_a_token_cannot_do_is_refused(token: Token) -> None:
    key = hsm.generate_p256(token, "only signs")
    with pytest.raises(KeyUnusable):
        key.exchange(ec.ECDH(), key.public_key())
    with pytest.raises(KeyUnusable):
        key.sign(bytes(32), ec.ECDSA(Prehashed(hashes.SHA256())))


def test_a_reference_that_is_none_is_refused() -> None:
    for data in (b"", b"\xff", b"\xa1\x61a\x01"):
        with pytest.raises(KeyUnusable):
            Reference.from_bytes(data)
    with pytest.raises(KeyUnusable):
        hsm.opened(Reference(Token(Path("a"), "b", "c"), "d", bytes(65)))


def test_a_token_that_hangs_holds_nobody_up(token: Token, monkeypatch: pytest.MonkeyPatch) -> None:
    key = SigningKey(hsm.generate_p256(token, "hangs"))
    session, comes_back = hsm._session_of(token), threading.Event()
    monkeypatch.setattr(hsm, "ANSWER_S", 0.2)
    with monkeypatch.context() as hanging:
        hanging.setattr(session, "_sign", lambda *_: comes_back.wait(30) and b"")
        with pytest.raises(HsmUnavailable, match="nothing in"):
            key.sign(b"first")
    # It is still at it: nobody else is made to wait, and no second one is stuck behind it.
    with pytest.raises(HsmUnavailable, match="earlier question"):
        key.sign(b"second")
    assert not any(thread.name == "token" and not thread.daemon for thread in threading.enumerate())
    comes_back.set()
    session._asking.join(30)
    key.public.verify(key.sign(b"third"), b"third")


def test_a_wrong_pin_is_said_once_for_tokens_lock_themselves(token: Token, monkeypatch: pytest.MonkeyPatch) -> None:
    key = hsm.generate_p256(token, "asked with a wrong PIN")
    wrong = hsm.opened(dataclasses.replace(key.reference, token=dataclasses.replace(token, pin="000000")))
    # The library knows by itself that somebody is logged in, who has to leave for the PIN to be asked at all.
    hsm._session_of(token)._close(import_module("pkcs11"))
    session = hsm._session_of(wrong.reference.token)
    tried: list[int] = []
    opens = session._open
    monkeypatch.setattr(session, "_open", lambda pkcs11: tried.append(1) or opens(pkcs11))
    for _ in range(5):
        with pytest.raises(HsmUnavailable, match="PinIncorrect") as told:
            SigningKey(wrong).sign(b"")
        assert "000000" not in str(told.value)
    assert len(tried) == 1
    SigningKey(key).sign(b"the right one")


def test_a_key_that_was_put_in_another_s_place_signs_nothing(token: Token) -> None:
    for make in (hsm.generate_p256, hsm.generate_ed25519):
        old, new = make(token, f"old {make.__name__}"), make(token, f"new {make.__name__}")
        swapped = hsm.opened(dataclasses.replace(old.reference, key=new.reference.key))
        with pytest.raises(HsmUnavailable, match="another than it was"):
            SigningKey(swapped).sign(b"refused by everybody")


def test_the_hub_s_next_key_is_made_where_today_s_is_and_both_sign_the_handover(
    token: Token, secret: Secret, tmp_path: Path
) -> None:
    keyfile.save_signing_key(tmp_path / handing.KEY, handing.new_key(token), secret)
    old, new = (
        keyfile.load_signing_key(tmp_path / handing.KEY, secret),
        handing.prepare(tmp_path, secret, None),
    )
    assert new.reference is not None
    assert new.reference.token == token
    assert new.public != old.public
    # Asked again, it is the same.
    assert handing.prepare(tmp_path, secret, None).public == new.public
    said = handover(old, new)
    assert open_handover(sign_handover(said, old, new)) == said
