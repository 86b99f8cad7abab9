"""The agent's canary: when it says that the hub is silent, and when there is nothing to say."""

import asyncio
import errno
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest

from nodes import canary, doctor, witness
from nodes.agent import Agent
from nodes.cli_read import _answers
from nodes.errors import HubSilent
from nodes.link import LinkState
from nodes.publishing import Publication
from nodes.receiving import Arrival
from nodes.status import Status, status
from schemas.control import MessageType
from schemas.witnessing import WitnessCheckpoint
from tests.crypto.people import BG
from tests.fuzz import documents
from tests.nodes.twofaced import Log
from tests.nodes.witnesses import agent_of, asks, follow, linked, tell

HONEST: Final = Log().grow(7)
LATE_S: Final = 30.0
SILENT: Final = "the hub has not answered for"


class Seconds:
    """A monotonic clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def pass_by(self, seconds: float) -> None:
        """Goes on."""
        self.now += seconds


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> Seconds:
    """The canary's clock."""
    clock = Seconds()
    monkeypatch.setattr(canary, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


@pytest.fixture
async def bg(tmp_path: Path, seconds: Seconds) -> AsyncIterator[Agent]:
    """Bulgaria's, linked, which has asked the hub just now."""
    agent = await agent_of(BG, tmp_path)
    linked(agent)
    agent.witness.canary.ask(agent.link.state)
    yield agent
    agent.box.close()


async def _silent(agent: Agent) -> bool:
    found = await status(agent)
    assert found.hub.late == any(SILENT in text for text in found.shortcomings())
    return found.hub.late


async def test_a_hub_is_silent_once_a_question_had_no_answer_for_three_pauses(bg: Agent, seconds: Seconds) -> None:
    assert not await _silent(bg)
    seconds.pass_by(LATE_S)
    # Asked again meanwhile: what counts is since when there was no answer.
    bg.witness.canary.ask(bg.link.state)
    assert not await _silent(bg)
    seconds.pass_by(1)
    assert await _silent(bg)
    [told] = (await status(bg)).warnings()
    assert told.startswith(f"{SILENT} 31 s: it is down, the broker takes or brings nothing")


async def test_it_has_answered_again(bg: Agent, seconds: Seconds) -> None:
    seconds.pass_by(LATE_S + 1)
    assert await _silent(bg)
    await follow(bg, HONEST)
    assert not await _silent(bg)
    # A ledger that rests is no silence: the same checkpoint is an answer again.
    bg.witness.canary.ask(bg.link.state)
    seconds.pass_by(LATE_S + 1)
    assert await _silent(bg)
    await follow(bg, HONEST)
    assert not await _silent(bg)
    # Nor is it one that nothing was asked since.
    seconds.pass_by(10 * LATE_S)
    assert not await _silent(bg)


async def test_however_short_the_pause_is_an_answer_may_take_seconds(bg: Agent, seconds: Seconds) -> None:
    bg.witness.pause_s = 0.1
    seconds.pass_by(canary.LEAST_S)
    assert not await _silent(bg)
    seconds.pass_by(0.1)
    assert await _silent(bg)


async def test_without_a_link_only_that_is_said_and_a_new_one_has_its_time(bg: Agent, seconds: Seconds) -> None:
    seconds.pass_by(LATE_S + 1)
    bg.link.state = LinkState(False, 5, "the connection closed")
    [told] = (await status(bg)).shortcomings()
    assert told.startswith("no connection to the broker")
    # The link may go while the witness is about to ask.
    bg.witness.canary.ask(bg.link.state)
    seconds.pass_by(LATE_S + 1)
    assert not await _silent(bg)
    linked(bg, since=6)
    assert not await _silent(bg)
    seconds.pass_by(10)
    bg.witness.canary.ask(bg.link.state)
    seconds.pass_by(LATE_S)
    assert not await _silent(bg)
    seconds.pass_by(1)
    assert await _silent(bg)


async def test_a_broker_that_takes_nothing_costs_one_link_after_the_other_and_is_told(
    bg: Agent, seconds: Seconds
) -> None:
    # As one does whose disk or memory is full: a link opens, and is given up for want of a confirm.
    for number in range(1, 5):
        assert not await _silent(bg)
        seconds.pass_by(10)
        bg.witness.canary.wait_on()
        bg.link.state = LinkState(False, number, "no confirm")
        # An hour without a link is no silence of the hub's.
        seconds.pass_by(3600)
        linked(bg, since=number)
        bg.witness.canary.ask(bg.link.state)
    assert await _silent(bg)
    assert int((await status(bg)).hub.unanswered_s or 0) == 40
    bg.link.state = LinkState(False, 5, "no confirm")
    linked(bg, since=5)
    seconds.pass_by(9)
    # Nothing has been asked over this one yet.
    assert await _silent(bg)


async def test_a_receipt_is_the_hubs_word_too(bg: Agent, seconds: Seconds) -> None:
    seconds.pass_by(LATE_S + 1)
    await tell(bg, documents.receipts(), MessageType.RECEIPTS)
    assert not await _silent(bg)


async def test_what_came_and_is_not_stored_is_no_answer(
    bg: Agent, seconds: Seconds, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds.pass_by(LATE_S + 1)
    asked = await asks(bg)
    with monkeypatch.context() as full:
        full.setattr(witness.histories, "keep", _full)
        with pytest.raises(OSError, match="No space left"):
            await bg.box.run(bg.take_in, [Arrival(MessageType.CHECKPOINT, HONEST.answer(asked.old), 1)])
    assert await _silent(bg)
    await follow(bg, HONEST)
    assert not await _silent(bg)


def _full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


async def test_of_a_hub_that_was_caught_no_answer_is_missed(bg: Agent, seconds: Seconds) -> None:
    await follow(bg, HONEST)
    bg.witness.canary.ask(bg.link.state)
    await follow(bg, HONEST.up_to(5).grow(30, "other"))
    assert bg.witness.caught
    seconds.pass_by(LATE_S + 1)
    [told] = (await status(bg)).shortcomings()
    assert told.startswith("THE HUB IS NOT TRUSTED")


async def test_once_it_is_trusted_again_it_has_its_time(
    bg: Agent, seconds: Seconds, monkeypatch: pytest.MonkeyPatch
) -> None:
    bg.witness.caught, bg.witness.pause_s = True, 0.1
    await _at_work(bg, monkeypatch, _taken, rounds=2)
    seconds.pass_by(LATE_S + 1)
    bg.witness.caught = False
    assert not await _silent(bg)


async def test_what_the_hub_has_not_signed_is_no_answer(bg: Agent, seconds: Seconds) -> None:
    seconds.pass_by(LATE_S + 1)
    good = WitnessCheckpoint.from_bytes(HONEST.answer(0))
    head, _, signature = good.checkpoint.rstrip("\n").rpartition(" ")
    forged = f"{head} {signature[:20]}{'B' if signature[20] == 'A' else 'A'}{signature[21:]}\n"
    await tell(bg, good.model_copy(update={"checkpoint": forged}).to_bytes())
    await tell(bg, b"nothing of the kind")
    assert await _silent(bg)
    assert (await status(bg)).hub.newest is None
    await tell(bg, good.to_bytes())
    assert not await _silent(bg)


async def test_an_answer_to_an_older_question_is_none(bg: Agent, seconds: Seconds) -> None:
    await follow(bg, HONEST)
    bg.witness.canary.ask(bg.link.state)
    seconds.pass_by(LATE_S + 1)
    # Else a broker could play what it has kept for ever.
    await tell(bg, HONEST.answer(0))
    assert await _silent(bg)
    assert (await asks(bg)).old == 7


async def _taken(items: Sequence[Publication]) -> list[bool]:
    return [True] * len(items)


async def _never(_: Sequence[Publication]) -> list[bool]:
    await asyncio.Event().wait()
    return []


async def _refused(items: Sequence[Publication]) -> list[bool]:
    return [False] * len(items)


async def _at_work(bg: Agent, monkeypatch: pytest.MonkeyPatch, publish: object, rounds: float) -> None:
    """The witness asks over a link that publishes so, for some pauses."""
    monkeypatch.setattr(bg.link, "publish", publish)
    bg.link.up.set()
    working = asyncio.create_task(bg.witness.run(bg.box, bg.link))
    await asyncio.sleep(rounds * bg.witness.pause_s)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)


@pytest.mark.parametrize("publish", [_taken, _never, _refused])
async def test_a_question_is_unanswered_from_when_it_was_begun_whatever_the_broker_does(
    tmp_path: Path, seconds: Seconds, monkeypatch: pytest.MonkeyPatch, publish: object
) -> None:
    agent = await agent_of(BG, tmp_path)
    linked(agent)
    agent.witness.pause_s = 0.1
    assert (await status(agent)).hub.unanswered_s is None
    await _at_work(agent, monkeypatch, publish, rounds=4)
    seconds.pass_by(canary.LEAST_S + 1)
    assert await _silent(agent)
    agent.box.close()


async def test_the_api_and_the_command_line_say_when_it_answered(bg: Agent, seconds: Seconds) -> None:
    assert _told(await status(bg)) == "no answer yet since the agent was started"
    await follow(bg, HONEST)
    found = await status(bg)
    assert found.hub.newest is not None and abs(found.at - found.hub.newest) < 60_000
    assert found.described()["hub"]["unanswered_since"] is None
    assert _told(found) == f"answered {found.described()['hub']['answered']}"
    bg.witness.canary.ask(bg.link.state)
    seconds.pass_by(90)
    found = replace(await status(bg), at=90_000)
    assert found.described()["hub"]["unanswered_since"] == "1970-01-01T00:00:00.000Z"
    assert _told(found).startswith("DOES NOT ANSWER since 1970-01-01T00:00:00.000Z; answered 2")


async def test_the_doctor_asks_the_agent_whether_the_hub_answers(bg: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask_store(_: object, question: Any, *arguments: Any) -> Any:
        return await bg.box.run(question, *arguments)

    async def look_at(_: object, name: str) -> SimpleNamespace:
        return SimpleNamespace(queue=name, consumer_count=1, message_count=0)

    hub: dict[str, Any] = {"answered": "2099-01-01T00:00:00.000Z", "unanswered_since": None, "late": False}
    monkeypatch.setattr(doctor, "_ask_store", ask_store)
    monkeypatch.setattr(doctor, "_look_at", look_at)
    monkeypatch.setattr(doctor, "call", lambda *_: {"hub": hub})
    assert "newest word here is an answer of 2099" in await doctor._hub(bg.settings)
    hub |= {"answered": None, "unanswered_since": "2099-01-02T00:00:00.000Z", "late": True}
    with pytest.raises(HubSilent, match=r"has not answered .* since 2099-01-02.*newest word here is the roster"):
        await doctor._hub(bg.settings)


def _told(found: Status) -> str:
    return _answers(found.described()["hub"])
