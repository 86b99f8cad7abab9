"""The lock store's file by itself: what it says survives, who may change it, and what it makes of a database's head."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crypto.note import Checkpoint, NoteSigner
from hub import ledger
from hub.errors import LedgerBehind, LedgerForked, LockStoreUnusable
from hub.ledger import Ledger
from hub.lockstore import Kept, LockStore
from tests.crypto.people import HUB

ORIGIN = "seci.exchange/test"


def at(size: int, root: int | None = None) -> Checkpoint:
    """A checkpoint; its root says its size, or another one."""
    return Checkpoint(ORIGIN, size, bytes([size if root is None else root]) * 32)


PROPOSED = Kept(at(5), at(9), committed=False)
COMMITTED = replace(PROPOSED, committed=True)


@pytest.fixture
def store(tmp_path: Path) -> LockStore:
    """One that has seen five entries."""
    store = LockStore(tmp_path / "ledger.lock", ORIGIN)
    store.begin(at(5))
    return store


@pytest.mark.parametrize("kept", [PROPOSED, COMMITTED])
def test_what_is_written_is_read(kept: Kept) -> None:
    assert Kept.parse(kept.to_bytes()) == kept


@pytest.mark.parametrize(
    ("kept", "head"),
    [
        pytest.param(PROPOSED, at(5), id="killed before the commit"),
        pytest.param(PROPOSED, at(9), id="killed after the commit"),
        pytest.param(COMMITTED, at(9), id="at rest"),
    ],
)
def test_a_database_that_was_only_killed_may_go_on(kept: Kept, head: Checkpoint) -> None:
    assert not kept.is_ahead(head)


@pytest.mark.parametrize(
    ("kept", "head", "missing"),
    [(PROPOSED, at(4), 1), (COMMITTED, at(5), 4), (COMMITTED, at(8), 1), (COMMITTED, at(0), 9)],
)
def test_a_database_with_less_is_refused_and_told_how_much(kept: Kept, head: Checkpoint, missing: int) -> None:
    with pytest.raises(LedgerBehind, match=f"{missing} are missing"):
        kept.is_ahead(head)


@pytest.mark.parametrize(("kept", "size"), [(PROPOSED, 5), (COMMITTED, 9)])
def test_another_root_at_the_same_size_is_refused(kept: Kept, size: int) -> None:
    with pytest.raises(LedgerForked):
        kept.is_ahead(at(size, root=77))


@pytest.mark.parametrize("kept", [PROPOSED, COMMITTED])
def test_a_database_with_more_is_told_from_the_rest(kept: Kept) -> None:
    assert kept.is_ahead(at(12))


def test_only_who_knows_what_it_says_replaces_it(store: LockStore) -> None:
    first = store.read()
    assert store.swap(first, PROPOSED)
    assert not store.swap(first, Kept(at(5), at(6), committed=False))
    assert store.read() == PROPOSED
    store.confirm(at(9))
    # That it is marked by now changes nothing for who read it before.
    assert store.swap(PROPOSED, Kept(at(9), at(10), committed=False))


def test_a_mark_that_comes_late_marks_nothing(store: LockStore) -> None:
    store.swap(store.read(), PROPOSED)
    store.confirm(at(5))
    store.confirm(at(9, root=77))
    assert store.read() == PROPOSED
    store.confirm(at(9))
    assert store.read() == COMMITTED


@pytest.mark.parametrize(
    "content", [b"", b"?", b"!\n", COMMITTED.to_bytes()[1:], COMMITTED.to_bytes()[:-20], b"+\n\xff"]
)
def test_a_damaged_file_is_never_taken_for_an_empty_one(store: LockStore, content: bytes) -> None:
    store.path.write_bytes(content)
    with pytest.raises(LockStoreUnusable, match="damaged"):
        store.read()


def test_a_missing_file_and_one_of_another_ledger_are_refused(store: LockStore) -> None:
    with pytest.raises(LockStoreUnusable, match=ORIGIN.partition("/")[2]):
        replace(store, origin="other").read()
    store.path.unlink()
    with pytest.raises(LockStoreUnusable, match="missing"):
        store.read()


def test_it_is_for_its_owner_alone(store: LockStore) -> None:
    store.swap(store.read(), PROPOSED)
    assert store.path.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in store.path.parent.iterdir()] == ["ledger.lock"]


async def test_who_is_cancelled_while_the_lock_store_fails_is_cancelled(tmp_path: Path) -> None:
    log = Ledger(ORIGIN, NoteSigner(ORIGIN, HUB.signing), LockStore(tmp_path / "gone" / "ledger.lock", ORIGIN))
    connection: Any = None

    async def append() -> None:
        async with ledger._proposing(connection, log, PROPOSED.before, PROPOSED) as propose:
            propose(PROPOSED.newest)
            await asyncio.sleep(30)

    appending = asyncio.create_task(append())
    await asyncio.sleep(0.1)
    appending.cancel()
    # Else a worker takes it for trouble that may pass, and goes on with a batch that was given up.
    with pytest.raises(asyncio.CancelledError):
        await appending
