"""The folder of a log that a static file server serves: at any moment all is there that its checkpoint is about.

What a tile holds never changes. So what is new is laid beside what there is, while the older checkpoint stands; when it
is on the disk, the newer one takes its place. What an interrupted run left beyond the checkpoint is looked at again.
"""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, Self

from crypto.errors import NoteInvalid
from crypto.export import CHECKPOINT
from crypto.hubkeys import HubKeys, LedgerKeys, open_checkpoint
from crypto.note import Checkpoint
from crypto.tiles import WIDTH, new_tiles
from hub import folder
from hub.errors import ExportForeign
from hub.folder import ASIDE

KEY: Final = "log.vkey"
# Syncs that a file system is asked for together cost it hardly more than one.
_AT_ONCE: Final = 16
_BATCH: Final = 1024
_NEXT: Final = "name another folder with the command, or take this one away"


@dataclass(slots=True)
class TileFolder:
    """A folder of one log, which nobody else writes to meanwhile; see `open`. So many files were `written`."""

    path: Path
    published: Checkpoint | None = None
    written: int = 0
    key: bytes = b""

    @classmethod
    @contextmanager
    def open(cls, path: Path, log: LedgerKeys) -> Iterator[Self]:
        """Makes it, or goes on with it. Raises ExportForeign, ExportBusy, FileUnwritable."""
        with folder.alone(path):
            found = cls(path)
            with folder.writing(path):
                found._begin(log)
            yield found

    def put(self, name: str, data: bytes) -> None:
        """Lays a file down, unless it is there. On the disk it is when `finish` returns. Raises FileUnwritable."""
        file = self.path / name
        with folder.writing(file):
            # A loss of power may have left one of other bytes: that it is there is not enough.
            if file.exists() and file.read_bytes() == data:
                return
            file.parent.mkdir(parents=True, exist_ok=True)
            folder.put(self.path, name, data, durable=False)
        self.written += 1

    def finish(self, size: int, note: str) -> None:
        """Publishes the checkpoint of `size` entries, and then takes partial tiles away that full ones replace.

        Raises FileUnwritable.
        """
        with folder.writing(self.path):
            self._sync(size)
            checkpoint = self.path / CHECKPOINT
            if not checkpoint.exists() or checkpoint.read_bytes() != note.encode():
                folder.put(self.path, CHECKPOINT, note.encode())
                self.written += 1
            if (self.path / KEY).read_bytes() != self.key:
                # It was handed over since the last run.
                folder.put(self.path, KEY, self.key)
            # Where a run is killed between these two, they stay: they are tiles of this log all the same.
            for file, width in self._new(size):
                if width == WIDTH and file.exists():
                    shutil.rmtree(file.with_name(f"{file.name}.p"), ignore_errors=True)

    def _sync(self, size: int) -> None:
        folders = {self.path}
        # The bundle of an entry without a commitment is not there.
        files = (file for file, _ in self._new(size) if file.exists())
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            while some := list(islice(files, _BATCH)):
                list(pool.map(folder.sync, some))
                folders.update(found for file in some for found in file.parents if found.is_relative_to(self.path))
        for found in folders:
            folder.sync(found)

    def _new(self, size: int) -> Iterator[tuple[Path, int]]:
        """The files that the checkpoint of `size` entries needs and the one that is published does not, by width."""
        for tile in new_tiles(0 if self.published is None else self.published.size, size):
            yield self.path / tile.path(), tile.width
            if tile.level == 0:
                yield self.path / tile.entries_path(), tile.width

    def _begin(self, log: LedgerKeys) -> None:
        known = [term.key for term in log.terms] if isinstance(log, HubKeys) else [log]
        key, self.key = self.path / KEY, f"{known[-1].vkey()}\n".encode()
        if key.exists():
            if key.read_bytes() not in [f"{one.vkey()}\n".encode() for one in known]:
                raise ExportForeign(f"{self.path} holds the tiles of another log: see {KEY} in it", _NEXT)
        elif any(item.name != ASIDE for item in self.path.iterdir()):
            raise ExportForeign(f"{self.path} holds other things than a log's tiles", "name a folder of its own")
        else:
            folder.put(self.path, KEY, self.key)
        (self.path / ASIDE).unlink(missing_ok=True)
        if (self.path / CHECKPOINT).exists():
            self.published = self._checkpoint(log)

    def _checkpoint(self, log: LedgerKeys) -> Checkpoint:
        try:
            found = open_checkpoint((self.path / CHECKPOINT).read_text("utf-8"), log)
        except (NoteInvalid, UnicodeDecodeError) as error:
            words = f"the checkpoint in {self.path} is damaged, or not signed by this log"
            raise ExportForeign(words, _NEXT) from error
        if found.origin != log.origin:
            raise ExportForeign(f"the checkpoint in {self.path} is of the log {found.origin}", _NEXT)
        return found
