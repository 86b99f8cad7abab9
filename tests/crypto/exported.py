"""A small ledger in an export's folder, made of nothing but the format; and what somebody may do to it."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from crypto import merkle
from crypto.export import CHECKPOINT, ENTRIES, MANIFEST, ROSTERS, Kind, Manifest, entry_record, record, roster_file
from crypto.note import Checkpoint, NoteSigner, sign_note
from crypto.receipt import leaf_of
from schemas.control import Entry, Event
from tests.crypto.exhibits import LOG, accepted, salt, signed_roster
from tests.crypto.people import BG, HU, NOW, RO

# Checkpoints of 1, 4, 5, 12 and 22 entries: with 8 in a file, there are two full files and one of 6.
BATCHES = (1, 3, 1, 7, 10)
SIZE = sum(BATCHES)
CHUNK = 8
ROSTERS_AT = {0: signed_roster(1, BG, HU, RO), 11: signed_roster(2, BG, HU)}


def entry(index: int) -> Entry:
    """The entry in that place."""
    if index in ROSTERS_AT:
        version = list(ROSTERS_AT).index(index) + 1
        digest = hashlib.sha256(ROSTERS_AT[index]).digest()
        return Entry(event=Event.ROSTER, at=NOW, node="seci", evidence=digest, detail=f"version {version}")
    return accepted(at=NOW + index)


@dataclass
class Ledger:
    """A ledger of entries in batches, as records; `log` signs. What is erased is there by its leaf hash."""

    batches: Sequence[int] = BATCHES
    log: NoteSigner = LOG
    chunk: int = CHUNK
    erased: Sequence[int] = ()
    entries: list[bytes] = field(default_factory=list)
    notes: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        size = sum(self.batches)
        self.entries = self.entries or [entry(index).to_bytes() for index in range(size)]
        self.leaves = [leaf_of(salt(index), data) for index, data in enumerate(self.entries)]
        for end in (sum(self.batches[: number + 1]) for number in range(len(self.batches))):
            self.notes[end] = self.note(end)

    @property
    def manifest(self) -> Manifest:
        return Manifest(self.log.name, self.log.verifier.vkey(), self.chunk)

    def note(self, size: int) -> str:
        """The signed checkpoint of so many entries."""
        return sign_note(Checkpoint(self.log.name, size, merkle.root(self.leaves[:size])).text(), self.log)

    def record(self, index: int) -> bytes:
        if index in self.erased:
            return record(Kind.LEAF, self.leaves[index])
        return entry_record(salt(index), self.entries[index])

    def records(self, start: int, end: int) -> list[bytes]:
        """The records of a file: entries, and the checkpoints behind them."""
        found = []
        for index in range(start, end):
            found.append(self.record(index))
            if index + 1 in self.notes:
                found.append(record(Kind.CHECKPOINT, self.notes[index + 1].encode()))
        return found

    def write(self, folder: Path) -> Path:
        """The export of it."""
        size, manifest = sum(self.batches), self.manifest
        for name in (ENTRIES, ROSTERS):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / MANIFEST).write_bytes(manifest.to_bytes())
        for number in range(manifest.files(size)):
            start = number * manifest.chunk
            end = start + manifest.width(number, size)
            (folder / manifest.file(number, size)).write_bytes(b"".join(self.records(start, end)))
        for version, (index, signed) in enumerate(ROSTERS_AT.items(), 1):
            if index < size:
                (folder / roster_file(version)).write_bytes(signed)
        (folder / CHECKPOINT).write_text(self.notes[size])
        return folder


def edit(file: Path, change: Callable[[list[bytes]], None]) -> None:
    """Changes the records of a file."""
    data, found, place = file.read_bytes(), [], 0
    while place < len(data):
        end = place + 5 + int.from_bytes(data[place + 1 : place + 5])
        found.append(data[place:end])
        place = end
    change(found)
    file.write_bytes(b"".join(found))
