"""Told to stop in the midst of work: what is under way is finished, what follows finds nothing done twice, in time."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import partial

import pytest

from deploy.local import processes
from deploy.local.exchange import Exchange
from tests.faults.crash_at import await_moment, log_since_moment, run_again
from tests.system.conftest import NODES, canary_each
from tests.system.monitors import is_ready, sample
from tests.system.play import (
    await_delivered,
    check_nothing_lost,
    end,
    post,
    process,
    start_missing,
    talking,
    until,
)
from tests.system.watching import Log

pytestmark = pytest.mark.system
REPEATED = "seci_hub_repeated_total"
WAYS = (("ro", "bg"), ("hr", "tr"))
# Long enough for the signal to come in the middle of it, and for a batch to be finished in time all the same.
HANG_S = "1"
# A worker whose canary is three periods late takes its queues up anew, and is given again what it had in hand. At one a
# second a busy machine alone makes it do so.
CANARY_S = 5


@pytest.fixture(scope="module")
def watched(exchange: Exchange) -> Iterator[Exchange]:
    """The exchange with a hub that is ready soon, and patient with its canary."""
    with canary_each(exchange, CANARY_S):
        yield exchange


@pytest.mark.parametrize(
    ("point", "options"),
    [
        pytest.param("hub.ingest:Ingest._patiently", ("--after",), id="on_record"),
        pytest.param("hub.intake:Lane.acknowledge", (), id="published"),
    ],
)
def test_a_worker_finishes_its_batches(watched: Exchange, point: str, options: tuple[str, ...]) -> None:
    with talking(watched, *WAYS) as posted:
        try:
            worker = run_again(watched, "hub", point, "--call", "5", "--hang", HANG_S, *options)
            await_moment(watched, worker)
            end(watched, "hub")
            said = log_since_moment(watched, worker)
        finally:
            start_missing(watched, "hub")
        until("the next one at work", partial(is_ready, watched))
    await_delivered(watched, posted)
    check_nothing_lost(watched, posted, NODES)
    assert processes.exit_code(worker) == 0
    assert "stop_cut_short" not in said
    # What is on record, and comes again, was not acknowledged.
    assert sample(watched, REPEATED) == 0


def test_an_agent_finishes_what_it_stores(exchange: Exchange) -> None:
    with talking(exchange, *WAYS) as posted:
        moment = ("nodes.link:Link.acknowledge", "--call", "3", "--body", "alert", "--hang", HANG_S)
        try:
            agent = run_again(exchange, "node-bg", *moment)
            await_moment(exchange, agent)
            end(exchange, "node-bg")
            said, log = log_since_moment(exchange, agent), Log.of(exchange, "node-bg")
        finally:
            start_missing(exchange, "node-bg")
        exchange.await_nodes(["bg"])
    await_delivered(exchange, posted)
    check_nothing_lost(exchange, posted, NODES)
    assert processes.exit_code(agent) == 0
    assert "stop_cut_short" not in said and "left_unfinished" not in said
    received = [line for line in map(json.loads, log.text().splitlines()[1:]) if line["event"] == "received"]
    assert received
    # What is stored, and comes again, was not acknowledged.
    assert not [line["message"] for line in received if not line["new"]]


def test_an_agent_finishes_what_it_sends(exchange: Exchange) -> None:
    try:
        # No receipt tells it that the message has arrived.
        end(exchange, "hub")
        agent = run_again(
            exchange, "node-ro", "nodes.link:Link.publish", "--after", "--body", "alert", "--hang", HANG_S
        )
        exchange.await_nodes(["ro"])
        posted = [("ro", post(exchange, "ro", to=["bg"]))]
        await_moment(exchange, agent)
        end(exchange, "node-ro")
        said = log_since_moment(exchange, agent)
        with closing(sqlite3.connect(exchange.node_home("ro") / "node.db")) as store:
            kept = store.execute("SELECT state FROM outbox WHERE id = ?", (posted[0][1],)).fetchall()
    finally:
        start_missing(exchange, "hub", "node-ro")
    exchange.await_nodes(["ro"])
    await_delivered(exchange, posted)
    check_nothing_lost(exchange, posted, NODES)
    assert processes.exit_code(agent) == 0
    assert "stop_cut_short" not in said and "left_unfinished" not in said
    # What the broker has taken is not sent again at once.
    assert kept == [("sent",)]


@pytest.mark.parametrize("busy", [True, False])
def test_an_agent_ends_in_time_though_the_broker_does_not_answer(exchange: Exchange, busy: bool) -> None:
    log, agent = Log.of(exchange, "node-ro"), process(exchange.folder, "node-ro")
    exchange.services.broker.pause()
    try:
        posted = [("ro", post(exchange, "ro", to=["bg"]))] if busy else []
        end(exchange, "node-ro")
        left = (exchange.node_home("ro") / "api.json").exists()
    finally:
        exchange.services.broker.resume()
        start_missing(exchange, "node-ro")
    exchange.await_nodes(NODES)
    assert processes.exit_code(agent) == 0
    assert not left
    assert "told_to_stop" in log.text()
    await_delivered(exchange, posted)
    check_nothing_lost(exchange, posted, NODES)
