"""The timestamps in an exported ledger: which of its checkpoints a TSA says existed when."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509

from crypto.errors import TimestampInvalid
from crypto.export import TIMESTAMPS, stamp_file, stamp_of, stamped_file
from crypto.note import Checkpoint, Note
from crypto.timestamp import MAX_RESPONSE, Timestamp, verify_timestamp

MAX_NOTE: Final = 1 << 17


@dataclass(frozen=True, slots=True)
class Stamped:
    """The size of a checkpoint, which is not judged yet, the file that it is in, and what the TSA says of it."""

    size: int
    file: Path
    said: Timestamp


@dataclass(frozen=True, slots=True)
class Stamps:
    """Those that hold, by their sizes; of the others the files, and the code of each; how many there are in all."""

    held: tuple[Stamped, ...]
    others: tuple[tuple[str, str], ...]
    count: int


def read_stamps(folder: Path, roots: Sequence[x509.Certificate]) -> Stamps:
    """The timestamps of the export in `folder`; without roots none is looked at.

    A TSA's root may be another one than years ago, so that one does not hold is told, and no fault of the ledger.
    Raises TimestampInvalid if none of them holds; NoteInvalid for one of what is no checkpoint; OSError for a file
    that does not read.
    """
    places = sorted(_places(folder / TIMESTAMPS))
    if not roots:
        return Stamps((), (), len(places))
    held, others = [], []
    refused: TimestampInvalid | None = None
    for size, place in places:
        file, name = folder / stamped_file(size), stamp_file(size, place)
        note = _read(file, MAX_NOTE)
        try:
            said = verify_timestamp(_read(folder / name, MAX_RESPONSE), note, roots)
        except TimestampInvalid as error:
            refused = refused or type(error)(f"{name}: {error}")
            others.append((name, error.code))
        else:
            # A file can have any name.
            held.append(Stamped(Checkpoint.parse(Note.parse(note.decode(errors="replace")).text).size, file, said))
    if refused is not None and not held:
        raise refused
    held.sort(key=lambda item: item.size)
    return Stamps(tuple(held), tuple(others), len(places))


def _places(folder: Path) -> Iterator[tuple[int, int]]:
    if not folder.is_dir():
        return
    with os.scandir(folder) as found:
        for item in found:
            place = stamp_of(item.name)
            if place is not None:
                yield place


def _read(file: Path, most: int) -> bytes:
    with file.open("rb") as opened:
        return opened.read(most + 1)
