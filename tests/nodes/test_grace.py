"""What the roster in force does not allow is not declined while another one, which may allow it, can still come."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import update

from crypto.envelope import seal
from crypto.trust import Trust
from nodes import histories, inbox, store
from nodes.agent import Agent
from nodes.hearing import GRACE_MS, PIECES_MS, Hearing
from nodes.link import LinkState
from nodes.receiving import Arrival
from schemas.control import MessageType
from schemas.roster import Roster
from tests.crypto.people import BG, NOW, RO, TR, routing
from tests.nodes.conftest import FAR
from tests.nodes.test_rosters import SECOND
from tests.nodes.twofaced import LONG, announced, listed
from tests.nodes.witnesses import agent_of, alarm_of, aside_of, follow, linked, tell

OUTSIDER = listed(TR).model_copy(update={"task_forces": ()})
WITHOUT = Roster(version=1, at=NOW, nodes=(listed(BG), listed(RO), OUTSIDER))


@pytest.fixture
async def bg(tmp_path: Path) -> AsyncIterator[Agent]:
    """Bulgaria's agent, long at work, with a message that only the next version allows, put aside long ago."""
    agent = await agent_of(BG, tmp_path)
    agent.trust = Trust.of(WITHOUT)
    await follow(agent, LONG)
    linked(agent)
    now = _now()
    route = routing("tr", ("bg",), created=now, expires=now + 3_600_000)
    envelope = seal(route, b'{"title": "a", "text": "b"}', {"bg": BG.encryption.public}, TR.signing)[1]
    await agent.box.run(agent.take_in, [Arrival(MessageType.ENVELOPE, envelope, 1)])
    await agent.box.run(lambda connection: connection.execute(update(store.quarantine).values(at=0)))
    yield agent
    agent.box.close()


def _now() -> int:
    return time.time_ns() // 1_000_000


async def _answers(agent: Agent) -> list[tuple[str, str | None]]:
    await agent.box.run(agent.decide)
    duties = await agent.box.run(inbox.duties, "bg", 10, FAR)
    return [(str(item.outcome), item.code) for duty in duties for item in duty.acknowledgement.items]


async def test_without_another_roster_it_is_declined(bg: Agent) -> None:
    assert await _answers(bg) == [("declined", "not_a_member")]


async def test_while_a_roster_waits_it_is_not_declined(bg: Agent) -> None:
    log = await announced(bg, SECOND)
    assert (await _answers(bg), await aside_of(bg)) == ([], ["not_a_member"])
    await follow(bg, log)
    assert (await _answers(bg), await aside_of(bg)) == ([("delivered", None)], [])


async def test_a_roster_that_waits_without_end_holds_up_nothing(bg: Agent) -> None:
    await announced(bg, SECOND)
    since = _now() - histories.WITHHELD_MS - GRACE_MS
    await bg.box.run(lambda connection: connection.execute(update(store.checkpoint).values(at=since)))
    assert await _answers(bg) == [("declined", "not_a_member")]


@pytest.mark.parametrize("up", [False, True])
async def test_before_the_link_can_have_brought_a_roster_it_is_not_declined(bg: Agent, up: bool) -> None:
    linked(bg, _now())
    if not up:
        bg.link._down("cut")
    assert (await _answers(bg), await aside_of(bg)) == ([], ["not_a_member"])
    linked(bg)
    assert await _answers(bg) == [("declined", "not_a_member")]


async def test_a_link_that_breaks_every_minute_holds_up_nothing_for_long(
    bg: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, step, begin = [_now()], 5_000, _now()
    monkeypatch.setattr("nodes.agent._now", lambda: clock[0])
    while clock[0] < begin + 3 * PIECES_MS:
        # Down for ten seconds, and up for fifty, which is never long enough.
        bg.link._down("cut")
        for _ in range(2):
            clock[0] += step
            assert await _answers(bg) == []
        linked(bg, clock[0])
        for _ in range(10):
            clock[0] += step
            if answers := await _answers(bg):
                assert answers == [("declined", "not_a_member")]
                assert PIECES_MS < clock[0] - begin < 2 * PIECES_MS
                return
    raise AssertionError("it is held for ever")


def test_an_hour_without_a_link_is_not_heard_and_the_next_minute_is() -> None:
    hearing, hour = Hearing(), 60 * GRACE_MS
    assert not any(hearing.heard(LinkState(False, 0, "cut"), now) for now in range(0, hour, 5_000))
    up = LinkState(True, hour, "")
    assert [hearing.heard(up, hour + after) for after in (0, 30_000, GRACE_MS - 1, GRACE_MS)] == [False] * 3 + [True]


def test_who_was_heard_in_pieces_is_until_the_piece_ends() -> None:
    hearing, piece, step = Hearing(), GRACE_MS - 10_000, 1_000
    heard = []
    for start in range(0, 3 * PIECES_MS, GRACE_MS):
        up = LinkState(True, start, "")
        heard.append([hearing.heard(up, now) for now in range(start, start + piece, step)])
        assert not hearing.heard(LinkState(False, start + piece, "cut"), start + piece)
    first = next(number for number, said in enumerate(heard) if any(said))
    begun = heard[first].index(True)
    assert all(heard[first][begun:]) and begun < len(heard[first]) - 1
    # Then ten minutes of pieces are needed again.
    assert not any(any(said) for said in heard[first + 1 : first + PIECES_MS // GRACE_MS])
    assert any(any(said) for said in heard[first + 1 :])


async def test_while_the_hub_is_not_trusted_it_is_not_declined(bg: Agent) -> None:
    key = histories.key_line(bytes(16))
    caught = histories.HubCaught(histories.KEY_FOREIGN, "a key", LONG.note, "", key)
    await bg.box.run(histories.raise_alarm, caught, _now())
    log = LONG.published(SECOND)
    await tell(bg, log.news(SECOND), MessageType.ROSTER)
    assert (await _answers(bg), await aside_of(bg)) == ([], ["not_a_member", histories.DISTRUSTED])
    alarm = await alarm_of(bg)
    assert alarm is not None
    assert await bg.box.run(histories.decide, alarm.number, "ours after all", _now())
    # The agent was stopped for it, and its link has come up again.
    linked(bg, _now())
    assert (await _answers(bg), await aside_of(bg)) == ([], ["not_a_member"])
    await follow(bg, log)
    assert await _answers(bg) == [("delivered", None)]
