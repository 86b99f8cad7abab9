"""An exported ledger computed again from its leaves: each file by itself, so that several may be at work at once.

A full file is a perfect subtree, and what stands before a file is but a few hashes. So `recompute` goes through a
file without knowing the others, and `Walk` joins what it found, in order: the roots of every checkpoint's tree come
out of it. A fault is told as the first entry that may be at fault; what is not signed narrows down nothing.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, Self

from crypto.canonical import decimal
from crypto.errors import LedgerFault, LedgerUnproven, NoteInvalid
from crypto.export import Kind, Record, records
from crypto.handover import open_handover
from crypto.merkle import EMPTY_ROOT, HASH_SIZE, CompactRange, node_hash
from crypto.note import Checkpoint, Note
from crypto.policy import LogKey, Policy, log_key
from crypto.receipt import leaf_of
from crypto.succession import Succession
from schemas.control import SALT_SIZE, ControlRefused, Event
from schemas.entries import EntryReader

# So many erased entries are named; all are counted.
NAMED: Final = 20


@dataclass(frozen=True)
class LogKeys:
    """The keys of a log, of which one must have signed, or one that handovers lead to; its name is the log's origin."""

    origin: str
    keys: tuple[LogKey, ...]
    handovers: tuple[bytes, ...] = ()

    @classmethod
    def of(cls, origin: str, vkeys: Iterable[str], handovers: Iterable[bytes] = ()) -> Self:
        """From the keys as they are handed to verifiers. Raises NoteInvalid, PolicyInvalid."""
        return cls(origin, tuple(log_key(vkey) for vkey in vkeys), tuple(handovers))

    @cached_property
    def succession(self) -> Succession:
        """The keys of each time. Raises as `open_handover`; HandoverForked."""
        return Succession.of(Policy.of(self.keys, [], 0), map(open_handover, self.handovers))

    def at(self, size: int) -> tuple[LogKey, ...]:
        """Those that a tree of that size may be signed with."""
        return self.succession.at(self.origin, size)

    def vkeys(self) -> tuple[str, ...]:
        """The keys as texts."""
        return tuple(key.vkey() for key in self.keys)

    def open(self, note: str, *, signed: bool = True) -> Checkpoint:
        """The checkpoint of a note; if not to be `signed`, signatures are not looked at. Raises NoteInvalid."""
        parsed = Note.parse(note)
        checkpoint = Checkpoint.parse(parsed.text)
        if checkpoint.origin != self.origin or str(parsed) != note:
            raise NoteInvalid("a checkpoint is of another log, or not in its one form")
        signers = [key for key in self.at(checkpoint.size) if parsed.is_signed_by(key)]
        if signed and not signers:
            raise NoteInvalid("a checkpoint is not signed by any of the log's keys")
        for key in signers if signed else ():
            parsed.check(key)
        return checkpoint


@dataclass(frozen=True, slots=True)
class Task:
    """One file to go through: its name, its first entry's index, how many entries it should have.

    `stops` are sizes at which the tree's root is wanted although no checkpoint may stand there.
    """

    file: str
    first: int
    width: int
    stops: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Stop:
    """A size at which the root is wanted: what the file adds to it, and the checkpoint that stands there, if any."""

    size: int
    inner: bytes
    note: str | None = None
    root: bytes | None = None


@dataclass(frozen=True, slots=True)
class RosterEntry:
    """Entry `index`: a roster was published; its version and the SHA-256 of its signed bytes."""

    index: int
    file: str
    version: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class HandoverEntry:
    """Entry `index`: the log's key was handed over; the SHA-256 of the handover, and what the entry says beside."""

    index: int
    digest: bytes
    detail: str


@dataclass(slots=True)
class Tally:
    """What entries say, all in all. Times are the hub's, in milliseconds."""

    events: Counter[str] = field(default_factory=Counter)
    erased: list[int] = field(default_factory=list)
    """The first of them; how many in all is `erasures`."""
    erasures: int = 0
    first_at: int | None = None
    last_at: int | None = None
    # How often an entry is older than the one before it, the first such entry, and by how much at most.
    back: int = 0
    back_first: int | None = None
    back_most: int = 0

    def saw(self, index: int, at: int) -> None:
        """An entry of that time comes next."""
        if self.first_at is None:
            self.first_at = at
        elif self.last_at is not None and at < self.last_at:
            self.back += 1
            self.back_first = index if self.back_first is None else self.back_first
            self.back_most = max(self.back_most, self.last_at - at)
        self.last_at = at

    def add(self, other: "Tally", first: int) -> None:
        """What comes next, from entry `first` on."""
        self.events += other.events
        self.erased = (self.erased + other.erased)[:NAMED]
        self.erasures += other.erasures
        if other.first_at is None:
            return
        self.saw(first, other.first_at)
        self.last_at = other.last_at
        self.back += other.back
        self.back_first = other.back_first if self.back_first is None else self.back_first
        self.back_most = max(self.back_most, other.back_most)


@dataclass(slots=True)
class Part:
    """What a file holds: the root over its leaves, the stops in it, and the fault behind which nothing was read."""

    task: Task
    subtree: bytes = b""
    stops: list[Stop] = field(default_factory=list)
    rosters: list[RosterEntry] = field(default_factory=list)
    handovers: list[HandoverEntry] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    holes: list[int] = field(default_factory=list)
    """Entries of which there is the leaf hash alone."""
    erasures: list[tuple[int, tuple[int, ...]]] = field(default_factory=list)
    """Entries that say which others were erased."""
    fault: LedgerUnproven | None = None


def recompute(data: bytes, task: Task, keys: LogKeys, reader: EntryReader, *, signed: bool = True) -> Part:
    """Goes through a file's bytes. With `signed`, the signature of each checkpoint in it is verified."""
    work = _File(task, keys, reader, signed)
    try:
        for item in records(data, task.file):
            work.take(item)
        work.end()
    except LedgerUnproven as fault:
        work.part.fault = fault
        if fault.index is None:
            fault.index = work.index
    work.fold()
    return work.part


@dataclass(slots=True)
class _File:
    task: Task
    keys: LogKeys
    reader: EntryReader
    signed: bool
    part: Part = field(init=False)
    leaves: list[bytes] = field(default_factory=list)
    # The checkpoints so far: size, note, root.
    notes: list[tuple[int, str, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.part = Part(self.task)

    @property
    def index(self) -> int:
        return self.task.first + len(self.leaves)

    def wrong(self, fault: LedgerFault, words: str, index: int | None = None) -> LedgerUnproven:
        return LedgerUnproven(fault, words, file=self.task.file, index=self.index if index is None else index)

    def take(self, item: Record) -> None:
        if item.kind == Kind.CHECKPOINT:
            self.checkpoint(item)
            return
        if len(self.leaves) == self.task.width:
            words = f"{self.task.file} has more than its {self.task.width} entries"
            raise self.wrong(LedgerFault.ENTRIES_ADDED, words)
        if item.kind == Kind.ENTRY and len(item.payload) > SALT_SIZE:
            self.entry(item.payload)
        elif item.kind == Kind.LEAF and len(item.payload) == HASH_SIZE:
            if self.part.tally.erasures < NAMED:
                self.part.tally.erased.append(self.index)
            self.part.tally.erasures += 1
            self.part.holes.append(self.index)
            self.leaves.append(item.payload)
        else:
            words = f"at byte {item.place} of {self.task.file}, where entry {self.index} should be, is no record"
            raise self.wrong(LedgerFault.RECORD_MALFORMED, words)

    def entry(self, payload: bytes) -> None:
        salt, data = payload[:SALT_SIZE], payload[SALT_SIZE:]
        try:
            fields = self.reader.read(data)
        except ControlRefused as error:
            words = f"entry {self.index} is not a ledger entry: {error}"
            raise self.wrong(LedgerFault.ENTRY_MALFORMED, words) from error
        event, tally = fields["event"], self.part.tally
        if event == Event.ROSTER:
            version = decimal(str(fields.get("detail", "")).removeprefix("version "))
            digest = fields.get("evidence")
            if version is None or digest is None:
                raise self.wrong(LedgerFault.ROSTER_WRONG, f"entry {self.index} does not say which roster it is of")
            self.part.rosters.append(RosterEntry(self.index, self.task.file, version, digest))
        if event == Event.HANDOVER:
            named = HandoverEntry(self.index, fields.get("evidence", b""), fields.get("detail", ""))
            self.part.handovers.append(named)
        if event == Event.ERASED:
            self.part.erasures.append((self.index, tuple(fields.get("erased", ()))))
        tally.events[event] += 1
        tally.saw(self.index, fields["at"])
        self.leaves.append(leaf_of(salt, data))

    def checkpoint(self, item: Record) -> None:
        since = max(self.task.first, self.notes[-1][0] if self.notes else 0)
        try:
            note = item.payload.decode()
            found = self.keys.open(note, signed=self.signed)
        except (UnicodeDecodeError, NoteInvalid) as error:
            words = f"the checkpoint behind entry {self.index - 1}, at byte {item.place} of {self.task.file}: {error}"
            raise self.wrong(LedgerFault.CHECKPOINT_UNSIGNED, words, since) from error
        if self.index == since:
            words = f"at byte {item.place} of {self.task.file} a checkpoint stands behind no entry"
            raise self.wrong(LedgerFault.RECORD_MALFORMED, words)
        if found.size != self.index:
            less = found.size > self.index
            words = (
                f"a checkpoint of {found.size} entries stands behind {self.index}: from entry {since} on "
                f"{abs(found.size - self.index)} {'are missing' if less else 'are too many'}, or it was moved"
            )
            fault = LedgerFault.ENTRIES_MISSING if less else LedgerFault.ENTRIES_ADDED
            raise self.wrong(fault, words, since)
        self.notes.append((found.size, note, found.root))

    def end(self) -> None:
        missing = self.task.width - len(self.leaves)
        if missing:
            words = f"{self.task.file} ends behind entry {self.index - 1}: {missing} entries are missing"
            raise self.wrong(LedgerFault.ENTRIES_MISSING, words)

    def fold(self) -> None:
        """Computes the subtrees, and of these what the file adds to each stop's root."""
        levels = _levels(self.leaves)
        wanted = [(size, None, None) for size in self.task.stops if size <= self.index]
        stops = sorted([*self.notes, *wanted], key=lambda stop: stop[0])
        first = self.task.first
        self.part.stops = [Stop(size, _fold(levels, size - first), note, root) for size, note, root in stops]
        if self.part.fault is None:
            self.part.subtree = _fold(levels, len(self.leaves))


def _levels(leaves: list[bytes]) -> list[list[bytes]]:
    """All perfect subtrees over the leaves, level by level."""
    levels, sha256 = [leaves], hashlib.sha256
    while len(levels[-1]) > 1:
        below = iter(levels[-1])
        # As `merkle.node_hash`; two million calls are a second.
        levels.append([sha256(b"\x01" + left + right).digest() for left, right in zip(below, below, strict=False)])
    return levels


def _fold(levels: Sequence[Sequence[bytes]], size: int) -> bytes:
    """The root over the first `size` leaves."""
    peaks = [levels[level][(size >> level) - 1] for level in range(size.bit_length()) if size >> level & 1]
    value = peaks[0]
    for left in peaks[1:]:
        value = node_hash(left, value)
    return value


@dataclass(slots=True)
class Walk:
    """How far it has come: the tree of all full files, the newest checkpoint that holds, and what is in doubt."""

    keys: LogKeys
    chunk: int
    signed: bool
    """Whether the checkpoints that it is given were held to their signatures."""
    size: int = 0
    checkpoints: int = 0
    tally: Tally = field(default_factory=Tally)
    roots: dict[int, bytes] = field(default_factory=dict)
    """The roots at the stops that were asked for."""
    root: bytes = EMPTY_ROOT
    """Of all that was gone through."""
    # Of the full files, as if each were a leaf.
    _left: CompactRange = field(default_factory=lambda: CompactRange(0, ()))
    _since: int = 0
    _doubt: LedgerUnproven | None = None
    # The entries without content that no erasure has named yet, and their files.
    _unnamed: dict[int, str] = field(default_factory=dict)

    @property
    def doubtful(self) -> bool:
        """Whether a checkpoint has not held, and what comes next must say why."""
        return self._doubt is not None

    def go_on(self, part: Part) -> None:
        """Goes on with the next file. Raises LedgerUnproven."""
        for stop in part.stops:
            root = self._root(stop.inner)
            if stop.note is None:
                self.roots[stop.size] = root
            elif stop.root == root:
                self._holds(stop.size, signed=self.signed)
                self.checkpoints += 1
            elif self._doubt is None:
                self._doubt = self._doubted(stop.size, stop.note, part.task.file)
        if part.fault is not None:
            raise self._doubt or part.fault
        self.tally.add(part.tally, part.task.first)
        self._see_erasures(part)
        self.size = part.task.first + part.task.width
        if self.size % self.chunk == 0:
            self._left = self._left.append([part.subtree])[0]
            self.root = self._left.root()
        else:
            self.root = self._root(part.subtree)

    def finish(self, newest: Checkpoint, note: str, file: str) -> None:
        """Holds the whole tree against the newest checkpoint, which is signed. Raises LedgerUnproven."""
        if (self.size, self.root) != (newest.size, newest.root):
            raise self._doubt or self._doubted(newest.size, note, file)
        self._holds(newest.size, signed=True)
        if self._unnamed:
            index = min(self._unnamed)
            words = f"entry {index} is there by its leaf hash alone, and no later entry says that it was erased"
            raise LedgerUnproven(LedgerFault.CONTENT_MISSING, words, file=self._unnamed[index], index=index)

    def _see_erasures(self, part: Part) -> None:
        self._unnamed.update(dict.fromkeys(part.holes, part.task.file))
        for by, indices in part.erasures:
            for index in indices:
                if index < by:
                    self._unnamed.pop(index, None)

    def _holds(self, size: int, *, signed: bool) -> None:
        if self._doubt is None:
            self._since = size
        elif self._doubt.fault is not LedgerFault.ENTRIES_CHANGED:
            raise self._doubt
        elif signed:
            # The leaves are those that were signed later, so what was signed before is another history.
            words = f"{self._doubt}; but the tree of {size} entries is the one that was signed: there are two histories"
            raise LedgerUnproven(
                LedgerFault.HISTORY_FORKED, words, file=self._doubt.file, index=self._doubt.index
            ) from self._doubt

    def _doubted(self, size: int, note: str, file: str) -> LedgerUnproven:
        first = self._since
        try:
            self.keys.open(note)
        except NoteInvalid as error:
            words = f"the checkpoint of {size} entries: {error}"
            return LedgerUnproven(LedgerFault.CHECKPOINT_UNSIGNED, words, file=file, index=first)
        which = f"entry {first}" if size - first == 1 else f"one of the entries {first} to {size - 1}"
        words = f"{which} is not what was signed: the checkpoint of {size} entries has another root"
        return LedgerUnproven(LedgerFault.ENTRIES_CHANGED, words, file=file, index=first)

    def _root(self, inner: bytes) -> bytes:
        hashes = (*self._left.hashes, inner)
        return CompactRange(len(hashes), hashes).root()
