"""An exported ledger on an auditor's machine: every file of it read, computed again, and held against what was signed.

Files are gone through by as many processes as there are processors, a few at a time, and joined in their order. It
opens only files whose names it makes itself, and none over the size that any can have.
"""

import hashlib
import os
import signal
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Final

from cryptography import x509

from crypto.errors import CryptoError, LedgerFault, LedgerUnproven, NoteInvalid, NotWitnessed
from crypto.export import CHECKPOINT, ENTRIES, MANIFEST, MAX_FILE, WITNESSED, Manifest, number_of, roster_file
from crypto.history import LogKeys, Part, RosterEntry, Tally, Task, Walk, recompute
from crypto.note import Note
from crypto.policy import Cosigned, Log, Policy, read_checkpoint
from crypto.trust import open_roster
from nodes.verify_handovers import read_handovers
from nodes.verify_stamps import Stamps, read_stamps
from schemas.control import ControlRefused
from schemas.entries import EntryReader
from schemas.handover import Handover
from schemas.roster import Roster

# For fewer files it is not worth to start processes.
_FEW: Final = 4
_AHEAD: Final = 4


@dataclass(frozen=True, slots=True)
class Known:
    """A checkpoint that somebody holds: the file it is in, and who has signed it."""

    file: Path
    cosigned: Cosigned


@dataclass(frozen=True, slots=True)
class Audit:
    """All that an export proves. `signed`: so was each earlier checkpoint's signature, not its root only."""

    cosigned: Cosigned
    vkeys: tuple[str, ...]
    policy: bool
    known: tuple[Known, ...]
    """Those that the auditor holds."""
    held: tuple[Known, ...]
    """The same, and of the export's own `witnessed` and those with a timestamp."""
    checkpoints: int
    signed: bool
    tally: Tally
    rosters: int
    roster: Roster | None
    handovers: tuple[Handover, ...]
    """Of the log's key, in order."""
    stamps: Stamps
    seconds: float

    @property
    def witnessed(self) -> Cosigned:
        """The newest checkpoint that meets the policy's quorum, or the newest of all."""
        met = [found for found in (self.cosigned, *(item.cosigned for item in self.held)) if found.quorum]
        return max(met, key=lambda found: found.checkpoint.size, default=self.cosigned)


def verify_ledger(
    folder: Path,
    policy: Policy | None,
    known: Sequence[Path],
    progress: Callable[[int, int], None],
    *,
    signed: bool = True,
    roots: Sequence[x509.Certificate] = (),
) -> Audit:
    """What the export in `folder` proves to whoever trusts the policy's keys, or without one, the key that it names.

    Timestamps in it are verified by the TSAs' `roots`, if there are any. `progress` is told how many entries of how
    many are done. Raises LedgerUnproven; NoteInvalid, NotWitnessed for what the policy asks and the checkpoint has not;
    TimestampInvalid if no timestamp holds; OSError for a folder or `known` file that does not read.
    """
    begin = time.monotonic()
    manifest = Manifest.from_bytes(_read(folder / MANIFEST))
    note = _newest_note(folder)
    handovers = read_handovers(folder, note)
    keys = _keys(manifest, policy, handovers.documents)
    judge = policy or Policy.of(keys.keys, [], 0)
    newest = _judged(note, keys, judge)
    size = newest.checkpoint.size
    _see_names(folder, manifest, size)
    own = [folder / WITNESSED] if (folder / WITNESSED).exists() else []
    stamps = read_stamps(folder, roots)
    own += dict.fromkeys(item.file for item in stamps.held)
    held = tuple(Known(path, _judged(_read(path).decode(errors="replace"), keys, judge)) for path in (*own, *known))
    for item in held:
        _see_inside(item, size)
    walk, rosters = Walk(keys, manifest.chunk, signed), _Rosters(folder, keys)
    sizes = [*(item.cosigned.checkpoint.size for item in held), *handovers.sizes]
    for part in _parts(folder, _tasks(manifest, size, sizes), manifest.files(size), keys, signed=signed):
        walk.go_on(part)
        if not walk.doubtful:
            rosters.take(part)
            handovers.take(part)
        progress(walk.size, size)
    walk.finish(newest.checkpoint, note, CHECKPOINT)
    handovers.finish(walk.roots)
    for item in held:
        _hold_against(item, walk)
    found = Audit(
        *(newest, keys.vkeys(), policy is not None, held[len(own) :], held, walk.checkpoints, signed, walk.tally),
        *(rosters.count, rosters.newest, handovers.found, stamps, time.monotonic() - begin),
    )
    if not found.witnessed.quorum:
        words = "the log with each type of key that the policy lists, and cosigned by the quorum"
        raise NotWitnessed(f"no checkpoint of the export, nor one of --known, is signed by {words} {judge.quorum!a}")
    return found


def _keys(manifest: Manifest, policy: Policy | None, handovers: tuple[bytes, ...]) -> LogKeys:
    if policy is None:
        return LogKeys.of(manifest.origin, [manifest.vkey], handovers)
    keys = tuple(log.key for log in policy.logs if log.key.name == manifest.origin)
    if not keys:
        raise NoteInvalid(f"the export is of the log {manifest.origin}, of which the policy lists no key")
    return LogKeys(manifest.origin, keys, handovers)


def _newest_note(folder: Path) -> str:
    try:
        return _read(folder / CHECKPOINT).decode(errors="replace")
    except FileNotFoundError as error:
        words = "the export has no checkpoint: it was cut short; let it be run again, and it goes on"
        raise LedgerUnproven(LedgerFault.UNFINISHED, words, file=CHECKPOINT) from error


def _judged(note: str, keys: LogKeys, policy: Policy) -> Cosigned:
    """What a checkpoint is worth; with one type of the log's keys where the policy lists both, it is no quorum's.

    A log signs with its second key only what witnesses are to cosign: the newest checkpoint, or one that came with
    a receipt, has the first signature alone, and binds the log to its history all the same. Raises NoteInvalid.
    """
    wanted, parsed = keys.at(keys.open(note).size), Note.parse(note)
    signed = [key for key in wanted if parsed.is_signed_by(key)]
    found = read_checkpoint(note, replace(policy, logs=tuple(map(Log, signed))))
    whole = {type(key) for key in wanted} == {type(key) for key in signed}
    return found if whole else replace(found, quorum=False)


def _see_inside(item: Known, size: int) -> None:
    found = item.cosigned.checkpoint.size
    if found > size:
        words = f"{item.file} is a checkpoint of {found} entries, and the export has {size}: ask for a newer one"
        raise LedgerUnproven(LedgerFault.EXPORT_OLDER, words, file=CHECKPOINT, index=size)


def _see_names(folder: Path, manifest: Manifest, size: int) -> None:
    """Raises LedgerUnproven for a file that is missing, and for one that belongs to another checkpoint."""
    for number in range(manifest.files(size)):
        name = manifest.file(number, size)
        if not (folder / name).is_file():
            first = number * manifest.chunk
            words = f"{name}, with the entries {first} to {first + manifest.width(number, size) - 1}, is missing"
            raise LedgerUnproven(LedgerFault.FILE_MISSING, words, file=name, index=first)
    with os.scandir(folder / ENTRIES) as found:
        extra = min((item.name for item in found if _is_extra(item.name, manifest, size)), default=None)
    if extra is not None:
        words = (
            f"{ENTRIES}/{extra} does not belong to the checkpoint of {size} entries: an older checkpoint was put in, "
            "or the export was cut short; let it be run again, and it goes on"
        )
        raise LedgerUnproven(LedgerFault.UNFINISHED, words, file=f"{ENTRIES}/{extra}", index=size)


def _is_extra(name: str, manifest: Manifest, size: int) -> bool:
    number = number_of(name)
    if number is None:
        return False
    return number[0] >= manifest.files(size) or f"{ENTRIES}/{name}" != manifest.file(number[0], size)


def _tasks(manifest: Manifest, size: int, stops: Sequence[int]) -> Iterator[Task]:
    wanted = sorted(set(stops))
    for number in range(manifest.files(size)):
        first, width = number * manifest.chunk, manifest.width(number, size)
        inside = tuple(wanted[bisect_right(wanted, first) : bisect_right(wanted, first + width)])
        yield Task(manifest.file(number, size), first, width, inside)


def _hold_against(item: Known, walk: Walk) -> None:
    found = item.cosigned.checkpoint
    if found.size and walk.roots[found.size] != found.root:
        words = f"{item.file} is a checkpoint of another history of {found.size} entries, signed by the log, too"
        raise LedgerUnproven(LedgerFault.HISTORY_FORKED, words, file=str(item.file), index=0)


def _read(path: Path) -> bytes:
    with path.open("rb") as opened:
        return opened.read(MAX_FILE + 1)


# Of a process that goes through files.
_worker: tuple[Path, LogKeys, EntryReader, bool]


def _begin_worker(folder: Path, origin: str, vkeys: Sequence[str], handovers: Sequence[bytes], signed: bool) -> None:
    global _worker
    _worker = (folder, LogKeys.of(origin, vkeys, handovers), EntryReader(), signed)


def _begin_process(folder: Path, origin: str, vkeys: Sequence[str], handovers: Sequence[bytes], signed: bool) -> None:
    # Ctrl-C is for the one who waits for us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _begin_worker(folder, origin, vkeys, handovers, signed)


def _work(task: Task) -> Part:
    folder, keys, reader, signed = _worker
    try:
        data = _read(folder / task.file)
    except OSError as error:
        words = f"{task.file} does not read: {error.strerror}"
        fault = LedgerUnproven(LedgerFault.FILE_MISSING, words, file=task.file, index=task.first)
        return Part(task, fault=fault)
    return recompute(data, task, keys, reader, signed=signed)


def _parts(folder: Path, tasks: Iterator[Task], count: int, keys: LogKeys, *, signed: bool) -> Iterator[Part]:
    """All `count` files gone through, in their order."""
    setting = (folder, keys.origin, keys.vkeys(), keys.handovers, signed)
    processes = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if count < _FEW or processes < 2:
        _begin_worker(*setting)
        yield from map(_work, tasks)
        return
    pool = ProcessPoolExecutor(processes, initializer=_begin_process, initargs=setting)
    try:
        pending: deque[Future[Part]] = deque(pool.submit(_work, task) for task in islice(tasks, processes * _AHEAD))
        while pending:
            yield pending.popleft().result()
            pending.extend(pool.submit(_work, task) for task in islice(tasks, 1))
    finally:
        pool.shutdown(cancel_futures=True)


class _Rosters:
    """The rosters of an export, each against its entry: every version, once, in order. None is ever erased."""

    def __init__(self, folder: Path, keys: LogKeys) -> None:
        self.newest: Roster | None = None
        self.count = 0
        self._folder = folder
        self._keys = keys.succession.hub_keys(keys.origin)

    def take(self, part: Part) -> None:
        """Raises LedgerUnproven."""
        for entry in part.rosters:
            last = self.newest.version if self.newest else 0
            if entry.version != last + 1:
                raise _roster_wrong(entry, f"its version is {entry.version}, and that of the one before {last}")
            self.newest = self._opened(entry)
            self.count += 1

    def _opened(self, entry: RosterEntry) -> Roster:
        name = roster_file(entry.version)
        try:
            data = _read(self._folder / name)
        except OSError as error:
            raise _roster_wrong(entry, f"{name} does not read: {error.strerror}") from error
        if hashlib.sha256(data).digest() != entry.digest:
            raise _roster_wrong(entry, f"{name} is not the one that the entry names")
        for key in self._keys:
            try:
                roster = open_roster(data, key)
            except (CryptoError, ControlRefused):
                continue
            if roster.version == entry.version:
                return roster
        raise _roster_wrong(entry, f"{name} is not signed with the log's Ed25519 key, or of another version")


def _roster_wrong(entry: RosterEntry, words: str) -> LedgerUnproven:
    text = f"the roster of entry {entry.index}: {words}"
    return LedgerUnproven(LedgerFault.ROSTER_WRONG, text, file=roster_file(entry.version), index=entry.index)
