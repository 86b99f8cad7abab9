"""Full disks, each a small one of its own: of a node, of the hub's database, of the broker."""

import time
from collections.abc import Callable
from functools import partial

import pytest

from deploy.local import processes
from deploy.local.exchange import Exchange
from schemas.header import new_id
from tests.faults.conftest import SENDERS, Decision, Scenario
from tests.faults.disk import MIB, small_disk
from tests.faults.load import ACCEPTED, Post, under_load
from tests.faults.steps import await_links, start_nodes, status, waiting_at
from tests.system.play import ALERT, end, inbox, post, process, state, until

pytestmark = pytest.mark.system
UNAVAILABLE = 503
PROBES = 2_000
FULL_S = 2.0


def _logged(exchange: Exchange, name: str, *events: str) -> Callable[[], bool]:
    """Whether a process has logged one of these events since now."""
    log = exchange.logs / f"{name}.log"
    begin = log.stat().st_size
    return lambda: any(event.encode() in log.read_bytes()[begin:] for event in events)


def _probe(exchange: Exchange, node: str) -> tuple[Post, str]:
    """One attempt to post, and the code of the problem, if there is one."""
    id = str(new_id())
    with exchange.api(node) as api:
        answer = api.post("/v1/messages", json=ALERT | {"id": id, "to": ["ro"]})
    return Post(node, id, ("ro",), (answer.status_code,)), answer.json().get("code", "")


def test_disk_of_a_node_full(exchange: Exchange, nothing_lost: Decision) -> None:
    stop, start = partial(end, exchange, "node-hr"), partial(start_nodes, exchange, "hr")
    with small_disk(exchange.node_home("hr"), 8, stop, start) as disk:
        agent = process(exchange.folder, "node-hr")
        with under_load(exchange, ["hr", "ro"], per_second=20) as load:
            load.go_on(10)
            disk.fill()
            probes = [_probe(exchange, "hr")]
            while probes[-1][0].accepted and len(probes) < PROBES:
                probes.append(_probe(exchange, "hr"))
            until("messages wait at the broker", lambda: waiting_at(exchange, "q.inbox.hr") > 0)
            disk.free()
        assert (probes[-1][0].answers, probes[-1][1]) == ((UNAVAILABLE,), "store_failed")
        assert processes.alive(agent)
        # What it could not keep it has refused, to the end.
        nothing_lost([*load.posts, *(item for item, _ in probes)], may_refuse=True)


def test_disk_of_the_database_full(exchange: Exchange, scenario: Scenario) -> None:
    postgres, hub = exchange.services.postgres, process(exchange.folder, "hub")
    with small_disk(postgres.data, 128, postgres.stop, postgres.start) as disk, scenario():
        troubled = _logged(exchange, "hub", "record_failed", "hub_interrupted")
        disk.fill()
        until("nothing can be recorded", troubled)
        time.sleep(FULL_S)
        disk.free()
        if postgres.process is None:
            postgres.start()
    assert processes.alive(hub)


@pytest.mark.long
def test_disk_of_the_broker_full(exchange: Exchange, nothing_lost: Decision) -> None:
    broker = exchange.services.broker
    end(exchange, "node-bg")
    with small_disk(broker.home / "data", 256, broker.stop, broker.start) as disk:
        exchange.await_nodes(["ro"])
        waited = Post("ro", post(exchange, "ro", to=["bg"]), ("bg",), (ACCEPTED,))
        # What was left for bg before is in its inbox as well.
        until("the hub has passed it on", lambda: state(exchange, "ro", waited.id)["state"] == "accepted")
        until("at the inbox of bg", lambda: waiting_at(exchange, "q.inbox.bg") > 0)
        disk.fill(leave=20 * MIB)
        until("disk alarm", lambda: _has_alarm(exchange))
        with under_load(exchange, SENDERS[::2]) as load:
            start_nodes(exchange, "bg")
            until("bg has what waited", lambda: waited.id in [item["id"] for item in inbox(exchange, "bg")])
            until("outbox grows", lambda: status(exchange, "ro")["counts"].get("queued", 0) > 20)
            assert state(exchange, "ro", waited.id)["deliveries"][0]["state"] == "waiting"
            disk.free()
        nothing_lost([*load.posts, waited])
        assert not _has_alarm(exchange)
    await_links(exchange)


def _has_alarm(exchange: Exchange) -> bool:
    return "disk" in exchange.services.broker.run_ctl(["eval", "rabbit_alarm:get_alarms()."])
