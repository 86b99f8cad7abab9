"""A node goes on with another key of the hub when the old one hands over to it, and never otherwise."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from crypto.keys import SigningKey
from crypto.note import NoteSigner
from crypto.trust import sign_roster
from nodes import handovers, histories
from nodes.agent import Agent
from nodes.receiving import Arrival
from nodes.witness import describe, warnings
from schemas.control import MessageType
from schemas.handover import HandoverNews
from tests.crypto.handing import NEW, NEWER, OLD, THIEF, handover, told
from tests.crypto.people import BG, NOW
from tests.nodes.conftest import ORIGIN
from tests.nodes.twofaced import Log
from tests.nodes.witnesses import EVERYBODY, LOG, agent_of, alarm_of, aside_of, asks, tell

SECOND = EVERYBODY.model_copy(update={"version": 2})
# An honest hub's, before it has handed over.
BEGUN = Log().grow(10)


@dataclass(frozen=True)
class Step:
    """A handover: the ledger with its entry, signed by both keys, and what nodes are told of it."""

    log: Log
    news: bytes

    @property
    def after(self) -> Log:
        """The ledger from then on."""
        return replace(self.log, leaving=None)


def handed(log: Log, old: SigningKey = OLD, new: SigningKey = NEW, **changes: Any) -> Step:
    """Another key takes over at the end of that ledger."""
    fields = {"origin": ORIGIN, "size": len(log.entries), "root": log.checkpoint.root, "roster": 1}
    said = told(handover(old, new, **(fields | changes)), old, new)
    signers = {"signer": NoteSigner(ORIGIN, new), "leaving": NoteSigner(ORIGIN, old)}
    both = replace(log, entries=[*log.entries, said.entry], **signers)
    receipt = both.receipt(len(log.entries))
    return Step(both, HandoverNews(handover=said.signed, receipt=receipt, checkpoint=both.note).to_bytes())


STEP = handed(BEGUN)


async def hear(agent: Agent, body: bytes, kind: str = MessageType.HANDOVER) -> None:
    """Has it take that in."""
    await tell(agent, body, kind)


async def follow(agent: Agent, log: Log) -> None:
    """Has the hub answer what its witness asks, as far as it offers the ledger."""
    asked = await asks(agent)
    claims = [size for size in asked.claims if size <= len(log.entries)]
    await tell(agent, log.answer(asked.old, claims=claims))


@pytest.fixture
async def bg(tmp_path: Path) -> Agent:
    """Bulgaria's agent, which has followed the ledger before the handover."""
    agent = await agent_of(BG, tmp_path)
    await follow(agent, BEGUN)
    return agent


def test_the_key_of_these_tests_is_the_one_that_nodes_are_given() -> None:
    assert LOG.key == OLD.public


async def test_the_new_key_is_the_hub_s_once_the_tree_that_both_signed_is_linked(bg: Agent) -> None:
    await hear(bg, STEP.news)
    assert bg.hub.newest == LOG
    after = STEP.after.published(newer := sign_roster(SECOND, NEW))
    for kind, body in ((MessageType.ROSTER, after.news(newer)), (MessageType.RECEIPTS, after.grow(13).receipts(12))):
        await hear(bg, body, kind)
    assert await aside_of(bg) == [handovers.WAITING] * 2
    await follow(bg, STEP.log)
    assert bg.hub.newest.key == NEW.public
    assert await aside_of(bg) == []
    # And so is what it signs, from then on.
    await follow(bg, after.grow(13))
    assert bg.trust.roster.version == 2
    assert await alarm_of(bg) is None
    # The old one is known, for what is of its time.
    await hear(bg, BEGUN.receipts(3), MessageType.RECEIPTS)
    assert await alarm_of(bg) is None
    assert await bg.box.run(handovers.keys_of, LOG) == bg.hub
    assert (await asks(bg)).old == 13


async def test_a_handover_that_comes_again_changes_nothing(bg: Agent) -> None:
    for _ in range(2):
        await hear(bg, STEP.news)
    await follow(bg, STEP.log)
    await hear(bg, STEP.news)
    assert bg.hub.newest.key == NEW.public
    assert await alarm_of(bg) is None


async def test_what_the_old_key_signs_beyond_the_handover_is_an_alarm(bg: Agent) -> None:
    await hear(bg, STEP.news)
    await follow(bg, STEP.log)
    stolen = replace(STEP.after.grow(14, "forged"), signer=BEGUN.signer)
    await hear(bg, stolen.receipts(13), MessageType.RECEIPTS)
    alarm = await alarm_of(bg)
    assert alarm is not None
    assert alarm.code == histories.KEY_CHANGED


async def test_a_roster_of_the_old_key_beyond_the_handover_is_an_alarm(bg: Agent) -> None:
    await hear(bg, STEP.news)
    await follow(bg, STEP.log)
    forged = sign_roster(SECOND, OLD)
    await hear(bg, STEP.after.published(forged).news(forged), MessageType.ROSTER)
    alarm = await alarm_of(bg)
    assert alarm is not None
    assert alarm.code == histories.KEY_CHANGED


@pytest.mark.parametrize("linked", [False, True])
async def test_a_second_handover_by_the_same_key_is_a_fork(bg: Agent, linked: bool) -> None:
    await hear(bg, STEP.news)
    if linked:
        await follow(bg, STEP.log)
    await hear(bg, handed(BEGUN.up_to(8), new=THIEF).news)
    alarm = await alarm_of(bg)
    assert alarm is not None
    assert alarm.code == histories.FORKED
    # Both are kept.
    assert len(alarm.evidence) == 3
    assert bg.hub.newest.key == (NEW.public if linked else OLD.public)


async def test_a_new_key_without_a_handover_is_an_alarm(bg: Agent) -> None:
    await hear(bg, STEP.after.grow(12).receipts(11), MessageType.RECEIPTS)
    alarm = await alarm_of(bg)
    assert alarm is not None
    assert alarm.code == histories.KEY_CHANGED
    # It is one for good: the handover that comes later is not looked at.
    await hear(bg, STEP.news)
    assert bg.hub.newest == LOG


async def test_what_the_broker_gives_again_may_stand_before_the_handover_for_a_moment(
    bg: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = STEP.after.grow(12).receipts(11)
    await bg.box.run(bg.take_in, [Arrival(MessageType.RECEIPTS, body, 1, again=True)])
    assert await aside_of(bg) == [handovers.UNTOLD]
    assert await alarm_of(bg) is None
    monkeypatch.setattr(handovers, "GRACE_MS", -1)
    await bg.box.run(bg.decide)
    alarm = await alarm_of(bg)
    assert alarm is not None
    assert alarm.code == histories.KEY_CHANGED


async def test_a_handover_that_comes_in_that_moment_is_in_time(bg: Agent) -> None:
    body = STEP.after.grow(12).receipts(11)
    await bg.box.run(bg.take_in, [Arrival(MessageType.RECEIPTS, body, 1, again=True)])
    await hear(bg, STEP.news)
    await follow(bg, STEP.log)
    assert await aside_of(bg) == []
    assert await alarm_of(bg) is None


@pytest.mark.parametrize(
    "sent",
    [
        handed(BEGUN, old=THIEF),
        replace(STEP, news=HandoverNews.from_bytes(STEP.news).model_copy(update={"checkpoint": BEGUN.note}).to_bytes()),
    ],
)
async def test_a_handover_that_is_not_the_hub_s_changes_nothing(bg: Agent, sent: Step) -> None:
    await hear(bg, sent.news)
    assert await bg.box.run(handovers.waiting) == ()
    await follow(bg, BEGUN.grow(20))
    assert bg.hub.newest == LOG
    # Nor does it let anything in that its new key has signed.
    await hear(bg, STEP.after.grow(12).receipts(11), MessageType.RECEIPTS)
    assert await alarm_of(bg) is not None


async def test_a_handover_in_another_history_never_is_in_force(bg: Agent) -> None:
    forked = handed(Log().grow(12, "forked"), new=THIEF)
    await hear(bg, forked.news)
    await follow(bg, BEGUN.grow(20))
    assert bg.hub.newest == LOG
    alarm = await alarm_of(bg)
    assert alarm is None or alarm.code in (histories.FORKED, histories.REWRITTEN)
    await follow(bg, BEGUN.grow(21))
    # The hub cannot prove it, and says so or withholds it.
    state = await bg.box.run(describe, ORIGIN, None, None, 1 << 50)
    assert await alarm_of(bg) is not None or any("another key of the hub waits" in line for line in warnings(state))


async def test_a_handover_behind_less_than_the_old_key_has_signed_is_a_fork(bg: Agent) -> None:
    await hear(bg, handed(BEGUN.up_to(7), new=THIEF).news)
    alarm = await alarm_of(bg)
    assert alarm is not None
    assert alarm.code == histories.FORKED
    assert bg.hub.newest == LOG


async def test_a_handover_that_takes_back_a_roster_is_a_fork(bg: Agent) -> None:
    newer = sign_roster(SECOND, OLD)
    log = BEGUN.published(newer)
    await hear(bg, log.news(newer), MessageType.ROSTER)
    await hear(bg, handed(log).news)
    alarm = await alarm_of(bg)
    assert alarm is not None
    assert alarm.code == histories.FORKED


async def test_a_node_that_was_away_comes_through_several_handovers(bg: Agent) -> None:
    again = handed(STEP.after.grow(20), NEW, NEWER)
    for step in (STEP, again):
        await hear(bg, step.news)
    newer = sign_roster(SECOND, NEWER)
    after = again.after.published(newer)
    await hear(bg, after.news(newer), MessageType.ROSTER)
    assert await aside_of(bg) == [handovers.WAITING]
    await follow(bg, STEP.log)
    assert bg.hub.newest.key == NEW.public
    await follow(bg, again.log)
    assert bg.hub.newest.key == NEWER.public
    await follow(bg, after)
    assert bg.trust.roster.version == 2
    assert await alarm_of(bg) is None


async def test_who_joined_later_learns_of_the_keys_before(bg: Agent) -> None:
    again = handed(STEP.after.grow(20), NEW, NEWER)
    # As if it had been given the newest one.
    bg._pinned = NoteSigner(ORIGIN, NEWER).verifier
    bg._go_by(bg.trust, await bg.box.run(handovers.keys_of, bg._pinned))
    for step in (STEP, again):
        await hear(bg, step.news)
    assert [term.key.key for term in bg.hub.terms] == [OLD.public, NEW.public, NEWER.public]
    assert await aside_of(bg) == []
    await hear(bg, BEGUN.receipts(3), MessageType.RECEIPTS)
    assert await alarm_of(bg) is None


async def test_what_the_old_key_signs_while_a_handover_waits_is_held_against_it(bg: Agent) -> None:
    await hear(bg, STEP.news)
    forged = sign_roster(SECOND, OLD)
    stolen = BEGUN.up_to(9).published(forged)
    await hear(bg, stolen.news(forged), MessageType.ROSTER)
    await follow(bg, STEP.log)
    alarm = await alarm_of(bg)
    assert alarm is not None
    assert alarm.code in (histories.FORKED, histories.REWRITTEN)


async def test_a_handover_that_comes_while_the_hub_is_not_trusted_is_taken_in_afterwards(bg: Agent) -> None:
    await hear(bg, Log().grow(10, "forked").receipts(9), MessageType.RECEIPTS)
    alarm = await alarm_of(bg)
    assert alarm is not None
    await hear(bg, STEP.news)
    await hear(bg, STEP.after.grow(12).receipts(11), MessageType.RECEIPTS)
    assert (await aside_of(bg))[1:] == [histories.DISTRUSTED] * 2
    assert await bg.box.run(histories.decide, alarm.number, "explained by telephone", NOW)
    await bg.box.run(bg.decide)
    await follow(bg, STEP.log)
    assert bg.hub.newest.key == NEW.public
    assert (await aside_of(bg))[1:] == []
    assert await alarm_of(bg) is None
