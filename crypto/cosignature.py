"""Signatures with a time over checkpoints (C2SP tlog-cosignature), by a log itself or by its witnesses.

Two types: Ed25519 (0x04) signs the checkpoint's text under a header with the time; ML-DSA-44 (0x06)
signs a structure with the cosigner's name, the time, the log's origin, its size and root. A hub signs
its checkpoints with plain Ed25519 and with ML-DSA-44. Times are whole seconds since 1970, UTC.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Self

from crypto.errors import KeyUnusable, NoteInvalid, SignatureInvalid
from crypto.keys import SignatureAlgorithm, SigningKey, VerifyKey
from crypto.mldsa import SIGNATURE_SIZE, MlDsaKey, MlDsaPublicKey
from crypto.note import (
    MAX_SIGNATURES,
    Checkpoint,
    Note,
    NoteSigner,
    Signature,
    check_name,
    key_hash,
    parse_vkey,
    sign_note,
    vkey,
)

_TIME_SIZE: Final = 8
_LATEST: Final = 2**63 - 1
_LABEL: Final = b"subtree/v1\n\x00"


class CosignatureType(IntEnum):
    """Signature types of cosignatures (C2SP signed-note)."""

    ED25519 = 0x04
    MLDSA44 = 0x06


@dataclass(frozen=True)
class CosignerKey:
    """A public key of cosignatures under its name. Raises NoteInvalid for a P-256 key or a bad name."""

    name: str
    key: VerifyKey | MlDsaPublicKey

    def __post_init__(self) -> None:
        check_name(self.name)
        if isinstance(self.key, VerifyKey) and self.key.algorithm is not SignatureAlgorithm.EDDSA:
            raise NoteInvalid("checkpoints are cosigned with Ed25519 or ML-DSA-44")
        if self.type is CosignatureType.MLDSA44:
            _prefixed(self.name)

    @property
    def type(self) -> CosignatureType:
        """Which cosignatures this key makes."""
        return CosignatureType.ED25519 if isinstance(self.key, VerifyKey) else CosignatureType.MLDSA44

    @property
    def encoded(self) -> bytes:
        """The type's byte, then the public key: 32 bytes of Ed25519 or 1312 of ML-DSA-44."""
        public = self.key.public_bytes()
        return bytes([self.type]) + (public[1:] if self.type is CosignatureType.ED25519 else public)

    @property
    def key_hash(self) -> bytes:
        """4 bytes that tell a name's keys apart."""
        return key_hash(self.name, self.encoded)

    def vkey(self) -> str:
        """`name+hash+base64`, as it is handed to verifiers."""
        return vkey(self.name, self.encoded)

    @classmethod
    def parse(cls, text: str) -> Self:
        """What `vkey` wrote. Raises NoteInvalid."""
        name, encoded = parse_vkey(text)
        kind, public = encoded[:1], encoded[1:]
        try:
            if kind == bytes([CosignatureType.ED25519]):
                return cls(name, VerifyKey.from_public_bytes(b"\x01" + public))
            if kind == bytes([CosignatureType.MLDSA44]):
                return cls(name, MlDsaPublicKey.from_public_bytes(public))
        except KeyUnusable as error:
            raise NoteInvalid(f"the cosigner key of {name!r} is not usable") from error
        raise NoteInvalid(f"the key of {name!r} is not of a cosignature's type (4 or 6)")

    def verify(self, text: str, signature: bytes) -> None:
        """Raises SignatureInvalid unless `signature` is this key's cosignature of the checkpoint's text."""
        size = 64 if self.type is CosignatureType.ED25519 else SIGNATURE_SIZE
        if len(signature) != _TIME_SIZE + size or time_of(signature) > _LATEST:
            raise SignatureInvalid(f"a cosignature is a time (8 bytes) and {size} bytes more")
        self.key.verify(signature[_TIME_SIZE:], self.message(text, time_of(signature)))

    def message(self, text: str, at: int) -> bytes:
        """What this key signs to cosign a checkpoint's text at a time. Raises NoteInvalid."""
        checkpoint = Checkpoint.parse(text)
        if self.type is CosignatureType.ED25519:
            return f"cosignature/v1\ntime {at}\n{text}".encode()
        if checkpoint.text() != text:
            raise NoteInvalid("ML-DSA-44 does not sign extension lines: a checkpoint that has some is not cosigned")
        # `cosigned_message` of the specification; the subtree from leaf 0 on is the whole tree.
        when, start, end = (number.to_bytes(8) for number in (at, 0, checkpoint.size))
        return b"".join((_LABEL, _prefixed(self.name), when, _prefixed(checkpoint.origin), start, end, checkpoint.root))


def time_of(signature: bytes) -> int:
    """When a cosignature says it was made, in seconds. To be believed only after `CosignerKey.verify`."""
    return int.from_bytes(signature[:_TIME_SIZE])


@dataclass(frozen=True)
class Cosigner:
    """A private key of cosignatures under its name."""

    name: str
    key: SigningKey | MlDsaKey

    @property
    def verifier(self) -> CosignerKey:
        """The public half."""
        return CosignerKey(self.name, self.key.public)

    def sign(self, text: str, at: int) -> Signature:
        """The cosignature of a checkpoint's text. Raises NoteInvalid for another text or a time outside."""
        if not 0 < at <= _LATEST:
            raise NoteInvalid("a cosignature's time is in whole seconds since 1970")
        verifier = self.verifier
        value = at.to_bytes(_TIME_SIZE) + self.key.sign(verifier.message(text, at))
        return Signature(self.name, verifier.key_hash, value)


def sign_checkpoint(checkpoint: Checkpoint, signer: NoteSigner, cosigner: Cosigner, at: int) -> str:
    """A log's checkpoint: the note with its Ed25519 line, then its ML-DSA-44 line.

    Raises NoteInvalid unless both keys are the log's: their name is its origin.
    """
    if not signer.name == cosigner.name == checkpoint.origin:
        raise NoteInvalid("a log signs its checkpoints with keys that have its origin as their name")
    note = Note.parse(sign_note(checkpoint.text(), signer))
    return str(Note(note.text, (*note.signatures, cosigner.sign(note.text, at))))


def cosign(note: str, cosigner: Cosigner, at: int) -> str:
    """A witness's signature line for a checkpoint; what a witness must check before is not checked here.

    Raises NoteInvalid.
    """
    return cosigner.sign(Note.parse(note).text, at).line()


def add_cosignatures(note: str, lines: str, cosigners: Iterable[CosignerKey]) -> str:
    """The checkpoint with those of the signature `lines` that are of `cosigners` and verify.

    What is there stays; another by the same key is left out, as are those of unknown keys. Raises NoteInvalid
    if note or lines are malformed, a signature of a known key is wrong, or there are too many.
    """
    before = Note.parse(note)
    offered = Note.parse(f"{before.text}\n{lines}")
    if offered.text != before.text:
        raise NoteInvalid("cosignatures are signature lines and nothing else")
    wanted = (key for key in dict.fromkeys(cosigners) if offered.is_signed_by(key) and not before.is_signed_by(key))
    grown = Note(before.text, (*before.signatures, *(offered.check(key) for key in wanted)))
    if len(grown.signatures) > MAX_SIGNATURES:
        raise NoteInvalid(f"a note has at most {MAX_SIGNATURES} signatures")
    return str(grown)


def _prefixed(text: str) -> bytes:
    data = text.encode()
    if not 0 < len(data) < 256:
        raise NoteInvalid("for ML-DSA-44, names of cosigners and logs have 1 to 255 bytes")
    return bytes([len(data)]) + data
