"""A roster that a node cannot read, of a newer program say, is asked for ever more seldom, and people are told."""

from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest

from nodes import rosters, witness
from nodes.agent import Agent
from nodes.rosters import Asking
from nodes.status import witness_of
from schemas.control import MessageType
from tests.crypto.people import BG
from tests.nodes.test_rosters import FOURTH, SECOND, THIRD
from tests.nodes.twofaced import LONG
from tests.nodes.witnesses import agent_of, aside_of, asks, follow, tell


@pytest.fixture
async def bg(tmp_path: Path) -> AsyncIterator[Agent]:
    """Bulgaria's agent, which has version 1."""
    agent = await agent_of(BG, tmp_path)
    yield agent
    agent.box.close()


def test_the_same_is_asked_after_pauses_that_double_up_to_ten_minutes() -> None:
    asking, now, asked = Asking(), 0.0, list[float]()
    while len(asked) < 8:
        if asking.after(4, now) is not None:
            asked.append(now)
            # All of an answer; the first one counts.
            for _ in range(4):
                asking.fail(now)
        now += 1
    pauses = [later - before for before, later in pairwise(asked)]
    assert pauses == [20, 40, 80, 160, 320, 600, 600]
    assert asking.unread
    # What advances is asked for at once, and the pauses begin anew.
    assert asking.after(5, now) == 5
    assert not asking.unread
    asking.fail(now)
    assert (asking.after(5, now + 19), asking.after(5, now + 20)) == (None, 5)


async def test_a_version_that_cannot_be_read_is_not_sent_again_with_each_answer(bg: Agent) -> None:
    log = LONG.published(SECOND, THIRD, FOURTH)
    bad = log.news(SECOND)[:-1] + b"\x00"
    assert (await asks(bg)).roster == 1
    for body in (bad, log.news(THIRD), log.news(FOURTH)):
        await tell(bg, body, MessageType.ROSTER)
    assert (await aside_of(bg), (await asks(bg)).roster) == (["note_invalid"], None)
    assert any("after version 1 " in words for words in witness.warnings(await witness_of(bg)))
    # Once it is whole all goes on.
    await tell(bg, log.news(SECOND), MessageType.ROSTER)
    assert (await asks(bg)).roster == 4
    await follow(bg, log)
    assert (bg.trust.roster.version, await bg.box.run(rosters.waiting)) == (4, ())
    assert witness.warnings(await witness_of(bg)) == []
