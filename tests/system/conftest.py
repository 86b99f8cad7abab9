"""One whole exchange for the system tests: services, hub, four member states and the Centre, all as processes."""

import json
from collections.abc import Iterator

import pytest

from deploy.local.exchange import Exchange, prepare_tls
from deploy.local.services import running
from tests.system.play import end

NODES = ("ro", "bg", "tr", "hr", "seci")
CANARY_S = 1


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
    file = exchange.hub_home / "hub.json"
    before = file.read_text()
    file.write_text(json.dumps(json.loads(before) | {"canary_s": CANARY_S}))
    _restart_hub(exchange)
    yield exchange
    file.write_text(before)
    _restart_hub(exchange)


def _restart_hub(exchange: Exchange) -> None:
    end(exchange, "hub")
    exchange.start_hub()
