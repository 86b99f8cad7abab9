"""A hub that signs two rosters of one version: to deceive, or because it lost the first one with a backup."""

import base64
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from crypto.trust import open_roster
from nodes import evidence, histories, rosters
from nodes.agent import Agent
from schemas.control import MessageType
from schemas.roster import RosterNews
from tests.crypto.people import BG, HUB, NOW, RO, TR, roster_key
from tests.nodes.conftest import FAR
from tests.nodes.test_rosters import FIRST, SECOND, THIRD, XX, _signed, _with
from tests.nodes.twofaced import LONG, Log, announced, in_force, listed
from tests.nodes.witnesses import agent_of, alarm_of, aside_of, asks, follow, tell

ANOTHER_SECOND, ANOTHER_THIRD = (_signed(version, listed(BG), listed(RO)) for version in (2, 3))


@pytest.fixture
async def bg(tmp_path: Path) -> AsyncIterator[Agent]:
    """Bulgaria's agent, which has version 1."""
    agent = await agent_of(BG, tmp_path)
    yield agent
    agent.box.close()


async def _accept(agent: Agent) -> None:
    """An operator lets go of what the hub signed before; the agent is started anew."""
    alarm = await alarm_of(agent)
    assert alarm is not None
    assert await agent.box.run(histories.decide, alarm.number, "restored from a backup, says Bucharest", NOW)
    agent.witness.caught = False


async def _stands(agent: Agent) -> tuple[int, tuple[int, ...], int | None]:
    """The version in force, those that wait, and after which one the hub is asked."""
    return agent.trust.roster.version, await agent.box.run(rosters.waiting), (await asks(agent)).roster


async def test_another_roster_of_a_version_in_force_or_waiting_is_an_alarm(bg: Agent, tmp_path: Path) -> None:
    for waits in (False, True):
        agent = bg if waits else await agent_of(RO, tmp_path)
        log = await (announced if waits else in_force)(agent, SECOND)
        log = log.published(ANOTHER_SECOND)
        await tell(agent, log.news(ANOTHER_SECOND), MessageType.ROSTER)
        alarm = await alarm_of(agent)
        assert alarm is not None
        assert (alarm.code, "version 2" in alarm.detail, agent.witness.caught) == (histories.ROSTER_FORKED, True, True)
        # What an operator can show: two rosters with the hub's signature.
        note, known, news = alarm.evidence
        other = RosterNews.from_bytes(base64.b64decode(news))
        assert (base64.b64decode(known), other.roster, other.checkpoint) == (SECOND, ANOTHER_SECOND, note)
        assert open_roster(other.roster, HUB.signing.public).version == 2
        assert await agent.box.run(rosters.in_force) == (1 if waits else 2)
        if not waits:
            agent.box.close()


async def test_what_no_node_sees_by_itself_shows_in_the_digests(bg: Agent, tmp_path: Path) -> None:
    ro, log = await agent_of(RO, tmp_path), LONG.published(SECOND, ANOTHER_SECOND)
    for agent, signed in ((bg, SECOND), (ro, ANOTHER_SECOND)):
        await tell(agent, log.news(signed), MessageType.ROSTER)
        await follow(agent, log.grow(1100))
        assert await agent.box.run(rosters.in_force) == 2
    assert [await alarm_of(agent) for agent in (bg, ro)] == [None, None]
    digests = [(await agent.box.run(rosters.describe, agent.trust))["digest"] for agent in (bg, ro)]
    # As their entries in the ledger name them.
    assert digests == [hashlib.sha256(signed).hexdigest() for signed in (SECOND, ANOTHER_SECOND)]
    ro.box.close()


async def test_a_foreign_key_is_seen_in_an_older_version_too(bg: Agent) -> None:
    log = await in_force(bg, SECOND, THIRD)
    assert bg.trust.roster.version == 3
    for signed in (FIRST, SECOND, THIRD):
        await tell(bg, log.published(signed).news(signed), MessageType.ROSTER)
    assert (await alarm_of(bg), await aside_of(bg)) == (None, [])
    evil = _signed(2, *_with(roster_key(XX.encryption, end=FAR)))
    await tell(bg, log.published(evil).news(evil), MessageType.ROSTER)
    alarm = await alarm_of(bg)
    assert alarm is not None
    assert alarm.code == histories.KEY_FOREIGN


async def test_another_one_of_a_version_that_was_passed_over_is_an_alarm(bg: Agent) -> None:
    without = _signed(2, listed(RO), listed(TR))
    log = await in_force(bg, without, THIRD)
    assert bg.trust.roster.version == 3
    await tell(bg, log.published(SECOND).news(SECOND), MessageType.ROSTER)
    alarm = await alarm_of(bg)
    assert alarm is not None
    assert alarm.code == histories.ROSTER_FORKED


async def test_a_roster_that_was_lost_while_it_waited_does_not_block_the_one_in_its_place(bg: Agent) -> None:
    await follow(bg, LONG.up_to(900))
    await announced(bg, SECOND)
    new = LONG.up_to(950).grow(960, "restored").published(ANOTHER_SECOND, ANOTHER_THIRD)
    await tell(bg, new.news(ANOTHER_SECOND), MessageType.ROSTER)
    await _accept(bg)
    assert await _stands(bg) == (1, (), 1)
    for signed in (ANOTHER_SECOND, ANOTHER_THIRD):
        await tell(bg, new.news(signed), MessageType.ROSTER)
    await follow(bg, new.grow(1100))
    assert (await _stands(bg), await alarm_of(bg), await aside_of(bg)) == ((3, (), 3), None, [])


async def _restored(agent: Agent, *lost: bytes) -> Log:
    """The log of a hub that lost these rosters, which were in force, after the operator has accepted it."""
    await in_force(agent, *lost)
    new = LONG.up_to(900).grow(1200, "restored")
    await follow(agent, new)
    await _accept(agent)
    return new


async def test_a_hub_that_was_restored_may_use_the_lost_versions_again(bg: Agent) -> None:
    log = await _restored(bg, SECOND, THIRD)
    fourth = _signed(4)
    for signed in (ANOTHER_SECOND, ANOTHER_THIRD, fourth):
        await in_force(bg, signed, log=log)
        log = log.published(signed)
        assert await alarm_of(bg) is None
    assert await _stands(bg) == (4, (), 4)
    # What was in force is there for who is shown messages of that time, and the new history binds the hub again.
    assert set(await bg.box.run(evidence._rosters)) == {1, 2, 3, 4}
    another = _signed(4, listed(BG), listed(RO))
    await tell(bg, log.published(another).news(another), MessageType.ROSTER)
    alarm = await alarm_of(bg)
    assert alarm is not None
    assert alarm.code == histories.ROSTER_FORKED


async def test_a_foreign_key_in_the_place_of_a_lost_roster_is_an_alarm(bg: Agent) -> None:
    log = await _restored(bg, SECOND)
    evil = _signed(2, *_with(roster_key(XX.encryption, end=FAR)))
    await tell(bg, log.published(evil).news(evil), MessageType.ROSTER)
    alarm = await alarm_of(bg)
    assert alarm is not None
    assert alarm.code == histories.KEY_FOREIGN


async def test_a_lost_roster_that_was_put_aside_does_not_come_back(bg: Agent) -> None:
    await follow(bg, LONG)
    await announced(bg, SECOND, _signed(3, listed(RO), listed(TR)))
    assert await aside_of(bg) == ["key_unknown"]
    new = LONG.up_to(900).grow(1200, "restored")
    await follow(bg, new.up_to(950))
    await _accept(bg)
    assert await aside_of(bg) == [histories.ROLLED_BACK]
    await in_force(bg, ANOTHER_SECOND, log=new)
    for size in (1300, 1400):
        await follow(bg, new.published(ANOTHER_SECOND).grow(size))
    assert (await _stands(bg), await alarm_of(bg)) == ((2, (), 2), None)
