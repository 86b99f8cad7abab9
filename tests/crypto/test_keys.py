"""Keys: encodings that come back, ids that follow from them, signatures with one form, secrets that stay unseen."""

import hashlib

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.errors import CryptoError, DecryptionFailed, KeyUnusable, SignatureInvalid
from crypto.keys import (
    EncryptionKey,
    EncryptionPublicKey,
    SignatureAlgorithm,
    SigningKey,
    VerifyKey,
)

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ED25519 = SigningKey.from_seed(bytes(range(32)))
P256 = SigningKey.from_private_bytes(b"\x02" + bytes(range(1, 33)))
SEALING = EncryptionKey.from_seed(bytes(range(32)))
BOTH = pytest.mark.parametrize("key", [ED25519, P256], ids=["Ed25519", "P-256"])


@BOTH
def test_a_signature_verifies_and_has_64_bytes(key: SigningKey) -> None:
    signature = key.sign(b"data")
    assert len(signature) == 64
    key.public.verify(signature, b"data")


@BOTH
def test_every_altered_bit_of_a_signature_is_refused(key: SigningKey) -> None:
    signature = key.sign(b"data")
    for bit in range(512):
        altered = (int.from_bytes(signature) ^ (1 << bit)).to_bytes(64)
        with pytest.raises(SignatureInvalid):
            key.public.verify(altered, b"data")


@BOTH
@pytest.mark.parametrize("signature", [b"", b"\x00", bytes(63), bytes(64), bytes(65), b"\xff" * 64, b"\xff" * 1000])
def test_a_signature_of_another_form_is_refused(key: SigningKey, signature: bytes) -> None:
    with pytest.raises(SignatureInvalid):
        key.public.verify(signature, b"data")


@BOTH
def test_a_signature_of_other_data_or_by_another_key_is_refused(key: SigningKey) -> None:
    with pytest.raises(SignatureInvalid):
        key.public.verify(key.sign(b"data"), b"Data")
    other = SigningKey.generate(key.public.algorithm)
    with pytest.raises(SignatureInvalid):
        key.public.verify(other.sign(b"data"), b"data")


def test_the_signature_of_rfc_8032_test_3_is_made_and_verified() -> None:
    key = SigningKey.from_seed(bytes.fromhex("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7"))
    signature = bytes.fromhex(
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
    )
    assert key.public.public_bytes().hex() == "01fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025"
    assert key.sign(bytes.fromhex("af82")) == signature
    key.public.verify(signature, bytes.fromhex("af82"))


def test_ecdsa_signatures_have_the_lower_s_and_the_higher_one_is_refused() -> None:
    for number in range(20):
        data = bytes([number])
        signature = P256.sign(data)
        s = int.from_bytes(signature[32:])
        assert 0 < s <= ORDER // 2
        P256.public.verify(signature, data)
        with pytest.raises(SignatureInvalid):
            P256.public.verify(signature[:32] + (ORDER - s).to_bytes(32), data)


def test_a_signature_made_by_other_hardware_with_the_lower_s_is_taken() -> None:
    private = ec.derive_private_key(int.from_bytes(bytes(range(1, 33))), ec.SECP256R1())
    r, s = decode_dss_signature(private.sign(b"data", ec.ECDSA(hashes.SHA256())))
    P256.public.verify(r.to_bytes(32) + min(s, ORDER - s).to_bytes(32), b"data")


@BOTH
def test_signing_keys_come_back_from_their_bytes(key: SigningKey) -> None:
    again = SigningKey.from_private_bytes(key.private_bytes())
    assert len(key.private_bytes()) == 33
    assert again.public == key.public
    assert VerifyKey.from_public_bytes(key.public.public_bytes()) == key.public


@BOTH
def test_a_key_id_is_the_first_16_bytes_of_the_hash_of_the_public_key(key: SigningKey) -> None:
    assert key.public.key_id == hashlib.sha256(key.public.public_bytes()).digest()[:16]


def test_encodings_begin_with_the_tag_of_their_algorithm() -> None:
    assert (ED25519.public.public_bytes()[:1], len(ED25519.public.public_bytes())) == (b"\x01", 33)
    assert (P256.public.public_bytes()[:2], len(P256.public.public_bytes())) == (b"\x02\x04", 66)
    assert (ED25519.public.algorithm, P256.public.algorithm) == (SignatureAlgorithm.EDDSA, SignatureAlgorithm.ES256)
    assert [int(algorithm) for algorithm in SignatureAlgorithm] == [-8, -7]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01",
        b"\x01" + bytes(31),
        b"\x01" + bytes(33),
        b"\x02" + bytes(65),
        b"\x02\x04" + bytes(64),
        b"\x02\x04" + b"\xff" * 64,
        b"\x02" + P256.public.public_bytes()[1:34],
        b"\x02\x02" + P256.public.public_bytes()[2:34],
        b"\x03" + bytes(32),
        bytes(32),
    ],
    ids=lambda data: data[:4].hex() + f"-{len(data)}",
)
def test_what_is_no_public_signing_key_is_refused(data: bytes) -> None:
    with pytest.raises(KeyUnusable):
        VerifyKey.from_public_bytes(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01" + bytes(31),
        b"\x03" + bytes(32),
        b"\x02" + bytes(32),
        b"\x02" + ORDER.to_bytes(32),
        b"\x02" + b"\xff" * 32,
    ],
    ids=lambda data: data[:4].hex() + f"-{len(data)}",
)
def test_what_is_no_private_signing_key_is_refused(data: bytes) -> None:
    with pytest.raises(KeyUnusable):
        SigningKey.from_private_bytes(data)


@given(st.binary(max_size=64), st.binary(max_size=32))
@settings(max_examples=30, deadline=None)
def test_a_wrapped_key_opens_under_its_info_and_no_other(content: bytes, info: bytes) -> None:
    wrapped = SEALING.public.wrap(content, info)
    assert len(wrapped) == 1120 + len(content) + 16
    assert SEALING.unwrap(wrapped, info) == content
    with pytest.raises(DecryptionFailed):
        SEALING.unwrap(wrapped, info + b"\x00")
    with pytest.raises(DecryptionFailed):
        EncryptionKey.generate().unwrap(wrapped, info)


@pytest.mark.parametrize("data", [b"", b"\x00", bytes(1120), bytes(1168)], ids=len)
def test_bytes_that_are_no_wrapped_key_do_not_open(data: bytes) -> None:
    with pytest.raises(DecryptionFailed):
        SEALING.unwrap(data, b"")


def test_a_wrapped_key_with_a_curve_point_of_low_order_does_not_open() -> None:
    wrapped = SEALING.public.wrap(bytes(32), b"")
    with pytest.raises(DecryptionFailed):
        SEALING.unwrap(wrapped[:1088] + bytes(32) + wrapped[1120:], b"")


@given(st.integers(0, 1168 * 8 - 1))
@settings(max_examples=100, deadline=None)
def test_an_altered_bit_of_a_wrapped_key_keeps_it_closed(bit: int) -> None:
    wrapped = SEALING.public.wrap(bytes(32), b"")
    altered = (int.from_bytes(wrapped) ^ (1 << bit)).to_bytes(len(wrapped))
    with pytest.raises(DecryptionFailed):
        SEALING.unwrap(altered, b"")


def test_encryption_keys_come_back_from_their_bytes() -> None:
    public = SEALING.public
    assert len(public.public_bytes()) == 1184 + 32
    assert EncryptionPublicKey.from_public_bytes(public.public_bytes()) == public
    assert EncryptionKey.from_seed(SEALING.seed).public == public
    assert public.key_id == hashlib.sha256(public.public_bytes()).digest()[:16]


@pytest.mark.parametrize(
    "data", [b"", bytes(1215), bytes(1217), b"\xff" * 1216], ids=["none", "less", "more", "no key"]
)
def test_what_is_no_public_encryption_key_is_refused(data: bytes) -> None:
    with pytest.raises(KeyUnusable):
        EncryptionPublicKey.from_public_bytes(data)


def test_a_public_key_of_low_order_is_refused_when_something_is_closed_to_it() -> None:
    weak = EncryptionPublicKey.from_public_bytes(SEALING.public.public_bytes()[:1184] + bytes(32))
    with pytest.raises(KeyUnusable):
        weak.wrap(bytes(32), b"")


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_seed_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(KeyUnusable):
        EncryptionKey.from_seed(bytes(size))


def test_no_private_key_shows_itself() -> None:
    secrets = [ED25519.private_bytes()[1:], P256.private_bytes()[1:], SEALING.seed]
    shown = [text for key in (ED25519, P256, SEALING) for text in (repr(key), str(key), f"{key}")]
    for secret in secrets:
        for form in (secret.hex(), repr(secret), str(int.from_bytes(secret))):
            assert not any(form.strip("b'\"") in text for text in shown)
    assert {repr(ED25519), repr(P256), repr(SEALING)} == {"SigningKey()", "EncryptionKey()"}


def test_fresh_keys_differ() -> None:
    assert SigningKey.generate().public != SigningKey.generate().public
    assert EncryptionKey.generate().public != EncryptionKey.generate().public


def test_every_error_of_this_room_has_a_code_of_its_own() -> None:
    kinds = CryptoError.__subclasses__()
    assert len({kind.code for kind in kinds}) == len(kinds) > 20
    assert all(kind.__doc__ for kind in kinds)
