"""ML-DSA-44 (FIPS 204), with which logs and witnesses sign checkpoints so that these outlive Ed25519.

Pure; nothing here touches a disk. A private key never shows itself in a repr.
"""

import secrets
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import mldsa

from crypto.errors import KeyUnusable, SignatureInvalid

SEED_SIZE: Final = 32
PUBLIC_SIZE: Final = 1312
SIGNATURE_SIZE: Final = 2420


@dataclass(frozen=True)
class MlDsaPublicKey:
    """A public ML-DSA-44 key of a log or a witness, in the encoding of FIPS 204 (1312 bytes)."""

    encoded: bytes

    @cached_property
    def _key(self) -> mldsa.MLDSA44PublicKey:
        if len(self.encoded) != PUBLIC_SIZE:
            raise KeyUnusable(f"a public ML-DSA-44 key has {PUBLIC_SIZE} bytes; ask its owner for it again")
        return mldsa.MLDSA44PublicKey.from_public_bytes(self.encoded)

    @classmethod
    def from_public_bytes(cls, data: bytes) -> Self:
        """1312 bytes. Raises KeyUnusable."""
        key = cls(bytes(data))
        _ = key._key
        return key

    def public_bytes(self) -> bytes:
        """The encoding that `from_public_bytes` reads."""
        return self.encoded

    def verify(self, signature: bytes, data: bytes) -> None:
        """Raises SignatureInvalid unless `signature` (2420 bytes) is this key's over `data`, with no context."""
        try:
            self._key.verify(signature, data)
        except (InvalidSignature, ValueError) as error:
            raise SignatureInvalid("the signature does not match: altered, or signed by another key") from error


@dataclass(frozen=True)
class MlDsaKey:
    """A private ML-DSA-44 key of a log or a witness, held as its seed (FIPS 204 section 6.1, 32 bytes)."""

    seed: bytes = field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        """A fresh key."""
        return cls(secrets.token_bytes(SEED_SIZE))

    @classmethod
    def from_seed(cls, seed: bytes) -> Self:
        """The key of a 32-byte seed; the seed is also how it is stored, never in clear. Raises KeyUnusable."""
        if len(seed) != SEED_SIZE:
            raise KeyUnusable(f"the seed of an ML-DSA-44 key has {SEED_SIZE} bytes")
        return cls(bytes(seed))

    @cached_property
    def _key(self) -> mldsa.MLDSA44PrivateKey:
        return mldsa.MLDSA44PrivateKey.from_seed_bytes(self.seed)

    @cached_property
    def public(self) -> MlDsaPublicKey:
        """The public key that verifies this key's signatures."""
        return MlDsaPublicKey(self._key.public_key().public_bytes_raw())

    def sign(self, data: bytes) -> bytes:
        """2420 bytes, over `data` with no context. Hedged: another signature each time."""
        return self._key.sign(data)
