"""Signed notes and checkpoints (C2SP signed-note, tlog-checkpoint), byte for byte.

A note is text, an empty line, and a line for each signature. A checkpoint is a note whose text
says how large a log is and what its root is. Any tool that reads these formats can check ours.
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import Final, Self

from crypto.errors import KeyUnusable, NoteInvalid, SignatureInvalid
from crypto.keys import SignatureAlgorithm, SigningKey, VerifyKey

MAX_SIGNATURES: Final = 100
_DASH: Final = "\N{EM DASH} "


def _key_hash(name: str, key: VerifyKey) -> bytes:
    # A VerifyKey's encoding of an Ed25519 key is what the format hashes: type 0x01, then 32 bytes.
    return hashlib.sha256(name.encode() + b"\n" + key.public_bytes()).digest()[:4]


def _check_key(name: str, key: VerifyKey) -> None:
    if not name or "+" in name or any(letter.isspace() for letter in name):
        raise NoteInvalid("a key's name is not empty and has no plus sign or space")
    if key.algorithm is not SignatureAlgorithm.EDDSA:
        raise NoteInvalid("notes are signed with Ed25519")


@dataclass(frozen=True)
class NoteVerifier:
    """A public key of notes under its name. Raises NoteInvalid for a key that is not Ed25519."""

    name: str
    key: VerifyKey

    def __post_init__(self) -> None:
        _check_key(self.name, self.key)

    @property
    def key_hash(self) -> bytes:
        """4 bytes that tell a name's keys apart."""
        return _key_hash(self.name, self.key)

    def vkey(self) -> str:
        """`name+hash+base64`, as it is handed to verifiers."""
        return f"{self.name}+{self.key_hash.hex()}+{base64.b64encode(self.key.public_bytes()).decode()}"

    @classmethod
    def parse(cls, vkey: str) -> Self:
        """What `vkey` wrote. Raises NoteInvalid."""
        try:
            name, key_hash, encoded = vkey.split("+", 2)
            verifier = cls(name, VerifyKey.from_public_bytes(base64.b64decode(encoded, validate=True)))
        except (ValueError, KeyUnusable) as error:
            raise NoteInvalid("not a verifier key of the form name+hash+base64") from error
        if verifier.key_hash.hex() != key_hash:
            raise NoteInvalid(f"the hash in the verifier key of {name!r} is not that of its key")
        return verifier


@dataclass(frozen=True)
class NoteSigner:
    """A private key of notes under its name."""

    name: str
    key: SigningKey

    @property
    def verifier(self) -> NoteVerifier:
        """The public half."""
        return NoteVerifier(self.name, self.key.public)


def sign_note(text: str, *signers: NoteSigner) -> str:
    """The note of `text`, which ends with a newline and has no empty last line. Raises NoteInvalid."""
    if not text.endswith("\n") or any(ord(letter) < 0x20 and letter != "\n" for letter in text):
        raise NoteInvalid("a note's text ends with a newline and has no control characters")
    lines = [
        f"{_DASH}{signer.name} {base64.b64encode(signer.verifier.key_hash + signer.key.sign(text.encode())).decode()}\n"
        for signer in signers
    ]
    return f"{text}\n{''.join(lines)}"


def open_note(note: str, *verifiers: NoteVerifier) -> str:
    """The text of a note that every one of `verifiers` has signed. Signatures of others are ignored.

    Raises NoteInvalid if the note is malformed, or a signature is missing or wrong.
    """
    text, signatures = _split(note)
    for verifier in verifiers:
        mine = [s for name, key_hash, s in signatures if (name, key_hash) == (verifier.name, verifier.key_hash)]
        if not mine:
            raise NoteInvalid(f"the note is not signed by {verifier.name}")
        try:
            verifier.key.verify(mine[0], text.encode())
        except SignatureInvalid as error:
            raise NoteInvalid(f"the note's signature by {verifier.name} does not match") from error
    return text


def _split(note: str) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    head, separator, tail = note.rpartition("\n\n")
    lines = tail.split("\n")
    if not separator or lines.pop() or not 0 < len(lines) <= MAX_SIGNATURES:
        raise NoteInvalid("a note is text, an empty line and signature lines, each ended by a newline")
    if any(ord(letter) < 0x20 and letter != "\n" for letter in note):
        raise NoteInvalid("a note has no control characters")
    return head + "\n", [_signature(line) for line in lines]


def _signature(line: str) -> tuple[str, bytes, bytes]:
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    try:
        blob = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteInvalid("a signature line's base64 does not read") from error
    if not line.startswith(_DASH) or not name or len(blob) < 5:
        raise NoteInvalid("a signature line is a dash, a name and base64 of key hash and signature")
    return name, blob[:4], blob[4:]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A log's size and root (32 bytes). `origin` names the log."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """The note text: origin, size in decimal, root in base64, a line each."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    @classmethod
    def parse(cls, text: str) -> Self:
        """What `text` wrote; further lines are extensions and ignored. Raises NoteInvalid."""
        lines = text.split("\n")
        try:
            origin, size, root = lines[0], lines[1], base64.b64decode(lines[2], validate=True)
        except (IndexError, ValueError) as error:
            raise NoteInvalid("a checkpoint has an origin, a size and a root, a line each") from error
        decimal = size.isascii() and size.isdigit() and len(size) < 20 and (size == "0" or not size.startswith("0"))
        if not origin or not decimal or len(root) != 32:
            raise NoteInvalid("a checkpoint has an origin, a decimal size and a root of 32 bytes")
        return cls(origin, int(size), root)
