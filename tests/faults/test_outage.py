"""Three days without a hub: outboxes fill beyond what the broker takes, and all of it arrives afterwards."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import pytest

from deploy.local.clock import Clock
from deploy.local.exchange import Exchange
from nodes.loops import BATCH
from tests.faults.conftest import Decision
from tests.faults.load import ACCEPTED, Post
from tests.faults.steps import policy, status, waiting_at
from tests.system.conftest import NODES
from tests.system.play import end, inbox, post, until

pytestmark = [pytest.mark.system, pytest.mark.long]
SENDERS = ("ro", "bg")
EACH = 250
ROOM = 60
AGAIN_S = 3.0
OUTAGE_S = 72 * 3600


@pytest.fixture
def clock(exchange: Exchange) -> Iterator[Clock]:
    """The one clock of all nodes; afterwards they and the hub go by the machine's again."""
    clock = Clock(exchange.folder / "all.clock")
    clock.set_ahead(0)
    end(exchange, *(f"node-{node}" for node in NODES))
    for node in NODES:
        replace(exchange, clock=clock).start_node(node)
    exchange.await_nodes(NODES)
    yield clock
    end(exchange, "hub", *(f"node-{node}" for node in NODES))
    exchange.start_hub()
    for node in NODES:
        exchange.start_node(node)
    exchange.await_nodes(NODES)


def test_hub_away_for_three_days(exchange: Exchange, clock: Clock, nothing_lost: Decision) -> None:
    end(exchange, "hub")
    with policy(exchange, r"^q\.in\.", {"max-length": ROOM, "overflow": "reject-publish"}):
        posts = [_posted(exchange, sender) for _ in range(EACH) for sender in SENDERS]
        for sender in SENDERS:
            until(f"the queue of {sender} is full", partial(_is_full, exchange, sender))
        clock.set_ahead(OUTAGE_S)
        # What is at the broker falls due again, and finds the queue full.
        time.sleep(AGAIN_S)
        taken = {sender: _taken(exchange, sender, posts) for sender in SENDERS}
        replace(exchange, clock=clock).start_hub()
        nothing_lost(posts)
    for sender in SENDERS:
        sent = {item.id: place for place, item in enumerate(item for item in posts if item.sender == sender)}
        for recipient in set(NODES) - {sender}:
            places = [sent[item["id"]] for item in inbox(exchange, recipient) if item["id"] in sent]
            # What the broker had took its turn, and came before all the rest.
            first = taken[sender]
            assert places[:first] == list(range(first)), f"{sender} to {recipient}: out of turn"
            # The rest went as there was room. An agent sends a batch before it hears that the first of it were not
            # taken, and room is made meanwhile: those go next, alone, behind others of their batch. No order is
            # promised but a thread's, which the hub makes as it accepts (docs/protocol.md, 13.4).
            behind = max(at - place for at, place in enumerate(places))
            assert behind < BATCH, f"{sender} to {recipient}: overtaken by {behind} messages"


def _posted(exchange: Exchange, sender: str) -> Post:
    others = tuple(node for node in NODES if node != sender)
    return Post(sender, post(exchange, sender), others, (ACCEPTED,))


def _taken(exchange: Exchange, sender: str, posts: Sequence[Post]) -> int:
    """How many of a sender's messages the broker has taken: its first ones."""
    with exchange.api(sender) as api:
        newest = api.get("/v1/messages", params={"limit": 2 * EACH}).raise_for_status().json()["messages"]
    said = {message["id"]: message["state"] for message in newest}
    sent = [said[post.id] == "sent" for post in posts if post.sender == sender]
    assert sent == sorted(sent, reverse=True), "the broker has left some out"
    return sum(sent)


def _is_full(exchange: Exchange, sender: str) -> bool:
    at_broker, queued = waiting_at(exchange, f"q.in.{sender}"), status(exchange, sender)["counts"].get("queued", 0)
    return at_broker >= ROOM and queued > EACH // 4
