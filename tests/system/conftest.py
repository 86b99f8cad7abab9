"""One whole exchange for the system tests: services, hub, four member states and the Centre, all as processes."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from deploy.local.exchange import Exchange, prepare_tls
from deploy.local.services import running
from tests.system.play import end

NODES = ("ro", "bg", "tr", "hr", "seci")


@pytest.fixture(scope="package")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    """A running exchange. A test that stops one of its processes starts it again."""
    folder = tmp_path_factory.mktemp("exchange")
    with running(folder, prepare_tls(folder), erase_after=True) as services:
        exchange = Exchange(folder, services, NODES)
        exchange.set_up()
        exchange.start_hub()
        for node in NODES:
            exchange.start_node(node)
        exchange.await_nodes(NODES)
        yield exchange


@pytest.fixture(scope="module")
def watched(exchange: Exchange) -> Iterator[Exchange]:
    """The exchange with a canary each second: so soon a worker is ready. Afterwards with its own settings again."""
    with canary_each(exchange, 1):
        yield exchange


@contextmanager
def canary_each(exchange: Exchange, seconds: float) -> Iterator[None]:
    """A hub with a canary each so many seconds while the block runs."""
    file = exchange.hub_home / "hub.json"
    before = file.read_text()
    file.write_text(json.dumps(json.loads(before) | {"canary_s": seconds}))
    try:
        _restart_hub(exchange)
        yield
    finally:
        file.write_text(before)
        _restart_hub(exchange)


def _restart_hub(exchange: Exchange) -> None:
    try:
        end(exchange, "hub")
    finally:
        exchange.start_hub()
