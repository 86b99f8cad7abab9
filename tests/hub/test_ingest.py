"""The line of batches in a worker, without a broker or a database: what fails is never settled by what comes after."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from crypto.note import NoteSigner
from hub import ingest
from hub.errors import BrokenOff, RosterChanged
from hub.ingest import Ingest, _finish
from hub.judge import Arrival, Unreadable, Verdict
from hub.ledger import Ledger
from hub.lockstore import LockStore
from hub.publication import Publication
from hub.record import NOTHING, Recorded
from schemas.control import MessageType
from schemas.witnessing import CheckpointRequest
from tests.crypto.people import HUB, trust

QUESTION = CheckpointRequest(old=7).to_bytes()
BATCHES = [[Arrival("ro", "poem", b"", tag)] for tag in (1, 2, 3)]


class Lane:
    """Remembers what was acknowledged."""

    def __init__(self) -> None:
        self.acknowledged: list[int] = []

    async def acknowledge(self, batch: Sequence[Arrival]) -> None:
        self.acknowledged += [arrival.tag for arrival in batch]


def _worker() -> Ingest:
    ledger = Ledger("ledger", NoteSigner("ledger", HUB.signing), LockStore(Path("none"), "ledger"))
    settings = SimpleNamespace(verifiers=0, canary_s=30.0, witness_round_s=30.0)
    return Ingest(cast(Any, settings), *cast(Any, (None, None, ledger)))


@pytest.mark.parametrize("stage", ["_patiently", "_send"])
async def test_a_batch_behind_one_that_failed_is_not_acknowledged(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = _worker()
    lane, roster, calls = Lane(), cast(Any, SimpleNamespace(trust=trust(), signed=())), 0

    async def stand_in(*_: Any) -> Recorded:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0.01)
        if calls == 2:
            raise ConnectionError
        return NOTHING

    async def nothing(*_: Sequence[Publication]) -> Recorded:
        return NOTHING

    monkeypatch.setattr(worker, "_patiently", nothing)
    monkeypatch.setattr(worker, "_send", nothing)
    monkeypatch.setattr(worker, stage, stand_in)
    stop, intake = asyncio.Event(), cast(Any, None)
    line = [asyncio.create_task(worker._carry(cast(Any, lane), batch, roster, stop, intake)) for batch in BATCHES]
    first, second, third = await asyncio.gather(*line, return_exceptions=True)
    assert first is None
    assert isinstance(second, ConnectionError)
    assert isinstance(third, BrokenOff)
    assert lane.acknowledged == [1]


@pytest.mark.parametrize(("bodies", "recorded"), [([QUESTION], 0), ([QUESTION, QUESTION], 0), ([QUESTION, b"x"], 1)])
async def test_a_batch_of_witnesses_questions_is_not_recorded(
    bodies: list[bytes], recorded: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, lane, put_on_record = _worker(), Lane(), list[list[Verdict]]()

    async def patiently(judging: asyncio.Task[list[Verdict]], *_: object) -> Recorded:
        put_on_record.append(await judging)
        return NOTHING

    monkeypatch.setattr(worker, "_patiently", patiently)
    batch = [Arrival("ro", MessageType.CHECKPOINT_REQUEST, body, tag) for tag, body in enumerate(bodies)]
    roster = cast(Any, SimpleNamespace(trust=trust(), signed=()))
    await worker._carry(cast(Any, lane), batch, roster, asyncio.Event(), cast(Any, None))
    assert [[type(verdict) for verdict in batch] for batch in put_on_record] == [[Unreadable]] * recorded
    # Of the questions of one node the last one waits for its answer, beside the main loop.
    assert len(worker._witnessing._waiting) == 1
    assert lane.acknowledged == list(range(len(bodies)))


async def test_an_urgent_batch_does_not_wait_until_a_normal_one_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    worker, normal, urgent, judged = _worker(), Lane(), Lane(), asyncio.Event()
    order = list[int]()

    async def judge(batch: list[Arrival], *_: Any) -> list[Verdict]:
        if batch[0].tag == 1:
            await judged.wait()
        return [Unreadable(arrival, "any") for arrival in batch]

    async def patiently(judging: asyncio.Task[list[Verdict]], *_: Any) -> Recorded:
        order.append((await judging)[0].arrival.tag)
        return NOTHING

    monkeypatch.setattr(worker, "_judge", judge)
    monkeypatch.setattr(worker, "_patiently", patiently)
    roster, stop, intake = cast(Any, SimpleNamespace(trust=trust(), signed=())), asyncio.Event(), cast(Any, None)
    # Large enough to be judged before it is recorded. The second of a lane is judged first, and recorded second.
    batches = [(normal, 1), (normal, 2), (urgent, 3)]
    line = [
        asyncio.create_task(
            worker._carry(cast(Any, lane), [Arrival("ro", "poem", b"", tag)] * 20, roster, stop, intake)
        )
        for lane, tag in batches
    ]
    await asyncio.wait_for(line[2], 10)
    assert (urgent.acknowledged, normal.acknowledged) == ([3] * 20, [])
    judged.set()
    await asyncio.gather(*line)
    assert order == [3, 1, 2]


async def test_what_a_batch_failed_with_is_told_and_not_that_another_broke_off() -> None:
    async def fail(error: Exception) -> None:
        raise error

    # Which of those that are done comes first is chance.
    for _ in range(20):
        errors = (BrokenOff("an earlier one failed", "nothing"), ConnectionError(), BrokenOff("so did it", "nothing"))
        line = [asyncio.create_task(fail(error)) for error in errors]
        await asyncio.wait(line)
        with pytest.raises(ConnectionError):
            await _finish(line)


async def test_a_batch_that_was_judged_by_an_older_roster_is_judged_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    # Else somebody who was shut out in between would have the last word in the ledger.
    worker, asked, older, newer = _worker(), list[int](), _in_force(1), _in_force(2)

    @asynccontextmanager
    async def writing() -> AsyncIterator[None]:
        yield

    async def judged(_: Sequence[Arrival], roster: Any) -> list[Any]:
        asked.append(roster.trust.roster.version)
        return [asked[-1]]

    async def record(*said: Any) -> Any:
        if said[4] == 1:
            raise RosterChanged("newer", "judge anew")
        return said[2]

    async def newest() -> Any:
        return newer

    for name, stand_in in (("_judge", judged), ("_newest", newest)):
        monkeypatch.setattr(worker, name, stand_in)
    monkeypatch.setattr(worker._pen, "writing", writing)
    monkeypatch.setattr(ingest, "record", record)
    judging = cast(Any, asyncio.create_task(judged((), older)))
    found = await worker._patiently(judging, BATCHES[0], older, asyncio.Event(), cast(Any, None))
    assert (found, asked) == ([2], [1, 2])


def _in_force(version: int) -> Any:
    return SimpleNamespace(trust=SimpleNamespace(roster=SimpleNamespace(version=version)), signed=())
