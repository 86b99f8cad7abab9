"""One whole exchange for the system tests: services, hub, four member states and the Centre, all as processes."""

from collections.abc import Iterator

import pytest

from deploy.local.exchange import Exchange, prepare_tls
from deploy.local.services import running

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
