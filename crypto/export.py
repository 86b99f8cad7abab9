"""How an exported ledger is laid out in a folder, and its records in their files. Format: docs/protocol.md, 10.10.

    ledger.json          which ledger this is; written first, and never changed
    entries/00000000     the records of the first entries, as many as `chunk` in ledger.json says; and so on
    entries/00000001.p9  the last file, if it is not full: here of 9 entries
    rosters/00000001     each signed roster, by its version
    handovers/00000044   each handover of the log's key, by its entry; only if there is one
    checkpoint           the newest checkpoint; written last
    witnessed            the checkpoint that most witnesses have cosigned, if any has been

But for `witnessed`, a file follows from the ledger alone: whoever exports it, however often it was interrupted,
writes the same bytes.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple, Self

from crypto.errors import LedgerFault, LedgerUnproven, NoteInvalid
from crypto.note import NoteVerifier

FORMAT: Final = "seci.exchange/ledger-export@v1"
MANIFEST: Final = "ledger.json"
CHECKPOINT: Final = "checkpoint"
WITNESSED: Final = "witnessed"
ENTRIES: Final = "entries"
ROSTERS: Final = "rosters"
TIMESTAMPS: Final = "timestamps"
HANDOVERS: Final = "handovers"
# Entries in a file: small enough to be in memory several times over.
CHUNK: Final = 4096
MAX_CHUNK: Final = 1 << 16
MAX_FILE: Final = 1 << 28
HEAD_SIZE: Final = 5
_NAME: Final = re.compile(r"([0-9]{8,12})(?:\.p([1-9][0-9]{0,4}))?")
_HANDOVER: Final = re.compile(r"([0-9]{8,18})")
_STAMP: Final = re.compile(r"checkpoint-([1-9][0-9]{0,18})\.([1-9][0-9]{0,18})\.tsr")


class Kind(IntEnum):
    """A record's first byte, a letter of ASCII."""

    ENTRY = ord("E")
    """Salt and entry, as they are hashed."""
    LEAF = ord("L")
    """The leaf hash of an entry whose content was erased."""
    CHECKPOINT = ord("C")
    """A signed note over all entries before it."""


def record(kind: Kind, payload: bytes) -> bytes:
    """One record: its kind, its length in four bytes, itself."""
    return bytes((kind,)) + len(payload).to_bytes(HEAD_SIZE - 1) + payload


class Record(NamedTuple):
    """A record of a file, by the place in bytes at which it begins. Its kind may be none that there is."""

    place: int
    kind: int
    payload: bytes


def records(data: bytes, file: str) -> Iterator[Record]:
    """The records of a file's bytes. Raises LedgerUnproven if the last is cut short."""
    place, size = 0, len(data)
    while place < size:
        start = place + HEAD_SIZE
        end = start + int.from_bytes(data[place + 1 : start])
        if end > size or start > size:
            words = f"{file} ends in the middle of the record at byte {place}"
            raise LedgerUnproven(LedgerFault.FILE_TRUNCATED, words, file=file)
        yield Record(place, data[place], data[start:end])
        place = end


def entry_record(salt: bytes, entry: bytes) -> bytes:
    """The record of an entry under its salt (32 bytes)."""
    return record(Kind.ENTRY, salt + entry)


@dataclass(frozen=True, slots=True)
class Manifest:
    """Which ledger a folder holds: its name, its first key as its exporter says it, entries in a file."""

    origin: str
    vkey: str
    chunk: int = CHUNK

    def to_bytes(self) -> bytes:
        """The file `ledger.json`."""
        fields = {"format": FORMAT, "origin": self.origin, "vkey": self.vkey, "chunk": self.chunk}
        return json.dumps(fields, indent=1, ensure_ascii=False).encode() + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """What `to_bytes` wrote, byte for byte. Raises LedgerUnproven."""
        try:
            found = json.loads(data.decode())
            manifest = cls(found["origin"], found["vkey"], found["chunk"])
            named = NoteVerifier.parse(manifest.vkey).name
            chunk = manifest.chunk
            sound = type(chunk) is int and 0 < chunk <= MAX_CHUNK and chunk & (chunk - 1) == 0
            sound = sound and named == manifest.origin and manifest.to_bytes() == data
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, NoteInvalid) as error:
            raise _malformed() from error
        if not sound:
            raise _malformed()
        return manifest

    def file(self, number: int, size: int) -> str:
        """The name of the file in which the entries from `number` * chunk on stand, in an export of `size` entries."""
        width = self.width(number, size)
        return f"{ENTRIES}/{number:08d}" + ("" if width == self.chunk else f".p{width}")

    def width(self, number: int, size: int) -> int:
        """How many entries stand in that file."""
        return min(self.chunk, size - number * self.chunk)

    def files(self, size: int) -> int:
        """How many files of entries an export of `size` entries has."""
        return -(-size // self.chunk)


def number_of(name: str) -> tuple[int, int | None] | None:
    """Of a file of entries by its name in its folder: number, and width if it is not full. None if it is none."""
    found = _NAME.fullmatch(name)
    return None if found is None else (int(found[1]), None if found[2] is None else int(found[2]))


def roster_file(version: int) -> str:
    """The name of the file of a signed roster."""
    return f"{ROSTERS}/{version:08d}"


def handover_file(index: int) -> str:
    """The name of the file of a handover, by its entry's index."""
    return f"{HANDOVERS}/{index:08d}"


def handover_of(name: str) -> int | None:
    """Of a handover by its name in its folder: its entry's index. None if it is none."""
    return int(name) if _HANDOVER.fullmatch(name) else None


def stamped_file(size: int) -> str:
    """The name of the file of a checkpoint with a timestamp: the note, byte for byte what the TSA was asked about."""
    return f"{TIMESTAMPS}/checkpoint-{size}"


def stamp_file(size: int, place: int) -> str:
    """The name of the file of a TSA's answer; there may be several of one checkpoint, each with a number of its own."""
    return f"{stamped_file(size)}.{place}.tsr"


def stamp_of(name: str) -> tuple[int, int] | None:
    """Of a TSA's answer by its name in its folder: the checkpoint's size, and its number. None if it is none."""
    found = _STAMP.fullmatch(name)
    return None if found is None else (int(found[1]), int(found[2]))


def _malformed() -> LedgerUnproven:
    words = f"{MANIFEST} does not say which ledger this is, in the form of {FORMAT}"
    return LedgerUnproven(LedgerFault.MANIFEST_MALFORMED, words, file=MANIFEST)
