"""Programs that die, hang or stand still at the worst moment, under load: what was promised is kept, and proven."""

import secrets
import signal
import time
from collections.abc import Iterator
from hashlib import sha256

import pytest

from deploy.local import processes
from deploy.local.attacker import run_publish
from deploy.local.exchange import Exchange
from tests.faults.conftest import SENDERS, Scenario
from tests.faults.crash_at import await_moment, log_since_moment, run_again
from tests.faults.lengths import lengths
from tests.faults.load import GIVE_UP_S
from tests.faults.steps import policy, quarantined
from tests.system.play import end, process, until

pytestmark = pytest.mark.system
CONSUMER_TIMEOUT_S = 4
INGRESS = {"dead-letter-exchange": "dlx", "dead-letter-strategy": "at-least-once", "overflow": "reject-publish"}


@pytest.mark.parametrize(
    ("point", "options"),
    [
        pytest.param("hub.ingest:record", ("--after",), id="before_commit", marks=pytest.mark.fault(2)),
        pytest.param("hub.ingest:Ingest._patiently", ("--after",), id="after_commit", marks=pytest.mark.fault(1)),
        pytest.param("hub.intake:Lane.acknowledge", (), id="before_acknowledging", marks=pytest.mark.fault(1)),
    ],
)
def test_hub_killed(exchange: Exchange, scenario: Scenario, point: str, options: tuple[str, ...]) -> None:
    with scenario():
        hub = run_again(exchange, "hub", point, "--call", "5", *options)
        await_moment(exchange, hub)
        until("the hub is dead", lambda: not processes.alive(hub))
        exchange.start_hub()


def test_verifier_killed(exchange: Exchange, scenario: Scenario) -> None:
    hub = process(exchange.folder, "hub")

    def pile_up() -> None:
        processes.pause(hub)
        time.sleep(4)
        processes.resume(hub)

    with scenario():
        # A batch that is large enough to be worth a process beside the worker.
        pile_up()
        until("a verifier is at work", lambda: len(processes.children(hub)) > 1)
        for child in processes.children(hub):
            processes.send(child, signal.SIGKILL)
        pile_up()
    assert processes.alive(hub)


@pytest.mark.parametrize(
    ("node", "point"),
    [
        pytest.param("ro", "nodes.outbox:mark_sent", id="between_confirm_and_store", marks=pytest.mark.fault(3)),
        pytest.param("bg", "nodes.link:Link.acknowledge", id="between_store_and_acknowledging"),
    ],
)
def test_agent_killed(exchange: Exchange, scenario: Scenario, node: str, point: str) -> None:
    with scenario():
        agent = run_again(exchange, f"node-{node}", point, "--call", "3")
        await_moment(exchange, agent)
        until("the agent is dead", lambda: not processes.alive(agent))
        exchange.start_node(node)
        exchange.await_nodes([node])


@lengths(5, 75)
@pytest.mark.parametrize("name", ["hub", pytest.param("node-ro", marks=pytest.mark.long)])
def test_frozen(exchange: Exchange, scenario: Scenario, name: str, seconds: float) -> None:
    program = process(exchange.folder, name)
    # Who posts gives up on an agent that says nothing for a minute.
    with scenario(may_refuse=name != "hub" and seconds > GIVE_UP_S):
        processes.pause(program)
        time.sleep(seconds)
        processes.resume(program)
    assert processes.alive(program)


@pytest.fixture
def short_consumer_timeout(exchange: Exchange) -> Iterator[None]:
    """How long the broker waits for an acknowledgement, on channels that are opened now; half an hour by default."""
    _set_consumer_timeout(exchange, CONSUMER_TIMEOUT_S * 1000, look_every_ms=1000)
    yield
    _set_consumer_timeout(exchange, 30 * 60_000, look_every_ms=60_000)


def _set_consumer_timeout(exchange: Exchange, timeout_ms: int, look_every_ms: int) -> None:
    for name, value in (("consumer_timeout", timeout_ms), ("channel_tick_interval", look_every_ms)):
        exchange.services.broker.run_ctl(["eval", f"application:set_env(rabbit, {name}, {value})."])


@pytest.mark.fault(14)
@pytest.mark.usefixtures("short_consumer_timeout")
@pytest.mark.parametrize(
    ("name", "point", "found_again"),
    [
        pytest.param("hub", "hub.ingest:Ingest._patiently", "hub_ready", id="hub", marks=pytest.mark.long),
        pytest.param("node-bg", "nodes.agent:Agent.take_in", "link_up", id="agent", marks=pytest.mark.long),
    ],
)
def test_hangs_past_the_consumer_timeout(
    exchange: Exchange, scenario: Scenario, name: str, point: str, found_again: str
) -> None:
    with scenario():
        program = run_again(exchange, name, point, "--call", "3", "--hang", str(3 * CONSUMER_TIMEOUT_S))
        await_moment(exchange, program)
        # Again, because the broker has taken its consumer away.
        until(f"{name} consumes again", lambda: found_again in log_since_moment(exchange, program))
    assert processes.alive(program)


# What was in hand with the poison each time is quarantined with it; acknowledgements among it are signed anew.
@pytest.mark.fault(12)
@pytest.mark.usefixtures("resends_soon")
@pytest.mark.parametrize(
    "limit", [pytest.param(3, id="limit_3"), pytest.param(20, id="limit_20", marks=pytest.mark.long)]
)
def test_poison_that_kills_every_hub(exchange: Exchange, scenario: Scenario, limit: int) -> None:
    poison = secrets.token_hex(16)
    digest = sha256(poison.encode()).hexdigest()
    with scenario(SENDERS[:3]), policy(exchange, r"^q\.in\.hr$", INGRESS | {"delivery-limit": limit}):
        end(exchange, "hub")
        run_publish(exchange.node_home("hr"), poison.encode())
        deaths = 0
        while not _survives(exchange, poison, digest):
            deaths += 1
            assert deaths < 2 * limit, "it is delivered for ever"
    assert deaths >= limit
    assert quarantined(exchange).count(digest) == 1


def _survives(exchange: Exchange, poison: str, digest: str) -> bool:
    """Whether a hub that dies of the poison lives until the broker has given up on delivering it."""
    hub = run_again(exchange, "hub", "hub.verifiers:Verifiers.judge", "--body", poison)
    until("dead, or rid of it", lambda: not processes.alive(hub) or digest in quarantined(exchange))
    return processes.alive(hub)
