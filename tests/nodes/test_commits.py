"""Group commit: what fails is undone alone, and nobody is answered before what they wrote is on the disk."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Connection
from sqlalchemy.exc import OperationalError

from nodes import store
from nodes.store import Store

DIGESTS = [bytes([number]) for number in range(5)]


class _Wrong(Exception):
    pass


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Store]:
    """A store of its own."""
    opened = Store.open(tmp_path / "node.db", bytes(32))
    yield opened
    opened.close()


def _keep(connection: Connection, digest: bytes, fault: Callable[[Connection], None] | None = None) -> bytes:
    store.put_aside(connection, store.Aside(digest, "poem", b"", ""), "reason", 1)
    if fault is not None:
        fault(connection)
    return digest


def _wrong(_: Connection) -> None:
    raise _Wrong


def _full(connection: Connection) -> None:
    # What SQLite does by itself when the disk is full: the whole transaction is gone, whoever wrote in it.
    connection.exec_driver_sql("ROLLBACK")
    raise OSError("no space left")


async def _together(box: Store, fault: Callable[[Connection], None]) -> list[bytes | BaseException]:
    """Five pieces of work that share a transaction, the third with a fault, behind one that lets them gather."""
    begun, gathered = threading.Event(), threading.Event()

    def wait(_: Connection) -> bool:
        begun.set()
        return gathered.wait(10)

    first = asyncio.create_task(box.run(wait))
    assert await asyncio.to_thread(begun.wait, 10)
    faults = (None, None, fault, None, None)
    rest = [asyncio.create_task(box.run(_keep, digest, wrong)) for digest, wrong in zip(DIGESTS, faults, strict=True)]
    await asyncio.sleep(0)
    gathered.set()
    assert await first
    return await asyncio.gather(*rest, return_exceptions=True)


def _on_disk(folder: Path) -> list[bytes]:
    with closing(sqlite3.connect(folder / "node.db")) as database:
        return [digest for (digest,) in database.execute("SELECT digest FROM quarantine ORDER BY digest")]


async def test_what_fails_is_undone_alone(box: Store, tmp_path: Path) -> None:
    commits: list[Connection] = []
    event.listen(box._engine, "commit", commits.append)
    answers = await _together(box, _wrong)
    assert len(commits) == 2
    assert isinstance(answers.pop(2), _Wrong)
    assert answers == [*DIGESTS[:2], *DIGESTS[3:]] == _on_disk(tmp_path)


async def test_a_transaction_that_is_gone_fails_all_who_were_in_it(box: Store, tmp_path: Path) -> None:
    answers = await _together(box, _full)
    assert [type(answer) for answer in answers] == [OperationalError] * 5
    assert _on_disk(tmp_path) == []
    assert await box.run(_keep, DIGESTS[0]) == DIGESTS[0]
    assert _on_disk(tmp_path) == DIGESTS[:1]


async def test_nobody_is_answered_before_the_commit(box: Store, tmp_path: Path) -> None:
    answered: list[bytes] = []
    behind: list[tuple[list[bytes], list[bytes]]] = []

    async def keep(digest: bytes) -> None:
        answered.append(await box.run(_keep, digest))
        assert digest in _on_disk(tmp_path)

    def committing(_: Connection) -> None:
        behind.append((list(answered), _on_disk(tmp_path)))

    event.listen(box._engine, "commit", committing)
    await asyncio.gather(*map(keep, DIGESTS))
    # At each commit, those answered are exactly those that earlier ones have brought to the disk.
    assert all(set(told) <= set(kept) for told, kept in behind)
    assert answered == DIGESTS


async def test_a_commit_that_fails_fails_everybody_in_it(box: Store, tmp_path: Path) -> None:
    def failing(_: Connection) -> None:
        raise OSError("input/output error")

    event.listen(box._engine, "commit", failing)
    answers = await asyncio.gather(*(box.run(_keep, digest) for digest in DIGESTS), return_exceptions=True)
    assert [type(answer) for answer in answers] == [OSError] * 5
    event.remove(box._engine, "commit", failing)
    assert _on_disk(tmp_path) == []
