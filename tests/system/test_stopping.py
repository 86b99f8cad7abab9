"""Told to stop in the midst of work: what is under way is finished, what follows finds nothing done twice, in time."""

import json
from functools import partial

import pytest

from deploy.local.exchange import Exchange
from tests.faults.crash_at import await_moment, log_since_moment, run_again
from tests.system.conftest import NODES
from tests.system.monitors import is_ready, sample
from tests.system.play import await_delivered, check_nothing_lost, end, post, talking, until
from tests.system.watching import Log

pytestmark = pytest.mark.system
REPEATED = "seci_hub_repeated_total"
WAYS = (("ro", "bg"), ("hr", "tr"))
# Long enough for the signal to come in the middle of it, and for a batch to be finished in time all the same.
HANG_S = "1"


@pytest.mark.parametrize(
    ("point", "options"),
    [
        pytest.param("hub.ingest:Ingest._patiently", ("--after",), id="on_record"),
        pytest.param("hub.intake:Lane.acknowledge", (), id="published"),
    ],
)
def test_a_worker_finishes_its_batches(exchange: Exchange, point: str, options: tuple[str, ...]) -> None:
    with talking(exchange, *WAYS) as posted:
        worker = run_again(exchange, "hub", point, "--call", "5", "--hang", HANG_S, *options)
        await_moment(exchange, worker)
        end(exchange, "hub")
        said = log_since_moment(exchange, worker)
        exchange.start_hub()
        until("the next one at work", partial(is_ready, exchange))
    await_delivered(exchange, posted)
    check_nothing_lost(exchange, posted, NODES)
    assert "stop_cut_short" not in said
    # What is on record, and comes again, was not acknowledged.
    assert sample(exchange, REPEATED) == 0


@pytest.mark.parametrize(
    ("node", "point", "options"),
    [
        pytest.param("bg", "nodes.link:Link.acknowledge", (), id="stored"),
        pytest.param("ro", "nodes.link:Link.publish", ("--after",), id="sent"),
    ],
)
def test_an_agent_finishes_its_batches(exchange: Exchange, node: str, point: str, options: tuple[str, ...]) -> None:
    name, repeated = f"node-{node}", sample(exchange, REPEATED)
    with talking(exchange, *WAYS) as posted:
        agent = run_again(exchange, name, point, "--call", "3", "--body", "alert", "--hang", HANG_S, *options)
        await_moment(exchange, agent)
        end(exchange, name)
        said, log = log_since_moment(exchange, agent), Log.of(exchange, name)
        exchange.start_node(node)
        exchange.await_nodes([node])
        more = len(posted)
        until("it is at work again", lambda: len(posted) > more + 2 * len(WAYS))
    await_delivered(exchange, posted)
    check_nothing_lost(exchange, posted, NODES)
    assert "stop_cut_short" not in said and "left_unfinished" not in said
    lines = [json.loads(line) for line in log.text().splitlines() if line.startswith("{")]
    assert not [line["message"] for line in lines if line["event"] == "received" and not line["new"]]
    assert sample(exchange, REPEATED) == repeated


@pytest.mark.parametrize("busy", [True, False])
def test_an_agent_ends_in_time_though_the_broker_does_not_answer(exchange: Exchange, busy: bool) -> None:
    log = Log.of(exchange, "node-ro")
    exchange.services.broker.pause()
    try:
        posted = [("ro", post(exchange, "ro", to=["bg"]))] if busy else []
        end(exchange, "node-ro")
    finally:
        exchange.services.broker.resume()
    assert not (exchange.node_home("ro") / "api.json").exists()
    assert "told_to_stop" in log.text()
    exchange.start_node("ro")
    exchange.await_nodes(NODES)
    await_delivered(exchange, posted)
    check_nothing_lost(exchange, posted, NODES)
