"""The keys of a node: signing and encryption, private and public. Pure; nothing here touches a disk.

Signing is Ed25519 (RFC 8032), or ECDSA with P-256 and SHA-256 for hardware that has no Ed25519.
Encryption is HPKE (RFC 9180) base mode with the hybrid KEM of ML-KEM-768 and X25519, so that
content stays closed if either of the two is ever broken. A key id is the first 16 bytes of the
SHA-256 of the public key's encoding. Private keys never show themselves in a repr.
"""

import hashlib
import secrets
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from typing import Final, Self

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, hpke, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mlkem, x25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from crypto.errors import DecryptionFailed, KeyUnusable, SignatureInvalid
from crypto.hsm import HsmEd25519, HsmP256, Reference

KEY_ID_SIZE: Final = 16
SEED_SIZE: Final = 32
WRAP_ENC_SIZE: Final = 1120
_MLKEM_PUBLIC_SIZE: Final = 1184
_ENCRYPTION_PUBLIC_SIZE: Final = _MLKEM_PUBLIC_SIZE + 32
_P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_SUITE: Final = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


class SignatureAlgorithm(IntEnum):
    """Signature algorithms by their COSE number (RFC 9053 section 2)."""

    EDDSA = -8
    ES256 = -7


_TAGS: Final = {SignatureAlgorithm.EDDSA: b"\x01", SignatureAlgorithm.ES256: b"\x02"}


def key_id_of(public: bytes) -> bytes:
    """The id of a public key of that encoding, 16 bytes."""
    return hashlib.sha256(public).digest()[:KEY_ID_SIZE]


@dataclass(frozen=True)
class VerifyKey:
    """A public signing key. Equal when its encoding is equal."""

    encoded: bytes

    def __reduce__(self) -> tuple[type[Self], tuple[bytes]]:
        # To another process goes what it is made of.
        return type(self), (self.encoded,)

    @cached_property
    def _key(self) -> ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey:
        tag, raw = self.encoded[:1], self.encoded[1:]
        try:
            if tag == _TAGS[SignatureAlgorithm.EDDSA]:
                return ed25519.Ed25519PublicKey.from_public_bytes(raw)
            if tag == _TAGS[SignatureAlgorithm.ES256] and raw[:1] == b"\x04":
                return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), raw)
        except ValueError as error:
            raise KeyUnusable("not a usable public signing key; ask its owner for it again") from error
        raise KeyUnusable("not an Ed25519 or P-256 public signing key; ask its owner for it again")

    @classmethod
    def from_public_bytes(cls, data: bytes) -> Self:
        """One tag byte (1 Ed25519, 2 P-256), then 32 raw bytes or the 65-byte point. Raises KeyUnusable."""
        key = cls(bytes(data))
        _ = key._key
        return key

    def public_bytes(self) -> bytes:
        """The encoding that `from_public_bytes` reads."""
        return self.encoded

    @cached_property
    def key_id(self) -> bytes:
        """16 bytes."""
        return key_id_of(self.encoded)

    @property
    def algorithm(self) -> SignatureAlgorithm:
        """Which signatures this key verifies."""
        eddsa = self.encoded[:1] == _TAGS[SignatureAlgorithm.EDDSA]
        return SignatureAlgorithm.EDDSA if eddsa else SignatureAlgorithm.ES256

    def verify(self, signature: bytes, data: bytes) -> None:
        """Raises SignatureInvalid unless `signature` (64 bytes) is this key's over `data`.

        ECDSA signatures must have the lower of the two values of s: nobody can turn a valid
        signature into a second one.
        """
        try:
            if isinstance(self._key, ed25519.Ed25519PublicKey):
                self._key.verify(signature, data)
                return
            r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
            if len(signature) == 64 and s <= _P256_ORDER // 2:
                self._key.verify(encode_dss_signature(r, s), data, ec.ECDSA(hashes.SHA256()))
                return
        except InvalidSignature:
            pass
        raise SignatureInvalid("the signature does not match: the bytes were altered or signed by another key")


@dataclass(frozen=True)
class SigningKey:
    """A private signing key, in memory or in a hardware token (crypto/hsm.py).

    One in a token signs like any other, and raises HsmUnavailable where the token does not answer.
    """

    _key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def generate(cls, algorithm: SignatureAlgorithm = SignatureAlgorithm.EDDSA) -> Self:
        """A fresh key."""
        if algorithm is SignatureAlgorithm.EDDSA:
            return cls(ed25519.Ed25519PrivateKey.generate())
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def from_seed(cls, seed: bytes) -> Self:
        """The Ed25519 key of a 32-byte seed (RFC 8032 section 5.1.5)."""
        return cls(ed25519.Ed25519PrivateKey.from_private_bytes(seed))

    @classmethod
    def from_private_bytes(cls, data: bytes) -> Self:
        """What `private_bytes` gave. Raises KeyUnusable."""
        tag, raw = data[:1], data[1:]
        if len(raw) == 32 and tag == _TAGS[SignatureAlgorithm.EDDSA]:
            return cls.from_seed(raw)
        if len(raw) == 32 and tag == _TAGS[SignatureAlgorithm.ES256] and 0 < int.from_bytes(raw) < _P256_ORDER:
            return cls(ec.derive_private_key(int.from_bytes(raw), ec.SECP256R1()))
        raise KeyUnusable("not a private signing key of this program")

    def private_bytes(self) -> bytes:
        """One tag byte (1 Ed25519, 2 P-256), then 32 bytes: the seed or the scalar. Never store it in clear.

        Raises KeyUnusable for a key in a token.
        """
        if isinstance(self._key, ed25519.Ed25519PrivateKey):
            return _TAGS[SignatureAlgorithm.EDDSA] + self._key.private_bytes_raw()
        return _TAGS[SignatureAlgorithm.ES256] + self._key.private_numbers().private_value.to_bytes(32)

    @property
    def reference(self) -> Reference | None:
        """Where the key is, if it is in a token."""
        return self._key.reference if isinstance(self._key, HsmP256 | HsmEd25519) else None

    @cached_property
    def public(self) -> VerifyKey:
        """The public key that verifies this key's signatures."""
        if isinstance(self._key, ed25519.Ed25519PrivateKey):
            return VerifyKey(_TAGS[SignatureAlgorithm.EDDSA] + self._key.public_key().public_bytes_raw())
        point = self._key.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
        return VerifyKey(_TAGS[SignatureAlgorithm.ES256] + point)

    def sign(self, data: bytes) -> bytes:
        """64 bytes: the Ed25519 signature, or r and s of ECDSA with the lower s."""
        if isinstance(self._key, ed25519.Ed25519PrivateKey):
            return self._key.sign(data)
        r, s = decode_dss_signature(self._key.sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32) + min(s, _P256_ORDER - s).to_bytes(32)


@dataclass(frozen=True)
class EncryptionPublicKey:
    """A public encryption key: messages are closed to its owner with it."""

    encoded: bytes

    @cached_property
    def _key(self) -> hpke.MLKEM768X25519PublicKey:
        if len(self.encoded) != _ENCRYPTION_PUBLIC_SIZE:
            raise KeyUnusable(f"a public encryption key has {_ENCRYPTION_PUBLIC_SIZE} bytes")
        try:
            return hpke.MLKEM768X25519PublicKey(
                mlkem.MLKEM768PublicKey.from_public_bytes(self.encoded[:_MLKEM_PUBLIC_SIZE]),
                x25519.X25519PublicKey.from_public_bytes(self.encoded[_MLKEM_PUBLIC_SIZE:]),
            )
        except ValueError as error:
            raise KeyUnusable("not a usable public encryption key; ask its owner for it again") from error

    @classmethod
    def from_public_bytes(cls, data: bytes) -> Self:
        """1216 bytes: ML-KEM-768 (1184), then X25519 (32). Raises KeyUnusable."""
        key = cls(bytes(data))
        _ = key._key
        return key

    def public_bytes(self) -> bytes:
        """The encoding that `from_public_bytes` reads."""
        return self.encoded

    @cached_property
    def key_id(self) -> bytes:
        """16 bytes."""
        return key_id_of(self.encoded)

    def wrap(self, content_key: bytes, info: bytes) -> bytes:
        """`content_key` closed to this key's owner under `info`: 1120 bytes of enc, then the ciphertext.

        Raises KeyUnusable for a key of low order, which shows only here.
        """
        try:
            return _SUITE.encrypt(content_key, self._key, info)
        except ValueError as error:
            raise KeyUnusable("not a usable public encryption key; ask its owner for it again") from error


@dataclass(frozen=True)
class EncryptionKey:
    """A private encryption key, held as its 32-byte seed.

    The seed is expanded as in X-Wing (draft-connolly-cfrg-xwing-kem): SHAKE256 to 96 bytes,
    64 for ML-KEM-768 (d || z) and 32 for X25519.
    """

    seed: bytes = field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        """A fresh key."""
        return cls(secrets.token_bytes(SEED_SIZE))

    @classmethod
    def from_seed(cls, seed: bytes) -> Self:
        """The key of a 32-byte seed. Raises KeyUnusable."""
        if len(seed) != SEED_SIZE:
            raise KeyUnusable(f"the seed of an encryption key has {SEED_SIZE} bytes")
        return cls(bytes(seed))

    @cached_property
    def _parts(self) -> tuple[mlkem.MLKEM768PrivateKey, x25519.X25519PrivateKey]:
        expanded = hashlib.shake_256(self.seed).digest(96)
        return (
            mlkem.MLKEM768PrivateKey.from_seed_bytes(expanded[:64]),
            x25519.X25519PrivateKey.from_private_bytes(expanded[64:]),
        )

    @cached_property
    def public(self) -> EncryptionPublicKey:
        """The public key to give to senders."""
        kem, curve = self._parts
        return EncryptionPublicKey(kem.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw())

    def unwrap(self, wrapped: bytes, info: bytes) -> bytes:
        """What `wrap` closed. Raises DecryptionFailed."""
        try:
            return _SUITE.decrypt(wrapped, hpke.MLKEM768X25519PrivateKey(*self._parts), info)
        except (InvalidTag, ValueError) as error:
            raise DecryptionFailed("the wrapped key does not open with this node's key") from error
