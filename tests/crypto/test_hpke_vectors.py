"""HPKE as `crypto.keys` uses it, against vectors that nobody here wrote.

Our suite is MLKEM768-X25519, HKDF-SHA256, AES-256-GCM. The published vectors (`hpke-pq-test-vectors.json` of
`cryptography_vectors`) have its KEM with HKDF-SHA256 and ChaCha20-Poly1305 only, and with SHAKE256. So:

1. the KEM's keys, X-Wing's expansion of the 32-byte seed included, are compared with the vectors' directly;
2. the vectors' ciphertexts are opened by `EncryptionKey.unwrap` itself, in which the suite's AEAD and KDF are
   exchanged for the vector's, and the vector's additional data, of which we use none, are put in;
3. our own suite, unchanged, opens what is sealed here by RFC 9180's key schedule, written out below from the
   vectors' published shared secret. The key schedule is itself checked against the published keys, also against
   RFC 9180's own vectors for HKDF-SHA256 with AES-256-GCM (with the KEM X25519).
"""

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import cryptography_vectors
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.bindings._rust import openssl
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from crypto.errors import DecryptionFailed
from crypto.keys import WRAP_ENC_SIZE, EncryptionKey, EncryptionPublicKey

FOLDER = Path(cryptography_vectors.__file__).parent / "HPKE"
HYBRID, X25519 = 0x647A, 0x20
HKDF_SHA256, SHAKE256 = 0x0001, 0x0011
AES_256_GCM, CHACHA20_POLY1305 = 0x0002, 0x0003
KDFS = {HKDF_SHA256: hpke.KDF.HKDF_SHA256, SHAKE256: hpke.KDF.SHAKE256}
unhex = bytes.fromhex


def vectors_of(file: str, kem: int) -> list[dict[str, Any]]:
    found = json.loads((FOLDER / file).read_text())
    return [vector for vector in found if vector["kem_id"] == kem and vector["mode"] == 0]


OURS = vectors_of("hpke-pq-test-vectors.json", HYBRID)
EACH = pytest.mark.parametrize("vector", OURS, ids=lambda vector: f"kdf {vector['kdf_id']} aead {vector['aead_id']}")


def key_schedule(kem: int, kdf: int, aead: int, shared_secret: bytes, info: bytes) -> tuple[bytes, bytes]:
    """Key and base nonce of base mode with HKDF-SHA256, from RFC 9180 sections 4 and 5.1, word for word."""
    assert kdf == HKDF_SHA256
    suite = b"HPKE" + kem.to_bytes(2) + kdf.to_bytes(2) + aead.to_bytes(2)

    def extract(salt: bytes, label: bytes, secret: bytes) -> bytes:
        return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + secret, "sha256")

    def expand(label: bytes, context: bytes, length: int) -> bytes:
        labelled = length.to_bytes(2) + b"HPKE-v1" + suite + label + context
        return hmac.digest(prk, labelled + b"\x01", "sha256")[:length]

    context = b"\x00" + extract(b"", b"psk_id_hash", b"") + extract(b"", b"info_hash", info)
    prk = extract(shared_secret, b"secret", b"")
    return expand(b"key", context, 32), expand(b"base_nonce", context, 12)


def test_there_are_vectors_of_our_kem() -> None:
    assert {(vector["kdf_id"], vector["aead_id"]) for vector in OURS} >= {(HKDF_SHA256, CHACHA20_POLY1305)}


@EACH
def test_a_seed_expands_to_the_published_public_key(vector: dict[str, Any]) -> None:
    key = EncryptionKey.from_seed(unhex(vector["skRm"]))
    assert key.public.public_bytes().hex() == vector["pkRm"]
    assert EncryptionPublicKey.from_public_bytes(unhex(vector["pkRm"])) == key.public


def test_the_seed_is_expanded_with_shake256_as_x_wing_says() -> None:
    seed = unhex(OURS[0]["skRm"])
    expanded = hashlib.shake_256(seed).digest(96)
    kem, curve = EncryptionKey.from_seed(seed)._parts
    assert kem.private_bytes_raw() == expanded[:64]
    assert curve.private_bytes_raw() == expanded[64:]


class Suite:
    """The vector's suite in the place of ours, with the vector's additional data."""

    def __init__(self, vector: dict[str, Any], aad: bytes) -> None:
        kdf, aead = KDFS[vector["kdf_id"]], {CHACHA20_POLY1305: hpke.AEAD.CHACHA20_POLY1305}[vector["aead_id"]]
        self.suite = hpke.Suite(hpke.KEM.MLKEM768_X25519, kdf, aead)
        self.aad = aad

    def decrypt(self, wrapped: bytes, key: hpke.MLKEM768X25519PrivateKey, info: bytes) -> bytes:
        return openssl.hpke._decrypt_with_aad(self.suite, wrapped, key, info, self.aad)


@EACH
def test_the_vectors_ciphertexts_open_through_our_own_code(
    vector: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first message of each: ours are single-shot, so they have the first nonce always.
    first, info = vector["encryptions"][0], unhex(vector["info"])
    wrapped = unhex(vector["enc"] + first["ct"])
    assert len(unhex(vector["enc"])) == WRAP_ENC_SIZE
    key = EncryptionKey.from_seed(unhex(vector["skRm"]))
    monkeypatch.setattr("crypto.keys._SUITE", Suite(vector, unhex(first["aad"])))
    assert key.unwrap(wrapped, info) == unhex(first["pt"])
    with pytest.raises(DecryptionFailed):
        key.unwrap(wrapped, info + b"\x00")


@pytest.mark.parametrize(
    ("file", "kem", "aead"),
    [
        ("hpke-pq-test-vectors.json", HYBRID, CHACHA20_POLY1305),
        ("test-vectors.json", X25519, AES_256_GCM),
    ],
    ids=["MLKEM768-X25519 with ChaCha20-Poly1305", "X25519 with AES-256-GCM"],
)
def test_the_key_schedule_written_here_gives_the_published_keys(file: str, kem: int, aead: int) -> None:
    found = [v for v in vectors_of(file, kem) if (v["kdf_id"], v["aead_id"]) == (HKDF_SHA256, aead)]
    assert found
    for vector in found:
        secret, info = unhex(vector["shared_secret"]), unhex(vector["info"])
        key, nonce = key_schedule(kem, HKDF_SHA256, aead, secret, info)
        assert (key.hex(), nonce.hex()) == (vector["key"], vector["base_nonce"])


def test_rfc_9180_s_ciphertexts_of_aes_256_gcm_open_under_those_keys() -> None:
    for vector in vectors_of("test-vectors.json", X25519):
        if (vector["kdf_id"], vector["aead_id"]) == (HKDF_SHA256, AES_256_GCM):
            first = vector["encryptions"][0]
            cipher = AESGCM(unhex(vector["key"]))
            opened = cipher.decrypt(unhex(vector["base_nonce"]), unhex(first["ct"]), unhex(first["aad"]))
            assert opened == unhex(first["pt"])


@EACH
def test_our_own_suite_opens_what_the_published_shared_secret_closes(vector: dict[str, Any]) -> None:
    info, content_key = b"SECI1 content key", bytes(range(32))
    key, nonce = key_schedule(HYBRID, HKDF_SHA256, AES_256_GCM, unhex(vector["shared_secret"]), info)
    wrapped = unhex(vector["enc"]) + AESGCM(key).encrypt(nonce, content_key, b"")
    recipient = EncryptionKey.from_seed(unhex(vector["skRm"]))
    assert recipient.unwrap(wrapped, info) == content_key
    other_key, other_nonce = key_schedule(HYBRID, HKDF_SHA256, CHACHA20_POLY1305, unhex(vector["shared_secret"]), info)
    with pytest.raises(DecryptionFailed):
        recipient.unwrap(unhex(vector["enc"]) + AESGCM(other_key).encrypt(other_nonce, content_key, b""), info)
    with pytest.raises(InvalidTag):
        AESGCM(other_key).decrypt(nonce, wrapped[WRAP_ENC_SIZE:], b"")
