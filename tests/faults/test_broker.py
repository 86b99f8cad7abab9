"""What a broker can do to hub and agents, for minutes: run by `make faults`."""

import time

import pytest

from deploy.local import processes
from deploy.local.exchange import Exchange
from tests.system.conftest import NODES
from tests.system.play import await_delivered, check_nothing_lost, post, process, until

pytestmark = [pytest.mark.system, pytest.mark.long]
HEARTBEATS_S = 75.0


def _link(exchange: Exchange, node: str) -> bool:
    with exchange.api(node) as api:
        return bool(api.get("/v1/status").json()["link"]["connected"])


def test_a_broker_frozen_past_its_heartbeats_is_left_and_found_again(exchange: Exchange) -> None:
    programs = [process(exchange.folder, name) for name in ("hub", *(f"node-{node}" for node in NODES))]
    posted = [(sender, post(exchange, sender)) for sender in NODES[:4] for _ in range(25)]
    exchange.services.broker.pause()
    try:
        frozen = time.monotonic()
        while time.monotonic() < frozen + HEARTBEATS_S:
            posted += [(sender, post(exchange, sender)) for sender in NODES[:4]]
            time.sleep(1)
        until("links given up", lambda: not any(_link(exchange, node) for node in NODES))
    finally:
        exchange.services.broker.resume()
    until("links up again", lambda: all(_link(exchange, node) for node in NODES))
    posted += [(sender, post(exchange, sender)) for sender in NODES[:4]]
    await_delivered(exchange, posted)
    check_nothing_lost(exchange, posted, NODES)
    assert all(processes.alive(program) for program in programs)


def test_a_broker_killed_again_and_again_under_load_loses_nothing(exchange: Exchange) -> None:
    posted = []
    for _ in range(3):
        posted += [(sender, post(exchange, sender)) for sender in NODES[:4] for _ in range(20)]
        exchange.services.broker.kill()
        posted += [(sender, post(exchange, sender)) for sender in NODES[:4] for _ in range(5)]
        exchange.services.broker.start()
    await_delivered(exchange, posted)
    check_nothing_lost(exchange, posted, NODES)
