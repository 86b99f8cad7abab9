"""What a node makes of others that are suspended or revoked: what they said before counts, if it is proven so."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crypto.envelope import digest_of, seal
from crypto.trust import Trust, sign_roster
from nodes import inbox, notices
from nodes.agent import Agent
from nodes.errors import RoutingRefused
from nodes.outgoing import Outgoing, left_out, route
from schemas.control import Entry, Event, MessageType
from schemas.roster import Cause, NodeState, Roster, RosterNode, Standing
from tests.crypto.people import BG, HUB, NOW, RO, TR, roster_key, roster_node, routing
from tests.nodes.conftest import FAR
from tests.nodes.twofaced import LONG, Log, in_force, listed
from tests.nodes.witnesses import agent_of, aside_of, tell

SINCE = NOW + 10


def _revoked(node: RosterNode) -> RosterNode:
    keys = tuple(key.model_copy(update={"revoked": SINCE}) for key in node.keys)
    return _standing(node, NodeState.REVOKED).model_copy(update={"keys": keys})


def _standing(node: RosterNode, state: NodeState | None) -> RosterNode:
    standing = None if state is None else Standing(state=state, since=SINCE, cause=Cause.KEY_COMPROMISE)
    return node.model_copy(update={"standing": standing})


def _signed(version: int, *nodes: RosterNode) -> bytes:
    return sign_roster(Roster(version=version, at=SINCE + version, nodes=nodes), HUB.signing)


@pytest.fixture
async def bg(tmp_path: Path) -> AsyncIterator[Agent]:
    """Bulgaria's agent, which has version 1: itself, Romania and Turkey."""
    agent = await agent_of(BG, tmp_path)
    yield agent
    agent.box.close()


MESSAGE = seal(
    routing(expires=FAR), b'{"title": "a", "text": "b"}', {"bg": BG.encryption.public}, RO.signing, bytes(32)
)[1]
ACCEPTED = Entry(
    event=Event.ACCEPTED,
    at=SINCE,
    node="ro",
    message=routing().id,
    sender="ro",
    recipients=("bg",),
    envelope=digest_of(MESSAGE),
)
WITHOUT = _signed(2, listed(BG), _revoked(listed(RO)), listed(TR))


def _with(log: Log, entry: Entry) -> Log:
    return replace(log, entries=[*log.entries, entry.to_bytes()])


async def _received(agent: Agent) -> list[str]:
    return [message["sender"] for message in await agent.box.run(inbox.listing, agent.box, 0, 10, None, None)]


async def test_a_revoked_key_s_message_waits_for_the_proof_that_it_was_accepted_before(bg: Agent) -> None:
    log = await in_force(bg, WITHOUT, log=_with(LONG, ACCEPTED))
    await tell(bg, MESSAGE, MessageType.ENVELOPE)
    assert (await _received(bg), await aside_of(bg)) == ([], ["key_revoked"])
    await tell(bg, log.receipts(1000), MessageType.RECEIPTS)
    assert (await _received(bg), await aside_of(bg)) == (["ro"], [])


@pytest.mark.parametrize("lie", ["behind", "dated behind"])
async def test_a_hub_that_helps_a_thief_cannot_prove_it(bg: Agent, lie: str) -> None:
    entry = ACCEPTED if lie == "behind" else ACCEPTED.model_copy(update={"at": SINCE + 1})
    log = await in_force(bg, WITHOUT, log=LONG if lie == "behind" else _with(LONG, entry))
    log = _with(log, entry) if lie == "behind" else log
    await tell(bg, MESSAGE, MessageType.ENVELOPE)
    await tell(bg, log.receipts(log.entries.index(entry.to_bytes())), MessageType.RECEIPTS)
    assert (await _received(bg), await aside_of(bg)) == ([], ["key_revoked"])


async def test_what_came_before_needs_no_proof_and_peers_are_told_of_each_change(bg: Agent) -> None:
    await tell(bg, MESSAGE, MessageType.ENVELOPE)
    held = _signed(2, listed(BG), _standing(listed(RO), NodeState.SUSPENDED), listed(TR))
    back = _signed(3, listed(BG), listed(RO), listed(TR))
    log = await in_force(bg, held)
    await in_force(bg, back, log=log)
    assert await _received(bg) == ["ro"]
    told = await bg.box.run(notices.listing, 0, 10)
    assert [(notice["event"], notice["node"], notice["roster"], notice.get("cause")) for notice in told] == [
        ("suspended", "ro", 2, "key_compromise"),
        ("active", "ro", 3, None),
    ]
    assert [notice["ledger_index"] for notice in told] == [1000, 1001]


async def test_who_waits_for_another_s_answer_is_told_who_answers_instead(bg: Agent) -> None:
    entry = Entry(event=Event.HANDED_OVER, at=NOW, node="ro", message=routing().id, sender="tr", recipients=("bg",))
    log = _with(LONG, entry)
    await tell(bg, log.receipts(1000), MessageType.RECEIPTS)
    [told] = await bg.box.run(notices.listing, 0, 10)
    assert (told["event"], told["recipient"], told["sender"], told["heir"]) == ("handed_over", "ro", "tr", "bg")


def _trust(*nodes: RosterNode, at: int = NOW) -> Trust:
    return Trust.of(Roster(version=7, at=at, nodes=nodes))


def _node(who: Any, *, seal_until: int | None = FAR) -> RosterNode:
    keys = [roster_key(who.signing, end=FAR)]
    if seal_until is not None:
        keys.append(roster_key(who.encryption, end=seal_until))
    return roster_node(who.node, *keys)


def _routed(trust: Trust, **changes: Any) -> tuple[str, ...]:
    fields = {"kind": "alert", "task_force": "drugs", "body": {"title": "a", "text": "b"}}
    return route(Outgoing.model_validate(fields | changes), "ro", trust, None, NOW).recipients


@pytest.mark.parametrize(
    ("bulgaria", "code"),
    [
        (_standing(_node(BG), NodeState.SUSPENDED), "recipient_suspended"),
        (_revoked(_node(BG)), "recipient_revoked"),
        (_standing(_node(BG), NodeState.REMOVED).model_copy(update={"task_forces": ()}), "recipient_revoked"),
        (_node(BG, seal_until=NOW), "recipient_key_expired"),
        (_node(BG, seal_until=None), "recipient_key_missing"),
    ],
)
def test_who_cannot_be_reached_is_told_before_a_message_is_taken(bulgaria: RosterNode, code: str) -> None:
    trust = _trust(_node(RO), _node(TR), bulgaria)
    with pytest.raises(RoutingRefused) as refusal:
        _routed(trust, to=["bg", "tr"])
    assert refusal.value.code == code
    assert refusal.value.next_step
    if bulgaria.active:
        # Nobody would know that one of the members cannot read it.
        with pytest.raises(RoutingRefused, match="bg"):
            _routed(trust)
        return
    # Who takes no part keeps a warning from nobody; the sender is told who does not get it.
    assert _routed(trust) == ("tr",)
    state = [] if not bulgaria.task_forces else [{"node": "bg", "state": str(bulgaria.standing.state)}]
    everybody = Outgoing(kind="alert", task_force="drugs", body={})
    assert left_out(everybody, "ro", trust) == state


def test_a_suspended_node_is_told_so_by_its_own_agent() -> None:
    with pytest.raises(RoutingRefused) as refusal:
        _routed(_trust(_standing(_node(RO), NodeState.SUSPENDED), _node(BG)))
    assert refusal.value.code == "sender_suspended"


def test_a_message_is_never_of_a_time_before_the_roster_that_it_goes_by() -> None:
    # The clock may be behind: by the roster of then, the sender may not have been a member.
    trust = _trust(_node(RO), _node(BG), at=NOW + 60_000)
    message = Outgoing.model_validate({"kind": "alert", "task_force": "drugs", "body": {}})
    assert route(message, "ro", trust, None, NOW).created == NOW + 60_000
