"""A hub with bad intent plays with rosters: whom it deceives notices, by what the others sign, and names it.

What one node notices alone (a key under its name that it did not make, two rosters of one version) is in
`test_rosters` and `test_two_rosters`.
"""

import hashlib
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from crypto.envelope import digest_of, open_envelope, verify
from crypto.errors import SignatureInvalid
from crypto.trust import open_acknowledgement, sign_roster
from nodes import cli_read, hearsay, histories, inbox, notices, outbox, witness
from nodes.acknowledging import acknowledging
from nodes.agent import Agent
from nodes.outgoing import Outgoing
from schemas.control import Entry, Event, MessageType, Outcome, Receipts
from schemas.policy import Effect, Policy, PolicyRule, Suspension, default_rules
from schemas.roster import Roster, RosterNode
from tests.crypto.people import BG, HUB, NOW, RO, TR, person, roster_key
from tests.nodes.conftest import FAR, ORIGIN
from tests.nodes.twofaced import LONG, Log, announced, in_force, listed
from tests.nodes.witnesses import EVERYBODY, agent_of, alarm_of, follow, tell

XX = person("xx")
GRACE_MS = histories.WITHHELD_MS + 60_000
BODY = {"title": "a lorry", "text": "white, with a trailer"}


def _signed(version: int, *nodes: RosterNode) -> bytes:
    return sign_roster(Roster(version=version, at=NOW, nodes=nodes or EVERYBODY.nodes), HUB.signing)


def _ruled(version: int, policy: Policy) -> bytes:
    return sign_roster(Roster(version=version, at=NOW, nodes=EVERYBODY.nodes, policy=policy), HUB.signing)


def _digest(signed: bytes) -> str:
    return hashlib.sha256(signed).hexdigest()


def _swapped() -> bytes:
    """Version 2 with another key to close messages to Bulgaria with: whoever has it can read them."""
    mine = listed(BG)
    keys = tuple(key for key in mine.keys if key.public != BG.encryption.public.public_bytes())
    swapped = mine.model_copy(update={"keys": (*keys, roster_key(XX.encryption, end=FAR))})
    return _signed(2, swapped, *EVERYBODY.nodes[1:])


SECOND, THIRD, SWAPPED = _signed(2), _signed(3), _swapped()


@pytest.fixture
async def bg(tmp_path: Path) -> AsyncIterator[Agent]:
    """Bulgaria's agent, which has version 1."""
    agent = await agent_of(BG, tmp_path)
    yield agent
    agent.box.close()


@pytest.fixture
async def ro(tmp_path: Path) -> AsyncIterator[Agent]:
    """Romania's agent, which has version 1."""
    agent = await agent_of(RO, tmp_path)
    yield agent
    agent.box.close()


async def _post(agent: Agent, *to: str) -> bytes:
    """A message as the agent seals it by the roster that it has."""
    message = Outgoing(kind="alert", task_force="drugs", to=to or ("bg",), body=BODY)
    _, ready = await outbox.accept(agent.box, message, agent.settings.node, agent.keys, agent.trust)
    assert ready is not None
    return ready.envelope


async def _known(agent: Agent, later_ms: int = 0) -> list[tuple[str, str, int]]:
    """What it tells its people of rosters, now or later."""
    found = await agent.box.run(witness.describe, ORIGIN, None, None, _now() + later_ms)
    assert len(witness.warnings({**found, "listed": "own"})) >= len(found["roster_hearsay"])
    return [(item["code"], item["node"], item["version"]) for item in found["roster_hearsay"]]


def _now() -> int:
    return time.time_ns() // 1_000_000


async def _acknowledged(by: Agent, log: Log) -> bytes:
    """What the hub tells the sender of the last message that `by` has taken or declined, with its own word."""
    [duty] = await by.box.run(inbox.duties, by.settings.node, 1, _now())
    [said] = await acknowledging([duty], by.keys.signing, by.trust.reference)
    word = open_acknowledgement(said.body, by.trust)
    item = word.items[0]
    event = Event.DELIVERED if item.outcome is Outcome.DELIVERED else Event.DECLINED
    fields = {"message": item.id, "envelope": item.envelope, "evidence": hashlib.sha256(said.body).digest()}
    entry = Entry(event=event, at=NOW, node=word.recipient, sender=word.sender, code=item.code, **fields)
    grown = replace(log, entries=[*log.entries, entry.to_bytes()])
    bundle = Receipts.from_bytes(grown.receipts(len(log.entries)))
    return bundle.model_copy(update={"acknowledgements": (said.body,)}).to_bytes()


async def test_a_swapped_key_of_a_recipient_is_told_to_recipient_and_sender(bg: Agent, ro: Agent) -> None:
    """The sender is shown a roster of the hub's own, the recipient the one that is due: both are of version 2."""
    await in_force(ro, SWAPPED)
    log = await in_force(bg, SECOND)
    envelope = await _post(ro)
    assert open_envelope(verify(envelope, bg.trust.signer_of), "bg", (XX.encryption,)).body
    await tell(bg, envelope, MessageType.ENVELOPE)
    with capture_logs() as logged:
        await bg.box.run(bg._reconsider, digest_of(envelope), _now(), final=True)
        await bg.box.run(hearsay.tell, _now())
        await bg.box.run(hearsay.tell, _now())
        assert await _known(bg) == [("roster_disputed", "ro", 2)]
        # Its word that it could not open the message has by which roster it goes.
        await tell(ro, await _acknowledged(bg, log), MessageType.RECEIPTS)
    told = [(item["node"], item["version"], item["digest"]) for item in logged if item["event"] == hearsay.DISPUTED]
    assert told == [("ro", 2, _digest(SWAPPED))]
    assert await _known(ro) == [("roster_disputed", "bg", 2)]
    # It is one node's word against the hub's: nothing stops, and it is told for a week.
    assert (await alarm_of(bg), await alarm_of(ro)) == (None, None)
    assert await _known(bg, hearsay.TOLD_MS - 60_000) != []
    assert await _known(bg, hearsay.TOLD_MS + 60_000) == []


async def test_two_rosters_of_one_version_are_told_at_the_first_message(bg: Agent, ro: Agent) -> None:
    """Neither of them says a wrong thing of this node, and both are in the one log that all nodes follow."""
    other = _signed(2, listed(BG), listed(RO))
    log = LONG.published(SECOND, other)
    for agent, signed in ((bg, SECOND), (ro, other)):
        await follow(agent, log)
        await tell(agent, log.news(signed), MessageType.ROSTER)
        assert (agent.trust.roster.version, await alarm_of(agent)) == (2, None)
    await tell(bg, await _post(ro), MessageType.ENVELOPE)
    assert await _known(bg) == [("roster_disputed", "ro", 2)]
    await tell(ro, await _acknowledged(bg, log), MessageType.RECEIPTS)
    assert await _known(ro) == [("roster_disputed", "bg", 2)]


async def test_a_roster_that_the_hub_does_not_show_is_told_once_another_has_gone_by_it_for_long(
    bg: Agent, ro: Agent
) -> None:
    log = await in_force(ro, SECOND)
    await tell(bg, await _post(ro), MessageType.ENVELOPE)
    # On its way, as a rule.
    assert (await _known(bg), await _known(bg, histories.WITHHELD_MS - 60_000)) == ([], [])
    assert await _known(bg, GRACE_MS) == [("roster_withheld", "ro", 2)]
    with capture_logs() as logged:
        await bg.box.run(hearsay.tell, _now() + GRACE_MS)
    assert [item["node"] for item in logged if item["event"] == hearsay.WITHHELD] == ["ro"]
    # Unless this node cannot read what the hub sends.
    assert await bg.box.run(partial(hearsay.known, unread=True), _now() + GRACE_MS) == []
    # Another one than that which Romania has is no answer.
    await tell(ro, await _acknowledged(bg, log), MessageType.RECEIPTS)
    assert await _known(ro) == []
    await in_force(bg, _signed(2, listed(BG), listed(RO)))
    assert await _known(bg) == [("roster_disputed", "ro", 2)]


async def test_a_roster_that_comes_late_is_no_news(bg: Agent, ro: Agent) -> None:
    early = await _post(ro)
    log = await in_force(ro, SECOND, THIRD)
    await tell(bg, await _post(ro), MessageType.ENVELOPE)
    await announced(bg, SECOND, THIRD)
    await tell(bg, await _post(ro), MessageType.ENVELOPE)
    await follow(bg, log)
    assert bg.trust.roster.version == 3
    # What was said by an earlier roster is compared with that one.
    for envelope in (await _post(ro), early):
        await tell(bg, envelope, MessageType.ENVELOPE)
    assert await _known(bg, GRACE_MS) == []


async def test_a_node_that_says_what_is_not_so_is_named_and_stops_nobody(bg: Agent, ro: Agent) -> None:
    for version in (2**31 - 1, 7, 5):
        ro.trust = replace(ro.trust, roster=ro.trust.roster.model_copy(update={"version": version}))
        await tell(bg, await _post(ro), MessageType.ENVELOPE)
    # One at a time, however many it makes up.
    assert await _known(bg, GRACE_MS) == [("roster_withheld", "ro", 2**31 - 1)]
    assert (await alarm_of(bg), bg.witness.caught) == (None, False)


async def test_what_a_history_that_was_let_go_had_is_not_held_against_the_hub(bg: Agent, ro: Agent) -> None:
    await in_force(ro, SECOND)
    await tell(bg, await _post(ro), MessageType.ENVELOPE)
    caught = histories.HubCaught(histories.ROLLED_BACK, "it went back", LONG.note)
    await bg.box.run(histories.raise_alarm, caught, _now())
    alarm = await alarm_of(bg)
    assert alarm is not None
    assert await bg.box.run(histories.decide, alarm.number, "restored from a backup", _now() + 1)
    assert await _known(bg, GRACE_MS) == []


async def test_the_hub_cannot_take_out_by_which_roster_a_message_was_made(bg: Agent, ro: Agent) -> None:
    await in_force(ro, SECOND)
    sealed = await _post(ro)
    header = verify(sealed, bg.trust.signer_of).header
    assert header.roster is not None
    assert (header.roster.version, header.roster.digest.hex()) == (2, _digest(SECOND))
    honest, lied = header.to_bytes(), header.model_copy(update={"roster": bg.trust.reference}).to_bytes()
    assert len(lied) == len(honest)
    with pytest.raises(SignatureInvalid):
        verify(sealed.replace(honest, lied), bg.trust.signer_of)


async def test_a_rule_that_lets_others_read_is_a_notice_and_so_is_who_is_suspended(bg: Agent) -> None:
    rule = PolicyRule(id="mine", effect=Effect.ALLOW, words="anybody")
    policies = (
        Policy(rules=(rule, *default_rules())),
        Policy(rules=(rule, *default_rules()), suspended=(Suspension(task_force="wmd", node="ro"),)),
    )
    log = await in_force(bg, _ruled(2, policies[0]))
    await in_force(bg, _ruled(3, policies[1]), log=log)
    found = await bg.box.run(notices.listing, 0, 10)
    assert [(item["event"], item["node"], item["roster"], item.get("task_force")) for item in found] == [
        ("policy_changed", "all", 2, None),
        ("member_suspended", "ro", 3, "wmd"),
    ]
    assert cli_read._about(found[0]).startswith("by roster version 2; see")


async def test_who_is_added_to_a_task_force_is_a_notice_and_so_is_another_s_new_key(bg: Agent) -> None:
    """What goes to all members goes to it from then on: nobody is added silently."""
    stranger = listed(XX).model_copy(update={"task_forces": ("drugs", "wmd")})
    later = listed(RO).model_copy(update={"keys": (*listed(RO).keys, roster_key(XX.encryption, end=FAR))})
    second, third = _signed(2, *EVERYBODY.nodes, stranger), _signed(3, later, listed(BG), listed(TR), stranger)
    with capture_logs() as logged:
        log = await in_force(bg, second)
        assert bg.trust.members("wmd") == ("xx",)
        await in_force(bg, third, log=log)
    told = [
        ("member_joined", "xx", 2, "drugs"),
        ("member_joined", "xx", 2, "wmd"),
        ("keys_changed", "ro", 3, None),
    ]
    found = await bg.box.run(notices.listing, 0, 10)
    assert [(item["event"], item["node"], item["roster"], item.get("task_force")) for item in found] == told
    assert [item["event"] for item in logged if item["event"] in ("member_joined", "keys_changed")] == [
        event for event, *_ in told
    ]
    # As it is typed.
    assert cli_read._about(found[1]) == "wmd, by roster version 2"
