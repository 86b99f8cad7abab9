"""What can befall the broker and its queues, under load: messages wait, say that they do, and then go on."""

import time
from collections.abc import Sequence

import pytest

from deploy.local import processes
from deploy.local.exchange import Exchange
from hub.topology import HUB_USERS
from tests.faults.conftest import SENDERS, Scenario
from tests.faults.lengths import lengths
from tests.faults.load import ACCEPTED, Post
from tests.faults.steps import await_links, is_linked, policy, states, waiting_at
from tests.system.conftest import NODES
from tests.system.play import await_delivered, end, process, until

pytestmark = pytest.mark.system
HEARTBEATS_S = 75


@pytest.mark.fault(4)
@pytest.mark.parametrize("times", [1, pytest.param(4, marks=pytest.mark.long)])
def test_broker_killed(exchange: Exchange, scenario: Scenario, times: int) -> None:
    with scenario() as load:
        for _ in range(times):
            exchange.services.broker.kill()
            load.go_on(20)
            exchange.services.broker.start()
            await_links(exchange)


@lengths(6, HEARTBEATS_S)
def test_broker_frozen(exchange: Exchange, scenario: Scenario, seconds: float) -> None:
    programs = [process(exchange.folder, name) for name in ("hub", *(f"node-{node}" for node in NODES))]
    with scenario():
        exchange.services.broker.pause()
        try:
            time.sleep(seconds)
            if seconds >= HEARTBEATS_S:
                until("links given up", lambda: not any(is_linked(exchange, node) for node in NODES))
        finally:
            exchange.services.broker.resume()
        await_links(exchange)
    assert all(processes.alive(program) for program in programs)


@pytest.mark.fault(9)
@lengths(6, 120)
def test_memory_alarm(exchange: Exchange, scenario: Scenario, seconds: float) -> None:
    # It posts nothing in the load, and so is missed by nobody.
    reader, inbox = process(exchange.folder, "node-seci"), "q.inbox.seci"
    with scenario() as load:
        processes.pause(reader)
        began = len(load.posts)
        until("mail waits for a node", lambda: _waits_for(exchange, "seci", load.posts[began:]))
        try:
            exchange.services.broker.raise_memory_alarm()
            until("who publishes is stopped", lambda: _is_stopped(exchange, "node-ro"))
            # Who reads is not: what the broker has goes out, and that it arrived comes in.
            processes.resume(reader)
            until("the node has its mail", lambda: waiting_at(exchange, inbox) == 0)
            # What was posted as the alarm went off may still have got through.
            load.go_on(len(SENDERS))
            began = len(load.posts)
            time.sleep(seconds)
            waiting = load.posts[began:]
            said = states(exchange, waiting)
        finally:
            exchange.services.broker.clear_memory_alarm()
    # A node goes on taking messages from its officers, and says of none that the hub has it.
    assert {post.answers for post in waiting} == {(ACCEPTED,)}
    assert said == {"queued"}


def _waits_for(exchange: Exchange, node: str, posts: Sequence[Post]) -> bool:
    """Whether the hub has passed on the first of these messages that is for this node, which takes none."""
    mail = [post for post in posts if node in post.recipients][:1]
    return bool(mail) and states(exchange, mail) == {"accepted"}


def _is_stopped(exchange: Exchange, user: str) -> bool:
    listed = exchange.services.broker.run_ctl(["list_connections", "user", "state"]).splitlines()
    return [user, "blocked"] in [line.split() for line in listed]


def test_connections_closed_by_the_broker(exchange: Exchange, scenario: Scenario) -> None:
    with scenario() as load:
        for user in (*HUB_USERS, "node-ro"):
            exchange.services.broker.close_connections(user)
            load.go_on(5)
        await_links(exchange)


@pytest.mark.fault(10)
def test_full_inbox_of_a_node_that_is_away(exchange: Exchange, scenario: Scenario) -> None:
    with scenario(SENDERS[:3]) as load:
        end(exchange, "node-hr")
        with policy(exchange, r"^q\.inbox\.hr", {"overflow": "reject-publish", "max-length": 3}):
            until("mail held for hr", lambda: exchange.hub("status")["held"] > 0)
            began = len(load.posts)
            load.go_on(20)
            others = [post for post in load.posts[began:] if "hr" not in post.recipients]
            await_delivered(exchange, [(post.sender, post.id) for post in others])
            assert others
        exchange.start_node("hr")
        exchange.await_nodes(["hr"])


@pytest.mark.fault(11)
@pytest.mark.long
def test_binding_removed_before_the_hub(exchange: Exchange, scenario: Scenario) -> None:
    with scenario() as load:
        try:
            _unbind(exchange, "in.ro", "normal", "q.in.ro")
            began = len(load.posts)
            load.go_on(30)
            cut_off = [post for post in load.posts[began:] if post.sender == "ro"]
            said = states(exchange, cut_off)
        finally:
            exchange.hub("provision")
    # Of ro's messages the urgent ones have a queue of their own.
    assert "sent" not in said
    assert "queued" in said


@pytest.mark.fault(11)
def test_binding_removed_behind_the_hub(exchange: Exchange, scenario: Scenario) -> None:
    with scenario():
        try:
            _unbind(exchange, "dispatch", "bg", "q.inbox.bg")
            until("mail held for bg", lambda: exchange.hub("status")["held"] > 0)
        finally:
            exchange.hub("provision")


def _unbind(exchange: Exchange, source: str, key: str, queue: str) -> None:
    # rabbitmqctl has no word for it.
    binding = f'{{binding, {_name("exchange", source)}, <<"{key}">>, {_name("queue", queue)}, []}}'
    removed = exchange.services.broker.run_ctl(["eval", f'rabbit_binding:remove({binding}, <<"a test">>).'])
    assert removed.strip() == "ok", removed


def _name(kind: str, name: str) -> str:
    return f'rabbit_misc:r(<<"siex">>, {kind}, <<"{name}">>)'
