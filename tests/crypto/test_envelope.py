"""The envelope: what is sealed is opened by those addressed, and by nobody else; what was altered is refused."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.envelope import MAX_ENVELOPE, claimed_id, digest_of, open_envelope, seal, verify
from crypto.errors import (
    AlgorithmRefused,
    CryptoError,
    KeyUnknown,
    NotAddressed,
    RecipientsMismatch,
    SenderUnknown,
    SizeMismatch,
    TooLarge,
)
from crypto.keys import EncryptionKey, SignatureAlgorithm, SigningKey
from schemas.header import MAX_BODY, NONCE_SIZE
from schemas.refusals import RefusalCode
from tests.crypto.people import BG, HU, NAMES, NOW, RO, TR, person, routing, sealed, trust
from tests.schemas.strategies import FIXED_ID


@given(st.binary(max_size=3000), st.sets(st.sampled_from(NAMES), min_size=1, max_size=12))
@settings(max_examples=25, deadline=None)
def test_every_recipient_opens_what_was_sealed(body: bytes, recipients: set[str]) -> None:
    to = tuple(sorted(recipients))
    envelope = sealed(body, recipients=to)
    verified = verify(envelope, trust().signer_of)
    trust().check_recipient_keys(verified)
    assert verified.header.recipients == to
    assert verified.signer == RO.signing.public.key_id
    assert verified.digest == digest_of(envelope) == hashlib.sha256(envelope).digest()
    for node in to:
        opened = open_envelope(verified, node, (person(node).encryption,))
        assert opened.body == body
        assert opened.header == verified.header


def test_the_header_binds_the_content_and_reveals_it_to_whoever_gets_the_nonce() -> None:
    verified = verify(sealed(b"said"), trust().signer_of)
    opened = open_envelope(verified, "bg", (BG.encryption,))
    assert len(opened.nonce) == NONCE_SIZE
    assert hashlib.sha256(opened.nonce + b"said").digest() == verified.header.digest
    assert verified.header.size == NONCE_SIZE + len(b"said")


def test_sealing_twice_gives_nothing_in_common_but_what_is_public() -> None:
    first, second = (verify(sealed(b"said"), trust().signer_of) for _ in range(2))
    assert first.header.digest != second.header.digest
    assert first.iv != second.iv
    assert first.ciphertext != second.ciphertext
    assert first.recipient_keys != second.recipient_keys


def test_the_content_is_nowhere_in_the_envelope() -> None:
    body = b"a secret long enough not to stand there by chance"
    envelope = sealed(body)
    assert not any(body[start : start + 8] in envelope for start in range(len(body) - 8))


def test_p256_signers_work() -> None:
    signer = SigningKey.generate(SignatureAlgorithm.ES256)
    header, envelope = seal(routing(), b"body", {"bg": BG.encryption.public}, signer)
    verified = verify(envelope, lambda *_: signer.public)
    assert header.suite == verified.header.suite == "SECI1-ES256"
    assert open_envelope(verified, "bg", (BG.encryption,)).body == b"body"


def test_a_recipient_opens_with_an_older_key_that_it_still_has() -> None:
    verified = verify(sealed(), trust().signer_of)
    assert open_envelope(verified, "bg", (EncryptionKey.generate(), BG.encryption)).body == b"body"


def test_who_is_not_addressed_cannot_open() -> None:
    verified = verify(sealed(recipients=("bg", "hu")), trust().signer_of)
    for node in ("tr", "ro", "seci"):
        with pytest.raises(NotAddressed):
            open_envelope(verified, node, (person(node).encryption,))


def test_who_has_not_the_recipient_s_key_cannot_open_in_its_name() -> None:
    verified = verify(sealed(recipients=("bg", "hu")), trust().signer_of)
    for keys in ((TR.encryption,), (HU.encryption,), ()):
        with pytest.raises(NotAddressed):
            open_envelope(verified, "bg", keys)


def test_a_body_of_one_mebibyte_passes_and_one_byte_more_is_refused() -> None:
    envelope = sealed(bytes(MAX_BODY))
    assert len(envelope) <= MAX_ENVELOPE
    assert len(open_envelope(verify(envelope, trust().signer_of), "bg", (BG.encryption,)).body) == MAX_BODY
    with pytest.raises(SizeMismatch, match="1 MiB"):
        sealed(bytes(MAX_BODY + 1))


def test_more_bytes_than_any_envelope_has_are_refused_unread() -> None:
    with pytest.raises(TooLarge, match="at most"):
        verify(bytes(MAX_ENVELOPE + 1), trust().signer_of)
    assert claimed_id(bytes(MAX_ENVELOPE + 1)) is None


@pytest.mark.parametrize("nodes", [("bg",), ("bg", "hu", "tr"), ("bg", "tr"), ()])
def test_keys_must_be_given_for_exactly_the_recipients(nodes: tuple[str, ...]) -> None:
    keys = {node: person(node).encryption.public for node in nodes}
    with pytest.raises(RecipientsMismatch):
        seal(routing(recipients=("bg", "hu")), b"", keys, RO.signing)


def test_an_envelope_of_an_unknown_sender_or_key_is_refused() -> None:
    with pytest.raises(SenderUnknown):
        verify(sealed(sender="xx"), trust().signer_of)
    _, envelope = seal(routing(), b"", {"bg": BG.encryption.public}, TR.signing)
    with pytest.raises(KeyUnknown):
        verify(envelope, trust().signer_of)


def test_a_key_of_another_algorithm_than_stated_is_refused() -> None:
    signer = SigningKey.generate(SignatureAlgorithm.ES256)
    with pytest.raises(AlgorithmRefused):
        verify(sealed(), lambda *_: signer.public)


def test_the_claimed_id_is_told_without_a_key_and_of_no_other_bytes() -> None:
    assert claimed_id(sealed()) == (FIXED_ID, "ro")
    assert claimed_id(sealed()[:-1]) is None
    assert claimed_id(b"") is None


def test_the_lookup_is_asked_with_the_header_and_the_key_id() -> None:
    asked = []

    def lookup(header: object, kid: bytes) -> object:
        asked.append((header, kid))
        return RO.signing.public

    verified = verify(sealed(), lookup)  # type: ignore[arg-type]
    assert asked == [(verified.header, RO.signing.public.key_id)]
    assert verified.header.created == NOW


def test_what_verify_and_open_say_are_refusal_codes() -> None:
    said = {
        "EnvelopeMalformed", "TooLarge", "HeaderMalformed", "VersionUnsupported", "AlgorithmRefused",
        "SignatureInvalid", "RecipientsMismatch", "SizeMismatch", "SenderUnknown", "KeyUnknown", "KeyNotValid",
        "NotAddressed", "DecryptionFailed", "DigestMismatch",
    }  # fmt: skip
    codes = {kind.__name__: kind.code for kind in CryptoError.__subclasses__()}
    assert {codes[name] for name in said} <= {code.value for code in RefusalCode}
