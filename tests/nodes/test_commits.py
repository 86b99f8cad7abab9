"""Group commit: what fails is undone alone, and nobody is answered before what they wrote is on the disk."""

import asyncio
import itertools
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy.engine import Connection
from sqlalchemy.exc import OperationalError

from nodes import asides, commits
from nodes.commits import MOST
from nodes.errors import StoreClosed
from nodes.prepared import tell
from nodes.store import Store

PATIENCE_S = 10
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
    asides.put_aside(connection, asides.Aside(digest, "poem", b"", ""), "reason", 1)
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


@contextmanager
def _before_each_commit(act: Callable[[], None]) -> Iterator[None]:
    def telling(connection: Connection, statement: str) -> None:
        if statement == "COMMIT":
            act()
        tell(connection, statement)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(commits, "tell", telling)
        yield


async def test_what_fails_is_undone_alone(box: Store, tmp_path: Path) -> None:
    count = itertools.count()
    with _before_each_commit(lambda: next(count)):
        answers = await _together(box, _wrong)
    assert next(count) == 2
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

    with _before_each_commit(lambda: behind.append((list(answered), _on_disk(tmp_path)))):
        await asyncio.gather(*map(keep, DIGESTS))
    assert behind
    # At each commit, those answered are exactly those that earlier ones have brought to the disk.
    assert all(set(told) <= set(kept) for told, kept in behind)
    assert answered == DIGESTS


async def test_a_commit_that_fails_fails_everybody_in_it(box: Store, tmp_path: Path) -> None:
    def failing() -> None:
        raise OSError("input/output error")

    with _before_each_commit(failing):
        answers = await asyncio.gather(*(box.run(_keep, digest) for digest in DIGESTS), return_exceptions=True)
    assert [type(answer) for answer in answers] == [OSError] * 5
    assert _on_disk(tmp_path) == []
    assert await box.run(_keep, DIGESTS[0]) == DIGESTS[0]
    assert _on_disk(tmp_path) == DIGESTS[:1]


def _odd(error: type[BaseException]) -> Callable[[Connection], None]:
    def work(_: Connection) -> None:
        raise error

    return work


@pytest.mark.parametrize(
    "error", [StopIteration, StopAsyncIteration, GeneratorExit, asyncio.CancelledError, SystemExit]
)
async def test_whatever_is_raised_is_undone_alone_and_everybody_is_answered(
    box: Store, tmp_path: Path, error: type[BaseException]
) -> None:
    async with asyncio.timeout(PATIENCE_S):
        answers = await _together(box, _odd(error))
        failed = answers.pop(2)
        assert isinstance(failed, Exception)
        assert error in (type(failed), type(failed.__cause__))
        assert answers == [*DIGESTS[:2], *DIGESTS[3:]] == _on_disk(tmp_path)
        # Alone in its transaction too.
        with pytest.raises((RuntimeError, StopAsyncIteration)):
            await box.run(_keep, b"alone", _odd(error))
        assert await box.run(_keep, DIGESTS[2]) == DIGESTS[2]
    assert _on_disk(tmp_path) == DIGESTS


async def test_who_comes_after_the_end_is_told(box: Store) -> None:
    box.close()
    box.close()
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(StoreClosed):
            await box.run(_keep, DIGESTS[0])


async def test_what_waits_at_the_end_is_still_done(box: Store, tmp_path: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def wait(_: Connection) -> bool:
        begun.set()
        return go_on.wait(PATIENCE_S)

    # More than one transaction takes.
    many = [bytes([number // 100, number % 100]) for number in range(2 * MOST + 1)]
    async with asyncio.timeout(2 * PATIENCE_S):
        first = asyncio.create_task(box.run(wait))
        assert await asyncio.to_thread(begun.wait, PATIENCE_S)
        rest = [asyncio.create_task(box.run(_keep, digest)) for digest in many]
        await asyncio.sleep(0)
        ending = asyncio.create_task(asyncio.to_thread(box.close))
        for _ in range(100 * PATIENCE_S):
            if box._commits._closed:
                break
            await asyncio.sleep(0.01)
        late = asyncio.create_task(box.run(_keep, b"late"))
        await asyncio.sleep(0)
        go_on.set()
        assert await first
        assert await asyncio.gather(*rest) == many
        await ending
        with pytest.raises(StoreClosed):
            await late
    assert _on_disk(tmp_path) == many


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_nobody_waits_for_a_thread_that_has_died(box: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(box._commits, "_do_together", die)
    async with asyncio.timeout(PATIENCE_S):
        answers = await asyncio.gather(*(box.run(_keep, digest) for digest in DIGESTS), return_exceptions=True)
        assert [type(answer) for answer in answers] == [StoreClosed] * 5
        with pytest.raises(StoreClosed):
            await box.run(_keep, DIGESTS[0])


def test_those_of_an_event_loop_that_is_gone_keep_no_answer_from_others(box: Store, tmp_path: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def wait(_: Connection) -> bool:
        begun.set()
        return go_on.wait(PATIENCE_S)

    async def leave() -> None:
        tasks = [asyncio.create_task(box.run(wait))]
        assert await asyncio.to_thread(begun.wait, PATIENCE_S)
        tasks.append(asyncio.create_task(box.run(_wrong)))
        # When the loop closes, the second is the first of those that will go together.
        await asyncio.sleep(0)

    async def stay() -> bytes:
        keeping = asyncio.create_task(box.run(_keep, DIGESTS[0]))
        await asyncio.sleep(0)
        go_on.set()
        async with asyncio.timeout(PATIENCE_S):
            return await keeping

    asyncio.run(leave())
    assert asyncio.run(stay()) == DIGESTS[0]
    assert _on_disk(tmp_path) == DIGESTS[:1]
