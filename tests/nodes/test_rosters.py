"""Rosters reach a node with the proof that they are in the ledger: of an honest hub, and of one that lies."""

import asyncio
import base64
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from crypto.errors import RosterUnlogged
from crypto.note import NoteSigner, open_note
from crypto.rosternews import open_news
from crypto.trust import Trust, sign_roster
from nodes import evidence, histories, rosters, store, witness
from nodes.agent import Agent
from nodes.publishing import Publication
from nodes.receiving import Arrival
from nodes.store import Store
from schemas.control import MessageType
from schemas.roster import Roster, RosterKey, RosterNews, RosterNode
from schemas.witnessing import CheckpointRequest
from tests.crypto.people import BG, HUB, NOW, RO, TR, person, roster_key
from tests.nodes.conftest import FAR, ORIGIN, entry, roster
from tests.nodes.twofaced import LONG, Log, announced, cosigner, in_force, listed
from tests.nodes.witnesses import EVERYBODY, FIRST, LOG, agent_of, alarm_of, aside_of, asks, follow, tell

PATIENCE_S = 30
XX = person("xx")


def _signed(version: int, *nodes: RosterNode, by: Any = HUB) -> bytes:
    everybody = nodes or EVERYBODY.nodes
    return sign_roster(Roster(version=version, at=NOW, nodes=everybody), by.signing)


SECOND, THIRD, FOURTH = (_signed(version) for version in (2, 3, 4))


def _with(*keys: RosterKey) -> tuple[RosterNode, ...]:
    """Everybody, and Bulgaria with these keys too."""
    mine = listed(BG)
    return (mine.model_copy(update={"keys": (*mine.keys, *keys)}), listed(RO), listed(TR))


@pytest.fixture
async def bg(tmp_path: Path) -> AsyncIterator[Agent]:
    """Bulgaria's agent, which has version 1."""
    agent = await agent_of(BG, tmp_path)
    yield agent
    agent.box.close()


async def _waiting(agent: Agent) -> tuple[int, ...]:
    return await agent.box.run(rosters.waiting)


async def test_a_roster_is_in_force_once_its_checkpoint_is_linked_to_what_is_followed(bg: Agent) -> None:
    log = await announced(bg, SECOND)
    assert (bg.trust.roster.version, await _waiting(bg)) == (1, (2,))
    assert await bg.box.run(rosters.newest) == FIRST
    asked = await asks(bg)
    assert (asked.claims, asked.roster) == ((1001,), 2)
    # An answer that does not link it changes nothing.
    await tell(bg, log.up_to(1000).answer(0))
    assert bg.trust.roster.version == 1
    await follow(bg, log.grow(2000))
    assert (bg.trust.roster.version, await _waiting(bg)) == (2, ())
    assert await bg.box.run(rosters.newest) == SECOND
    assert (await aside_of(bg), await alarm_of(bg)) == ([], None)


async def test_a_checkpoint_that_is_followed_already_needs_no_link(bg: Agent) -> None:
    log = LONG.published(SECOND)
    await follow(bg, log)
    await tell(bg, log.news(SECOND), MessageType.ROSTER)
    assert (bg.trust.roster.version, await _waiting(bg)) == (2, ())


async def test_versions_come_into_force_in_their_order(bg: Agent) -> None:
    log = LONG.published(SECOND, THIRD, FOURTH)
    for signed in (FOURTH, THIRD):
        await tell(bg, log.news(signed), MessageType.ROSTER)
    await follow(bg, log)
    # Linked both; the one before them is missing, and is what the hub is asked for.
    assert (bg.trust.roster.version, await _waiting(bg), (await asks(bg)).roster) == (1, (3, 4), 1)
    await tell(bg, log.news(SECOND), MessageType.ROSTER)
    assert (bg.trust.roster.version, await _waiting(bg), (await asks(bg)).roster) == (4, (), 4)
    for signed in (FIRST, SECOND, FOURTH):
        log = log.published(signed)
        await tell(bg, log.news(signed), MessageType.ROSTER)
    assert (bg.trust.roster.version, await _waiting(bg)) == (4, ())
    assert await aside_of(bg) == []


async def test_more_than_the_hub_links_at_once_come_one_after_another(bg: Agent) -> None:
    later = [_signed(version) for version in range(2, 12)]
    log = await announced(bg, *later)
    for version in (5, 9, 11):
        await follow(bg, log)
        assert bg.trust.roster.version == version


async def test_another_agent_on_the_same_store_goes_on(bg: Agent, tmp_path: Path) -> None:
    log = await announced(bg, SECOND, THIRD)
    bg.box.close()
    again = await agent_of(BG, tmp_path)
    try:
        assert (again.trust.roster.version, await _waiting(again), (await asks(again)).roster) == (1, (2, 3), 3)
        await follow(again, log)
        assert again.trust.roster.version == 3
    finally:
        again.box.close()
    third = await agent_of(BG, tmp_path)
    third.box.close()
    assert third.trust.roster.version == 3


UNPROVEN: dict[str, tuple[bytes, str]] = {
    "as it was before proofs": (SECOND, "control_malformed"),
    "altered": (SECOND[:-1] + bytes([SECOND[-1] ^ 1]), "signature_invalid"),
    "with the proof of another roster": (THIRD, "roster_unlogged"),
    "with the proof of another roster of its version": (_signed(2, listed(BG), listed(RO)), "roster_unlogged"),
}


@pytest.mark.parametrize("lie", UNPROVEN)
async def test_a_roster_without_its_proof_is_put_aside(bg: Agent, lie: str) -> None:
    signed, code = UNPROVEN[lie]
    log = LONG.published(SECOND)
    news = RosterNews.from_bytes(log.news(SECOND))
    body = signed if code == "control_malformed" else news.model_copy(update={"roster": signed}).to_bytes()
    await tell(bg, body, MessageType.ROSTER)
    await follow(bg, log)
    assert (bg.trust.roster.version, await _waiting(bg)) == (1, ())
    assert (await aside_of(bg), await alarm_of(bg)) == ([code], None)


async def test_a_proof_of_something_else_or_of_another_log_is_none(bg: Agent) -> None:
    log = LONG.published(SECOND)
    news, other = RosterNews.from_bytes(log.news(SECOND)), log.receipt(7)
    elsewhere = replace(log.receipt(1000), index=999)
    foreign = Log(log.entries, NoteSigner("another.example/ledger", HUB.signing)).note
    for changes in ({"receipt": other}, {"receipt": elsewhere}, {"checkpoint": LONG.note}, {"checkpoint": foreign}):
        await tell(bg, news.model_copy(update=changes).to_bytes(), MessageType.ROSTER)
    assert await aside_of(bg) == ["roster_unlogged", "proof_invalid", "proof_invalid", "note_invalid"]
    assert (await _waiting(bg), await alarm_of(bg)) == ((), None)
    with pytest.raises(RosterUnlogged, match="entry 7"):
        open_news(news.model_copy(update={"receipt": other}), HUB.signing.public, ORIGIN, LOG)


async def test_a_roster_or_checkpoint_by_another_key_is_an_alarm(bg: Agent, tmp_path: Path) -> None:
    theirs = _signed(2, by=RO)
    log = LONG.published(theirs)
    await tell(bg, log.news(theirs), MessageType.ROSTER)
    alarm = await alarm_of(bg)
    assert alarm is not None
    assert (alarm.code, bg.trust.roster.version, await _waiting(bg)) == (histories.KEY_CHANGED, 1, ())
    tr = await agent_of(TR, tmp_path)
    log = Log(LONG.published(SECOND).entries, NoteSigner(ORIGIN, RO.signing))
    await tell(tr, log.news(SECOND), MessageType.ROSTER)
    alarm = await alarm_of(tr)
    tr.box.close()
    assert alarm is not None
    assert alarm.code == histories.KEY_CHANGED


async def test_a_roster_of_another_history_never_comes_into_force(bg: Agent) -> None:
    await follow(bg, LONG)
    aside = LONG.up_to(900).grow(1100, "other").published(SECOND)
    await tell(bg, aside.news(SECOND), MessageType.ROSTER)
    # The hub says nothing of it: then that is what the node tells its people.
    for size in (1200, 1300):
        asked = await asks(bg)
        assert asked.claims == (1101,)
        await tell(bg, LONG.grow(size).answer(asked.old))
    assert bg.trust.roster.version == 1
    state = await bg.box.run(witness.describe, ORIGIN, None, None, FAR)
    assert (state["withheld"], state["roster_overdue"]) == (1101, 2)
    assert any("version 2 of the roster" in words for words in witness.warnings(state))
    # Or it tries to prove it.
    await follow(bg, LONG.grow(1400))
    alarm = await alarm_of(bg)
    assert alarm is not None
    assert (alarm.code, bg.trust.roster.version) == (histories.REWRITTEN, 1)


async def test_two_nodes_shown_two_rosters_of_one_version_find_out_through_their_cosignatures(
    bg: Agent, tmp_path: Path
) -> None:
    ro = await agent_of(RO, tmp_path)
    for agent, signed in ((bg, SECOND), (ro, _signed(2, listed(BG), listed(RO)))):
        await in_force(agent, signed)
        assert (agent.trust.roster.version, await alarm_of(agent)) == (2, None)
    owed = await ro.box.run(histories.unsent)
    ro.box.close()
    assert owed is not None
    await follow(bg, LONG.published(SECOND).grow(1100), others=[owed[1]])
    alarm = await alarm_of(bg)
    assert alarm is not None
    assert alarm.code == histories.FORKED
    assert cosigner("ro").verifier.name in "".join(alarm.evidence)


FOREIGN: dict[str, RosterKey] = {
    "a second key to seal to": roster_key(XX.encryption, end=FAR),
    "a second key to sign with": roster_key(XX.signing, end=FAR),
    "another's witness key": listed(TR, witness="xx").keys[-1],
    "under the id of its own key": roster_key(XX.encryption).model_copy(update={"kid": BG.encryption.public.key_id}),
}


@pytest.mark.parametrize("kind", FOREIGN)
async def test_a_key_that_the_node_did_not_make_is_an_alarm_at_once(bg: Agent, kind: str) -> None:
    await follow(bg, LONG)
    signed = _signed(2, *_with(FOREIGN[kind]))
    log = await announced(bg, signed)
    alarm = await alarm_of(bg)
    assert alarm is not None
    assert (alarm.code, bg.trust.roster.version, await _waiting(bg)) == (histories.KEY_FOREIGN, 1, ())
    assert "version 2" in alarm.detail
    assert f"{FOREIGN[kind].use} " in alarm.detail
    assert bg.witness.caught
    assert await aside_of(bg) == [histories.KEY_FOREIGN]
    # What an operator can show: the roster with the hub's signature, and where it stands in the hub's ledger.
    note, news, *keys = alarm.evidence
    assert open_note(note, LOG) == log.checkpoint.text()
    assert RosterNews.from_bytes(base64.b64decode(news)).roster == signed
    assert len(keys) == 1 and keys[0].removeprefix("key ") in alarm.detail


async def test_a_key_that_the_operator_knows_is_the_node_s_own_from_then_on(bg: Agent, tmp_path: Path) -> None:
    await follow(bg, LONG)
    signed = _signed(2, *_with(FOREIGN["another's witness key"]))
    log = await announced(bg, signed)
    alarm = await alarm_of(bg)
    assert alarm is not None
    assert await bg.box.run(histories.decide, alarm.number, "of the machine we had before", NOW)
    # The key is known, and what the hub has signed still binds it.
    assert (await asks(bg)).old == 1000
    assert await bg.box.run(histories.forgiven_until) == 0
    await in_force(bg, signed)
    assert bg.trust.roster.version == 2
    assert await alarm_of(bg) is None
    more = _signed(3, *_with(FOREIGN["another's witness key"], FOREIGN["a second key to seal to"]))
    await announced(bg, more, log=log)
    assert await alarm_of(bg) is not None


async def test_an_alarm_about_a_key_is_not_accepted_along_with_another(bg: Agent) -> None:
    caught = histories.HubCaught(histories.ROLLED_BACK, "it went back", LONG.note)
    await bg.box.run(histories.raise_alarm, caught, NOW)
    kid = XX.signing.public.key_id
    foreign = histories.HubCaught(histories.KEY_FOREIGN, "a key", LONG.note, "", histories.key_line(kid))
    await bg.box.run(histories.raise_alarm, foreign, NOW)
    first = await alarm_of(bg)
    assert first is not None
    assert await bg.box.run(histories.decide, first.number, "restored from a backup", NOW)
    second = await alarm_of(bg)
    assert second is not None
    assert second.code == histories.KEY_FOREIGN
    known = select(store.own_key.c.kid)
    assert kid not in await bg.box.run(lambda c: list(c.execute(known).scalars()))
    assert await bg.box.run(histories.decide, second.number, "ours", NOW)
    assert kid in await bg.box.run(lambda c: list(c.execute(known).scalars()))


async def test_a_roster_without_the_node_s_own_keys_is_passed_over(bg: Agent) -> None:
    without = _signed(2, listed(RO), listed(TR))
    log = await announced(bg, without)
    assert await aside_of(bg) == ["key_unknown"]
    await follow(bg, log)
    assert (bg.trust.roster.version, await alarm_of(bg)) == (1, None)
    # It is not asked for again, and told again without effect.
    assert (await asks(bg)).roster == 2
    await tell(bg, log.news(without), MessageType.ROSTER)
    assert await aside_of(bg) == ["key_unknown"]
    state = await bg.box.run(witness.describe, ORIGIN, None, None, FAR)
    assert state["roster_overdue"] == 2
    log = log.published(THIRD)
    await tell(bg, log.news(THIRD), MessageType.ROSTER)
    await follow(bg, log)
    assert (bg.trust.roster.version, await _waiting(bg)) == (3, ())
    assert await aside_of(bg) == []
    table = store.roster.c
    kept = await bg.box.run(lambda c: c.execute(select(table.version).where(table.size.is_(None))).scalars().all())
    assert sorted(kept) == [1, 3]


async def test_a_roster_with_a_key_that_is_none_is_passed_over(bg: Agent) -> None:
    broken = entry(RO).model_copy(update={"keys": (roster_key(RO.signing).model_copy(update={"kid": bytes(16)}),)})
    log = await announced(bg, _signed(2, listed(BG), broken), THIRD)
    assert await aside_of(bg) == ["key_unusable"]
    await follow(bg, log)
    assert (bg.trust.roster.version, await alarm_of(bg)) == (3, None)


async def test_an_operator_s_decision_lets_go_of_what_waits_in_the_old_history(bg: Agent) -> None:
    await follow(bg, LONG)
    await announced(bg, SECOND)
    other = LONG.up_to(900).grow(1200, "other")
    await follow(bg, other)
    alarm = await alarm_of(bg)
    assert alarm is not None
    # While the hub is not trusted a roster is put aside, whatever it is.
    await tell(bg, other.published(THIRD).news(THIRD), MessageType.ROSTER)
    assert (await aside_of(bg))[-1:] == [histories.DISTRUSTED]
    assert await bg.box.run(histories.decide, alarm.number, "restored, says Bucharest", NOW)
    assert histories.DISTRUSTED not in await aside_of(bg)
    assert (await _waiting(bg), (await asks(bg)).roster) == ((), 1)
    await in_force(bg, SECOND, log=other)
    assert (bg.trust.roster.version, await alarm_of(bg)) == (2, None)


async def test_a_store_of_version_5_goes_on_with_the_rosters_that_it_has(agent: Agent, tmp_path: Path) -> None:
    agent.box.close()
    with closing(sqlite3.connect(tmp_path / "old.db")) as database:
        database.executescript((Path(__file__).parent / "store_5.sql").read_text())
    agent = replace(agent, box=Store.open(tmp_path / "old.db", bytes(32)))
    try:
        await agent.box.run(rosters.remember_keys, [BG.signing.public.key_id, BG.encryption.public.key_id])
        assert (await agent.box.run(rosters.in_force), (await asks(agent)).roster) == (5, 5)
        log = await announced(agent, sign_roster(roster(6, RO, BG, TR), HUB.signing))
        assert set(await agent.box.run(evidence._rosters)) == {3, 5}
        await follow(agent, log)
        assert agent.trust.roster.version == 6
        assert set(await agent.box.run(evidence._rosters)) == {3, 5, 6}
    finally:
        agent.box.close()


async def test_a_node_whose_roster_has_no_witness_follows_and_takes_rosters_too(bg: Agent) -> None:
    bg.trust = Trust.of(Roster(version=1, at=NOW, nodes=(entry(BG), entry(RO))))
    await in_force(bg, _signed(2, entry(BG), entry(RO)))
    assert bg.trust.roster.version == 2


async def test_the_hub_is_asked_at_once_when_a_roster_waits_and_once_for_each_step(
    bg: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an hour between two questions, only a roster's coming can be why it asks again."""
    asked: asyncio.Queue[CheckpointRequest] = asyncio.Queue()
    coming: asyncio.Queue[Arrival] = asyncio.Queue()
    taken: asyncio.Queue[int] = asyncio.Queue()

    async def publish(items: Sequence[Publication]) -> list[bool]:
        for item in items:
            if item.type == MessageType.CHECKPOINT_REQUEST:
                asked.put_nowait(CheckpointRequest.from_bytes(item.body))
        return [True] * len(items)

    async def stay_up() -> None:
        bg.link.up.set()
        await asyncio.Event().wait()

    async def batch(_most: int, _patience: float) -> list[Arrival]:
        return [await coming.get()]

    async def acknowledge(batch: Sequence[Arrival]) -> None:
        taken.put_nowait(len(batch))

    for name, double in (("publish", publish), ("run", stay_up), ("batch", batch), ("acknowledge", acknowledge)):
        monkeypatch.setattr(bg.link, name, double)
    monkeypatch.setattr(witness, "HURRY_S", 0.1)
    bg.witness.pause_s = 3600
    log = LONG.published(SECOND, THIRD)
    working = asyncio.create_task(bg.run())

    async def question() -> CheckpointRequest:
        return await asyncio.wait_for(asked.get(), PATIENCE_S)

    assert (await question()).roster == 1
    # The hub has announced the newest; the one before it was missed.
    coming.put_nowait(Arrival(MessageType.ROSTER, log.news(THIRD), 1))
    step = await question()
    assert (step.roster, step.claims) == (1, (1002,))
    coming.put_nowait(Arrival(MessageType.CHECKPOINT, log.answer(step.old, claims=step.claims), 2))
    coming.put_nowait(Arrival(MessageType.ROSTER, LONG.published(SECOND).news(SECOND), 3))
    step = await question()
    assert (step.old, step.roster, step.claims) == (1002, 3, (1001,))
    coming.put_nowait(Arrival(MessageType.CHECKPOINT, log.answer(step.old, claims=step.claims), 4))
    for _ in range(4):
        await asyncio.wait_for(taken.get(), PATIENCE_S)
    assert (bg.trust.roster.version, asked.empty()) == (3, True)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
