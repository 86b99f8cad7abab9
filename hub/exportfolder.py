"""The folder that an export is written to: each file whole or not there, whenever it is killed or the power fails.

The checkpoint comes last, when all that it is about is on the disk. So what an interrupted export left is what the next
one begins with.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from crypto.errors import LedgerUnproven, NoteInvalid
from crypto.export import (
    CHECKPOINT,
    ENTRIES,
    HANDOVERS,
    MANIFEST,
    ROSTERS,
    TIMESTAMPS,
    WITNESSED,
    Manifest,
    number_of,
    stamp_of,
    stamped_file,
)
from crypto.note import Checkpoint, Note
from hub import folder
from hub.errors import ExportForeign
from hub.folder import ASIDE


@dataclass(slots=True)
class ExportFolder:
    """A folder of one ledger, which nobody else writes to meanwhile; see `open`. So many `files` were written.

    Its checkpoint covered so many entries when it was opened: `published`.
    """

    path: Path
    manifest: Manifest
    published: int = 0
    files: int = 0

    @classmethod
    @contextmanager
    def open(cls, path: Path, manifest: Manifest) -> Iterator[Self]:
        """Makes it, or goes on with it. Raises ExportForeign, ExportBusy, FileUnwritable."""
        with folder.alone(path, 0o700):
            found = cls(path, manifest)
            with folder.writing(path):
                found._begin()
            yield found

    def has(self, name: str) -> bool:
        """Whether the file is there; then it is whole."""
        return (self.path / name).exists()

    @property
    def witnessed(self) -> str | None:
        """The checkpoint in `witnessed` with its cosignatures, if that file is there."""
        file = self.path / WITNESSED
        return file.read_text("utf-8", errors="replace") if file.exists() else None

    def numbers(self) -> set[int]:
        """Of which files of entries there is one, be it an older one."""
        found = (number_of(item.name) for item in (self.path / ENTRIES).iterdir())
        return {number[0] for number in found if number is not None}

    def put(self, name: str, data: Sequence[bytes] | bytes) -> None:
        """Writes a file, or replaces it, durably. Raises FileUnwritable."""
        folder.put(self.path, name, data)
        self.files += 1

    def finish(self, size: int, note: str, witnessed: str | None = None) -> None:
        """Puts the checkpoint of `size` entries in place, and takes away what only another one needs.

        Not what is beyond it, if there was a checkpoint over that: then it is the database that is behind.
        `witnessed` is one up to that, with its cosignatures; None leaves what is there. Raises FileUnwritable.
        """
        self._replace(CHECKPOINT, note)
        if witnessed is not None:
            self._replace(WITNESSED, witnessed)
        with folder.writing(self.path):
            with os.scandir(self.path / ENTRIES) as found:
                # One at most, unless somebody puts files there, or a longer export was interrupted.
                others = [item.name for item in found if self._is_of_another(item.name, size)]
            for name in others:
                (self.path / ENTRIES / name).unlink()
            folder.sync(self.path / ENTRIES)
            if self.published <= size:
                self._forget_timestamps(size)

    def _forget_timestamps(self, size: int) -> None:
        """Takes away those that an interrupted run has left over checkpoints of more entries."""
        for file in list((self.path / TIMESTAMPS).iterdir()):
            place = stamp_of(file.name)
            if place is not None and place[0] > size:
                file.unlink()
                (self.path / stamped_file(place[0])).unlink(missing_ok=True)

    def _replace(self, name: str, note: str) -> None:
        if not self.has(name) or (self.path / name).read_bytes() != note.encode():
            self.put(name, note.encode())

    def _is_of_another(self, name: str, size: int) -> bool:
        number = number_of(name)
        if number is None:
            return False
        if number[0] >= self.manifest.files(size):
            return self.published <= size
        return f"{ENTRIES}/{name}" != self.manifest.file(number[0], size)

    def _begin(self) -> None:
        wanted, file = self.manifest.to_bytes(), self.path / MANIFEST
        if file.exists():
            if file.read_bytes() != wanted:
                raise _foreign(self.path, file)
        elif any(item.name != ASIDE for item in self.path.iterdir()):
            raise ExportForeign(f"{self.path} holds other things than an export", "name a folder of its own")
        else:
            self.put(MANIFEST, wanted)
        for name in (ENTRIES, ROSTERS, HANDOVERS, TIMESTAMPS):
            (self.path / name).mkdir(mode=0o700, exist_ok=True)
        folder.sync(self.path)
        (self.path / ASIDE).unlink(missing_ok=True)
        if self.has(CHECKPOINT):
            self.published = _size_of((self.path / CHECKPOINT).read_text("utf-8", errors="replace"))


def _size_of(note: str) -> int:
    try:
        return Checkpoint.parse(Note.parse(note).text).size
    except NoteInvalid:
        # It is replaced.
        return 0


def _foreign(path: Path, file: Path) -> ExportForeign:
    next_step = "name another folder with the command, or take this one away"
    try:
        found = Manifest.from_bytes(file.read_bytes())
    except LedgerUnproven:
        return ExportForeign(f"{file} is damaged, or of another version", next_step)
    return ExportForeign(f"{path} holds an export of {found.origin} with the key {found.vkey}", next_step)
