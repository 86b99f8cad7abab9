"""Signed notes and checkpoints (C2SP signed-note, tlog-checkpoint), byte for byte.

A note is text, an empty line, and a line for each signature. A checkpoint is a note whose text
says how large a log is and what its root is. Any tool that reads these formats can check ours.
The signatures here are plain Ed25519 (type 0x01); those with a time are in `crypto.cosignature`.
"""

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import Final, Protocol, Self

from crypto.canonical import decimal, exact_base64
from crypto.errors import KeyUnusable, NoteInvalid, SignatureInvalid
from crypto.keys import SignatureAlgorithm, SigningKey, VerifyKey

MAX_SIGNATURES: Final = 100
_DASH: Final = "\N{EM DASH} "
_NOT_PLAIN: Final = re.compile("[\\x00-\\x09\\x0b-\\x1f\\ud800-\\udfff]")


class Verifier(Protocol):
    """Any kind of public key that a note can be opened with."""

    @property
    def name(self) -> str:
        """The key's name."""

    @property
    def key_hash(self) -> bytes:
        """4 bytes that tell a name's keys apart."""

    def verify(self, text: str, signature: bytes) -> None:
        """Raises SignatureInvalid unless `signature` is this key's over a note's text."""


def key_hash(name: str, encoded: bytes) -> bytes:
    """4 bytes of a key: `encoded` is the signature type's byte, then the public key."""
    return hashlib.sha256(name.encode() + b"\n" + encoded).digest()[:4]


def vkey(name: str, encoded: bytes) -> str:
    """`name+hash+base64`, as a key is handed to verifiers. `encoded` as in `key_hash`."""
    return f"{name}+{key_hash(name, encoded).hex()}+{base64.b64encode(encoded).decode()}"


def in_short(vkey: str) -> str:
    """Name and hash of what `vkey` wrote, for a screen: an ML-DSA-44 key fills one. They do not identify a key."""
    return "+".join([*vkey.split("+", 2)[:2], "..."])


def parse_vkey(text: str) -> tuple[str, bytes]:
    """Name and encoding of what `vkey` wrote, whatever its type. Raises NoteInvalid."""
    try:
        name, hashed, encoded = text.split("+", 2)
        check_name(name)
        key = base64.b64decode(encoded, validate=True)
    except ValueError as error:
        raise NoteInvalid("not a verifier key of the form name+hash+base64") from error
    if key_hash(name, key).hex() != hashed:
        raise NoteInvalid(f"the hash in the verifier key of {name!r} is not that of its key")
    return name, key


def check_name(name: str) -> None:
    """Raises NoteInvalid for a name that no key may have."""
    if not name or "+" in name or any(letter.isspace() for letter in name) or not _is_plain(name):
        raise NoteInvalid("a key's name is not empty and has no plus sign or space")


@dataclass(frozen=True)
class NoteVerifier:
    """A public key of notes under its name. Raises NoteInvalid for a key that is not Ed25519."""

    name: str
    key: VerifyKey

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.key.algorithm is not SignatureAlgorithm.EDDSA:
            raise NoteInvalid("notes are signed with Ed25519")

    @property
    def origin(self) -> str:
        """Of a log's key: the log's name."""
        return self.name

    @property
    def key_hash(self) -> bytes:
        """4 bytes that tell a name's keys apart."""
        # A VerifyKey's encoding of an Ed25519 key is what the format hashes: type 0x01, then 32 bytes.
        return key_hash(self.name, self.key.public_bytes())

    def vkey(self) -> str:
        """`name+hash+base64`, as it is handed to verifiers."""
        return vkey(self.name, self.key.public_bytes())

    @classmethod
    def parse(cls, text: str) -> Self:
        """What `vkey` wrote. Raises NoteInvalid."""
        name, encoded = parse_vkey(text)
        try:
            return cls(name, VerifyKey.from_public_bytes(encoded))
        except KeyUnusable as error:
            raise NoteInvalid(f"the verifier key of {name!r} is not an Ed25519 key (type 1)") from error

    def verify(self, text: str, signature: bytes) -> None:
        """Raises SignatureInvalid unless `signature` is this key's over `text`."""
        self.key.verify(signature, text.encode())


@dataclass(frozen=True, slots=True)
class Signature:
    """One line under a note: who says to have signed, the hash of the key (4 bytes), the signature."""

    name: str
    key_hash: bytes
    value: bytes

    def line(self) -> str:
        """The line, newline included."""
        return f"{_DASH}{self.name} {base64.b64encode(self.key_hash + self.value).decode()}\n"

    @classmethod
    def parse(cls, line: str) -> Self:
        """What `line` wrote, without the newline. Raises NoteInvalid."""
        name, _, encoded = line.removeprefix(_DASH).partition(" ")
        try:
            blob = base64.b64decode(encoded, validate=True)
        except ValueError as error:
            raise NoteInvalid("a signature line's base64 does not read") from error
        if not line.startswith(_DASH) or len(blob) < 5:
            raise NoteInvalid("a signature line is a dash, a name and base64 of key hash and signature")
        check_name(name)
        return cls(name, blob[:4], blob[4:])

    def is_by(self, verifier: Verifier) -> bool:
        """Whether this claims to be of that key."""
        return (self.name, self.key_hash) == (verifier.name, verifier.key_hash)


@dataclass(frozen=True)
class NoteSigner:
    """A private key of notes under its name."""

    name: str
    key: SigningKey

    @property
    def verifier(self) -> NoteVerifier:
        """The public half."""
        return NoteVerifier(self.name, self.key.public)

    def sign(self, text: str) -> Signature:
        """The signature over a note's text."""
        return Signature(self.name, self.verifier.key_hash, self.key.sign(text.encode()))


@dataclass(frozen=True, slots=True)
class Note:
    """A note taken apart; nothing in it is verified."""

    text: str
    signatures: tuple[Signature, ...]

    def __str__(self) -> str:
        return f"{self.text}\n{''.join(signature.line() for signature in self.signatures)}"

    @classmethod
    def parse(cls, note: str) -> Self:
        """Text and signatures. Raises NoteInvalid."""
        head, separator, tail = note.rpartition("\n\n")
        lines = tail.split("\n")
        if not separator or lines.pop() or not 0 < len(lines) <= MAX_SIGNATURES:
            raise NoteInvalid("a note is text, an empty line and signature lines, each ended by a newline")
        if not _is_plain(note):
            raise NoteInvalid("a note is valid Unicode and has no control characters")
        return cls(head + "\n", tuple(Signature.parse(line) for line in lines))

    def is_signed_by(self, verifier: Verifier) -> bool:
        """Whether a signature claims to be of that key."""
        return any(signature.is_by(verifier) for signature in self.signatures)

    def check(self, verifier: Verifier) -> Signature:
        """The verified signature of that key, the first if there are more.

        Raises NoteInvalid if there is none or it is wrong.
        """
        found = next((signature for signature in self.signatures if signature.is_by(verifier)), None)
        if found is None:
            raise NoteInvalid(f"the note is not signed by {verifier.name}")
        try:
            verifier.verify(self.text, found.value)
        except SignatureInvalid as error:
            raise NoteInvalid(f"the note's signature by {verifier.name} does not match") from error
        return found


def sign_note(text: str, *signers: NoteSigner) -> str:
    """The note of `text`, which ends with a newline and has no control characters. Raises NoteInvalid."""
    if not text.endswith("\n") or not _is_plain(text):
        raise NoteInvalid("a note's text ends with a newline and has no control characters")
    return str(Note(text, tuple(signer.sign(text) for signer in signers)))


def open_note(note: str, *verifiers: Verifier) -> str:
    """The text of a note that every one of `verifiers` has signed. Signatures of others are ignored.

    Raises NoteInvalid if the note is malformed, or a signature is missing or wrong.
    """
    parsed = Note.parse(note)
    for verifier in verifiers:
        parsed.check(verifier)
    return parsed.text


def _is_plain(text: str) -> bool:
    # Valid UTF-8 (no lone surrogate) without control characters other than newline.
    return _NOT_PLAIN.search(text) is None


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
        if lines.pop() or len(lines) < 3 or not all(lines):
            raise NoteInvalid("a checkpoint has an origin, a size and a root, a line each, and no empty line")
        size = decimal(lines[1])
        root = exact_base64(lines[2])
        if size is None or root is None or len(root) != 32:
            raise NoteInvalid("a checkpoint has an origin, a decimal size and a root of 32 bytes")
        return cls(lines[0], size, root)
