"""The lock store's file through kills at any step, power failures, frozen processes and races."""

import itertools
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from crypto import keyfile
from hub import lockfile, lockstore
from hub.lockfile import SLOT, Slot
from hub.lockstore import Kept, LockStore
from tests.hub.test_lockstore import COMMITTED, ORIGIN, PROPOSED, at

NEXT = Kept(at(9), at(12), committed=False)
INSTEAD = Kept(at(5), at(7), committed=False)
ROOMS = tuple(str(module.__file__) for module in (lockstore, lockfile, keyfile))
MANY = 1000
PIECE = 40


@pytest.fixture
def store(tmp_path: Path) -> LockStore:
    """One that has seen five entries."""
    store = LockStore(tmp_path / "ledger.lock", ORIGIN)
    store.begin(at(5))
    return store


def _fork(act: Callable[[], Any]) -> int:
    """Does it in another process; its pid."""
    pid = os.fork()
    if not pid:
        try:
            act()
        finally:
            os._exit(0)
    return pid


def _killed_at(step: int, act: Callable[[], Any]) -> bool:
    """Does it in another process that is killed before this line of ours (of each its turn); whether it came so far."""
    passed = itertools.count(1)

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename not in ROOMS:
            return None
        if event in ("line", "return") and next(passed) == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    def traced() -> None:
        sys.settrace(trace)
        act()

    _, status = os.waitpid(_fork(traced), 0)
    return os.WIFSIGNALED(status)


@pytest.mark.parametrize(
    ("content", "act", "says"),
    [
        pytest.param(COMMITTED, lambda store: store.swap(COMMITTED, NEXT), (COMMITTED, NEXT), id="a proposal"),
        pytest.param(PROPOSED, lambda store: store.swap(PROPOSED, INSTEAD), (PROPOSED, INSTEAD), id="another instead"),
        pytest.param(PROPOSED, lambda store: store.confirm(at(9)), (PROPOSED, COMMITTED), id="the mark"),
        pytest.param(PROPOSED, lambda store: store.begin(at(9)), (PROPOSED, Kept(at(9), at(9), True)), id="begun anew"),
        pytest.param(None, lambda store: store.swap(COMMITTED, NEXT), (COMMITTED, NEXT), id="the old format"),
    ],
)
def test_a_kill_at_any_step_leaves_the_one_or_the_other(
    store: LockStore, content: Kept | None, act: Callable[[LockStore], Any], says: tuple[Kept, Kept]
) -> None:
    store.swap(store.read(), PROPOSED)
    if content == COMMITTED:
        store.confirm(at(9))
    image = COMMITTED.to_bytes() if content is None else store.path.read_bytes()
    seen = []
    for step in range(1, MANY):
        store.path.write_bytes(image)
        killed = _killed_at(step, lambda: act(store))
        seen.append(store.read())
        assert seen[-1] in says
        # Whoever comes next is not held up by the dead one's lock, and can go on from what it finds.
        follows = Kept(seen[-1].certain, at(20), committed=False)
        assert store.swap(seen[-1], follows)
        assert store.read() == follows
        if not killed:
            break
    assert step > 20
    assert (seen[0], seen[-1]) == says
    assert seen == sorted(seen, key=says.index)


class Disk:
    """What would be on the disk if the power failed now, seen through the writes and syncs of one process."""

    def __init__(self, store: LockStore, chance: random.Random, patch: pytest.MonkeyPatch) -> None:
        self._store, self._chance = store, chance
        self.synced = store.path.read_bytes()
        self.unsynced: list[tuple[int, bytes]] = []
        self.dies = False
        self._put = os.pwrite
        patch.setattr(lockfile.os, "pwrite", self._write)
        patch.setattr(lockfile.os, "fdatasync", self._sync)

    def _write(self, descriptor: int, data: bytes, place: int) -> int:
        self.unsynced.append((place, data))
        return self._put(descriptor, data, place)

    def _sync(self, _: int) -> None:
        # The power may fail in the midst of the sync; and a kill before it leaves the data to whoever syncs next.
        self.check()
        if self.dies:
            raise KeyboardInterrupt
        self.synced, self.unsynced = self._store.path.read_bytes(), []

    def check(self) -> None:
        """A file as the power failure may leave it fits the database: it was only a crash."""
        for _ in range(4):
            image = bytearray(self.synced)
            for place, data in self.unsynced:
                for start in range(0, len(data), PIECE):
                    if self._chance.random() < 0.5:
                        part = data[start : start + PIECE]
                        image[place + start : place + start + len(part)] = part
            torn = LockStore(self._store.path.with_name("torn.lock"), ORIGIN)
            torn.path.write_bytes(image)
            assert torn.read().is_ahead(self.head) is False

    head = at(5)


@pytest.mark.parametrize("seed", range(20))
def test_a_power_failure_at_any_moment_leaves_what_fits_the_database(
    store: LockStore, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    disk = Disk(store, chance, monkeypatch)
    for number in range(6, 100):
        kept = store.read()
        assert kept.is_ahead(disk.head) is False
        disk.dies = chance.random() < 0.3
        proposal = Kept(disk.head, at(number), committed=False)
        try:
            assert store.swap(kept, proposal)
        except KeyboardInterrupt:
            continue
        disk.check()
        if chance.random() < 0.3:
            continue
        disk.head = proposal.newest
        disk.check()
        if chance.random() < 0.7:
            store.confirm(disk.head)
            disk.check()


@pytest.mark.parametrize("cut", [0, 1, 97, 200, SLOT])
def test_a_torn_slot_leaves_the_older_one(store: LockStore, cut: int) -> None:
    store.swap(store.read(), PROPOSED)
    store.confirm(at(9))
    older = store.path.read_bytes()
    store.swap(COMMITTED, NEXT)
    newer = store.path.read_bytes()
    assert older[SLOT:] == newer[SLOT:]
    store.path.write_bytes(newer[:cut] + older[cut:])
    assert store.read() == (NEXT if cut == SLOT else COMMITTED)
    store.path.write_bytes(b"\xff" * cut + newer[cut:])
    assert store.read() == (COMMITTED if cut else NEXT)


def test_a_file_with_both_slots_torn_or_of_another_size_is_damaged(store: LockStore) -> None:
    store.swap(store.read(), PROPOSED)
    good = store.path.read_bytes()
    for image in (good[:SLOT], good + b"\0", bytes(len(good)), good.replace(b"seci-lock/2 0", b"seci-lock/2 9")):
        store.path.write_bytes(image)
        with pytest.raises(lockstore.LockStoreUnusable, match="damaged"):
            store.read()


def test_a_file_of_the_old_format_is_read_marked_and_replaced(store: LockStore) -> None:
    store.path.write_bytes(PROPOSED.to_bytes())
    assert store.read() == PROPOSED
    store.confirm(at(9))
    assert store.path.read_bytes() == COMMITTED.to_bytes()
    assert not store.swap(NEXT, NEXT)
    assert store.swap(PROPOSED, NEXT)
    assert store.read() == NEXT
    assert store.path.stat().st_size == 2 * SLOT
    assert store.path.stat().st_mode & 0o777 == 0o600


def test_a_name_too_long_is_refused(tmp_path: Path) -> None:
    store = LockStore(tmp_path / "ledger.lock", "x" * 2000)
    with pytest.raises(lockstore.LockStoreUnusable, match="too long"):
        store.begin(lockstore.Checkpoint(store.origin, 0, bytes(32)))
    assert not store.exists


def test_a_mark_that_comes_very_late_marks_nothing(store: LockStore) -> None:
    store.swap(store.read(), PROPOSED)
    late = lockfile.newest(store.path.read_bytes())
    assert late is not None
    store.swap(PROPOSED, NEXT)
    store.swap(NEXT, Kept(at(12), at(13), committed=False))
    with store.path.open("rb+") as file:
        lockfile.mark(file.fileno(), late)
    assert store.read() == Kept(at(12), at(13), committed=False)
    store.confirm(at(13))
    assert store.read().committed


def _count(store: LockStore, who: int) -> None:
    for _ in range(50):
        while not store.swap(kept := store.read(), Kept(kept.newest, at(kept.newest.size + 1, who), committed=False)):
            pass
        store.confirm(at(kept.newest.size + 1, who))


def test_writers_that_race_never_lose_a_swap(store: LockStore) -> None:
    pids = [_fork(lambda who=who: _count(store, who)) for who in (1, 2)]
    threads = [threading.Thread(target=_count, args=(store, who)) for who in (3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0, 0]
    assert store.read().newest.size == 5 + 4 * 50


def test_a_writer_frozen_in_the_midst_is_waited_for_and_then_named(
    store: LockStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = store.read()
    real = lockfile.write

    def freeze(descriptor: int, slot: Slot) -> None:
        os.kill(os.getpid(), signal.SIGSTOP)
        real(descriptor, slot)

    def frozen() -> None:
        lockfile.write = freeze
        store.swap(first, PROPOSED)

    pid = _fork(frozen)
    assert os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1])
    monkeypatch.setattr(lockstore, "PATIENCE_S", 0.05)
    begin = time.monotonic()
    with pytest.raises(TimeoutError):
        store.swap(first, INSTEAD)
    assert time.monotonic() - begin < 1
    assert store.read() == first
    os.kill(pid, signal.SIGCONT)
    assert os.waitpid(pid, 0)[1] == 0
    assert not store.swap(first, INSTEAD)
    assert store.read() == PROPOSED
