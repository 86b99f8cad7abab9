"""What a bad line between the programs and the broker does, under load: it costs time, and nothing else."""

import time

import pytest

from deploy.local import processes
from deploy.local.chaos import Rule, Side
from deploy.local.exchange import Exchange
from tests.faults.conftest import Decision, Lines, Scenario
from tests.faults.lengths import lengths
from tests.faults.load import ACCEPTED, Post
from tests.faults.steps import await_links, is_linked
from tests.system.conftest import NODES
from tests.system.play import post, until
from tests.system.watching import Log

pytestmark = pytest.mark.system
# aiormq gives a connection up after three heartbeats of 15 s and a little more.
NOTICED_S = 48
KIB = 1024


@pytest.mark.fault(7)
@lengths(6, 90)
@pytest.mark.parametrize("who", ["agents", "hub"])
def test_black_hole(exchange: Exchange, scenario: Scenario, lines: Lines, who: str, seconds: float) -> None:
    with scenario():
        log = Log.of(exchange, "hub")
        getattr(lines, who).set(Rule(passes=False))
        began = time.monotonic()
        if seconds > NOTICED_S:
            if who == "agents":
                until("links given up", lambda: not any(is_linked(exchange, node) for node in NODES))
            else:
                log.await_words('"hub_interrupted"')
                assert '"hub_ready"' not in log.text()
        time.sleep(max(0.0, began + seconds - time.monotonic()))
        lines.heal()
        await_links(exchange)
        if seconds > NOTICED_S and who == "hub":
            log.await_words('"hub_ready"')


@pytest.mark.fault(7)
@pytest.mark.long
@pytest.mark.parametrize("who", ["agents", "hub"])
@pytest.mark.parametrize("gone", Side)
def test_half_open(exchange: Exchange, scenario: Scenario, lines: Lines, who: str, gone: Side) -> None:
    with scenario():
        getattr(lines, who).half_open(gone)
        time.sleep(NOTICED_S)
        await_links(exchange)


@pytest.mark.fault(8)
def test_reset_between_publish_and_confirm(exchange: Exchange, scenario: Scenario, lines: Lines) -> None:
    with scenario() as load:
        for _ in range(3):
            # What the agents and the hub publish arrives; that it has does not.
            lines.set(Rule(passes=False), Side.BROKER)
            load.go_on(8)
            time.sleep(1)
            lines.agents.reset()
            lines.hub.reset()
            lines.heal()
            await_links(exchange)


def test_slow_line(scenario: Scenario, lines: Lines) -> None:
    with scenario() as load:
        lines.set(Rule(delay_s=0.2))
        load.go_on(40)
        lines.set(Rule(bytes_per_s=50_000))
        load.go_on(60)


@pytest.mark.long
def test_connections_cut_again_and_again(exchange: Exchange, scenario: Scenario, lines: Lines) -> None:
    with scenario() as load:
        for source in Side:
            lines.set(Rule(cut_after=30_000), source)
            load.go_on(40)
    hub = next(found for found in processes.recorded(exchange.folder) if found.name == "hub")
    assert processes.alive(hub)
    left = {node: _unwitnessed(exchange, node) for node in NODES}
    # What the faults before have left takes its time; here each must only get on.
    until("fewer are unwitnessed", lambda: all(_unwitnessed(exchange, n) < max(left[n], 1) for n in NODES))


def _unwitnessed(exchange: Exchange, node: str) -> int:
    return int(exchange.node(node, "witness")["unwitnessed_receipts"])


@pytest.mark.long
@pytest.mark.parametrize("count", [4, 24])
def test_large_messages_over_a_slow_line(exchange: Exchange, lines: Lines, nothing_lost: Decision, count: int) -> None:
    log = exchange.logs / "node-hr.log"
    begin = log.stat().st_size
    lines.agents.set(Rule(bytes_per_s=256 * KIB))
    try:
        body = {"title": "Files", "text": "x" * (1000 * KIB)}
        posts = [
            Post("hr", post(exchange, "hr", to=["bg"], body=body), ("bg",), (ACCEPTED,), body) for _ in range(count)
        ]
        # Together they take longer than a confirm may; the line takes turns of both ways at once.
        began = time.monotonic()
        nothing_lost(posts)
    finally:
        lines.heal()
    assert time.monotonic() - began > 4 * count
    said = log.read_bytes()[begin:]
    assert b"publish_interrupted" not in said
    assert b"link_down" not in said
