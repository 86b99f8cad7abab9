"""The lock store: the ledger's newest checkpoint, kept in a file apart from the database.

PostgreSQL can be put back to yesterday, and the hub would sign another history on top of it. This file says how far
the ledger was. Every append writes it before its transaction commits (format: hub/lockfile.py):

    `?` or `+`          proposed, or known to be committed
    checkpoint text     `before`: what the database had before the transaction
    (empty line)
    checkpoint text     `newest`: what the transaction makes of it

Database and file cannot be changed in one step, and a kill may come between any two:

    the file says       the database has     so it was
    ? before newest     before               killed, or rolled back, before the commit: go on, `newest` never was
    ? before newest     newest               killed after the commit: go on
    + before newest     newest               at rest: go on
    anything            fewer entries        a restored backup: refuse
    anything            as many, other root  another history: refuse
    anything            more entries         the file is the older one (the hub's folder was restored): see `ledger`

Were every checkpoint left as proposed, a backup that lacks only the last one would look like the first line. So after
the commit, and before anything of it is published, `?` becomes `+`, in place and without a sync. A kill between
commit and `+` leaves that backup unrecognised, but then nobody outside has seen the checkpoint that it lacks. What
remains is a power failure that loses the `+` together with a restore of just that backup. Restoring database and
folder together is not seen here at all: the nodes see it, who keep the checkpoints that they were given.

Texts, not signed notes: a proposal that was never committed must not be lying about with our signature.

The file has two slots, and is written in place. A power failure may tear the slot that is being written; then the
other one counts, so it must be on the disk and say what the database has. It does:

- A proposal on top of `newest` goes into the other slot. The database has `newest`, and it committed only after
  that slot was synced; so the slot that stays is right.
- A proposal on top of `before` once more (`newest` was rolled back, or is of this very transaction) replaces it in
  its own slot, whether that was synced or not. The other slot is the one that was left when `before` was it.

Writers take turns by the database's lock. A worker that froze and lost its turn may still be about to write; so only
who knows what the file says replaces it: compare and swap, under flock on the folder. The mark is set without it, so
that nobody waits for another's sync; it names the slot's checksum, and in a slot that was replaced meanwhile it says
nothing. At worst it takes the place of a newer mark, as if that had been lost in a power failure.

The file is opened anew each time (some microseconds): one that an operator has put in its place is seen, and a lock
holds between threads as between processes. Any number of workers of one machine may share it. Times are seconds.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from crypto.errors import NoteInvalid
from crypto.keyfile import write_private
from crypto.note import Checkpoint
from hub import lockfile
from hub.errors import LedgerBehind, LedgerForked, LockStoreUnusable
from hub.lockfile import Slot

PATIENCE_S: Final = 10.0
PAUSE_S: Final = 0.001
_PROPOSED: Final = b"?"
_COMMITTED: Final = b"+"
_MISSING: Final = (
    "put it back from a backup of the hub's folder; only if this ledger never had one, or its loss is understood, "
    "run `seci-hub init` again, which makes it from what the database has"
)
_BEHIND: Final = (
    'restore a newer backup or the rest of the WAL; see docs/operations.md, "The database is behind its lock store"'
)
_FORKED: Final = (
    "stop all workers, keep the database as it is, run `seci-hub ledger verify`; "
    'see docs/operations.md, "The database is behind its lock store"'
)


@dataclass(frozen=True, slots=True)
class Kept:
    """What the file says: see above."""

    before: Checkpoint
    newest: Checkpoint
    committed: bool

    @property
    def certain(self) -> Checkpoint:
        """The newest checkpoint that is known to have been committed."""
        return self.newest if self.committed else self.before

    def is_ahead(self, head: Checkpoint) -> bool:
        """Whether the database's `head` is a later one than any in the file. Raises LedgerBehind, LedgerForked."""
        if head in (self.certain, self.newest):
            return False
        certain = self.certain
        if head.size < certain.size:
            raise behind(head.size, certain.size)
        if head.size == certain.size:
            raise forked(head.size)
        return True

    def same(self, other: Self) -> bool:
        """Whether both are of the same append, be it marked as committed by now or not."""
        return (self.before, self.newest) == (other.before, other.newest)

    def body(self) -> bytes:
        """Both checkpoints' texts."""
        return f"{self.before.text()}\n{self.newest.text()}".encode()

    def to_bytes(self) -> bytes:
        """All of it: the file's content in its old format."""
        return (_COMMITTED if self.committed else _PROPOSED) + b"\n" + self.body()

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """What `to_bytes` wrote. Raises ValueError, NoteInvalid."""
        mark, _, body = data.partition(b"\n")
        if mark not in (_PROPOSED, _COMMITTED):
            raise ValueError("no mark")
        return cls.of(body, committed=mark == _COMMITTED)

    @classmethod
    def of(cls, body: bytes, *, committed: bool) -> Self:
        """What `body` wrote. Raises ValueError, NoteInvalid."""
        before, _, newest = body.decode().partition("\n\n")
        return cls(Checkpoint.parse(before + "\n"), Checkpoint.parse(newest), committed)


def behind(size: int, signed: int) -> LedgerBehind:
    """The error for a database of `size` entries, of which more were signed."""
    return LedgerBehind(
        f"the database's ledger has {size} entries; {signed} were signed: "
        f"{signed - size} are missing, as after restoring a backup",
        _BEHIND,
    )


def forked(size: int) -> LedgerForked:
    """The error for a database with another tree of `size` entries than was signed."""
    return LedgerForked(
        f"the database's ledger has another root at {size} entries than the one that was signed", _FORKED
    )


@dataclass(frozen=True, slots=True)
class LockStore:
    """The file at `path`, of the ledger `origin`. OSError is trouble with the disk; it may pass."""

    path: Path
    origin: str

    @property
    def exists(self) -> bool:
        """Whether it was ever begun."""
        return self.path.exists()

    def read(self) -> Kept:
        """What it says now. Raises LockStoreUnusable, OSError, TimeoutError."""
        with self._open(os.O_RDONLY) as descriptor:
            data = lockfile.read(descriptor)
        slot = lockfile.newest(data)
        if slot is None:
            # Torn by a power failure, or read in the midst of writing: no writer holds the lock for longer than that.
            with self._alone(), self._open(os.O_RDONLY) as descriptor:
                data = lockfile.read(descriptor)
            slot = lockfile.newest(data)
        return self._kept(data, slot)

    def begin(self, head: Checkpoint) -> None:
        """Makes it, or makes it anew, from what the database has. Raises OSError, TimeoutError."""
        kept = Kept(head, head, True)
        with self._alone():
            write_private(self.path, lockfile.fresh([Slot(0, 0, kept.body(), committed=True)]))

    def swap(self, old: Kept, new: Kept) -> bool:
        """Replaces `old` by the proposal `new`, durably; False if it says something else by now.

        Raises as `read`.
        """
        with self._alone(), self._open(os.O_RDWR) as descriptor:
            data = lockfile.read(descriptor)
            slot = lockfile.newest(data)
            if slot is None:
                return self._upgrade(self._kept(data, None), old, new)
            if slot.body != old.body():
                return False
            place = slot.place if new.before == old.before != old.newest else 1 - slot.place
            lockfile.write(descriptor, Slot(place, slot.sequence + 1, new.body()))
            return True

    def confirm(self, committed: Checkpoint) -> None:
        """Marks `committed` as that, unless it is not the newest any more. Raises as `read`."""
        with self._open(os.O_RDWR) as descriptor:
            data = lockfile.read(descriptor)
            slot = lockfile.newest(data)
            if slot is None:
                # The old format: whoever replaces the file meanwhile leaves us with the old one, which nobody reads.
                kept = self._kept(data, None)
                if kept.newest == committed and not kept.committed:
                    os.pwrite(descriptor, _COMMITTED, 0)
            elif slot.body.partition(b"\n\n")[2] == committed.text().encode() and not slot.committed:
                lockfile.mark(descriptor, slot)

    def _upgrade(self, found: Kept, old: Kept, new: Kept) -> bool:
        # A file of the old format is replaced as a whole; a kill leaves it, or the new one with both.
        if not found.same(old):
            return False
        slots = Slot(0, 0, found.body(), committed=found.committed), Slot(1, 1, new.body())
        write_private(self.path, lockfile.fresh(slots))
        return True

    def _kept(self, data: bytes, slot: Slot | None) -> Kept:
        try:
            kept = Kept.parse(data) if slot is None else Kept.of(slot.body, committed=slot.committed)
        except (ValueError, NoteInvalid) as error:
            raise LockStoreUnusable(f"the lock store {self.path} is damaged", _MISSING) from error
        if {kept.before.origin, kept.newest.origin} != {self.origin}:
            raise LockStoreUnusable(
                f"the lock store {self.path} is of the ledger {kept.newest.origin!r}",
                "give each hub a lock store of its own: `lock_store` in hub.json",
            )
        return kept

    @contextmanager
    def _open(self, flags: int) -> Iterator[int]:
        try:
            descriptor = os.open(self.path, flags)
        except FileNotFoundError as error:
            raise LockStoreUnusable(f"the lock store {self.path} is missing", _MISSING) from error
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            end = time.monotonic() + PATIENCE_S
            while not _locked(folder):
                # Held for a sync at most, unless its holder is frozen: then it is better to say so than to hang.
                if time.monotonic() > end:
                    raise TimeoutError(f"another process holds {self.path.parent}")
                time.sleep(PAUSE_S)
            yield
        finally:
            os.close(folder)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
