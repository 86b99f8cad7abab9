"""A cluster that loses the leader of its queues, and one that a broken line parts."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from deploy.local.broker import Broker
from deploy.local.chaos import bad_line
from deploy.local.cluster import SIZE, Cluster, running_cluster
from deploy.local.exchange import Exchange, prepare_tls
from deploy.local.ports import is_free
from deploy.local.postgres import Postgres
from deploy.local.services import Services
from tests.faults.conftest import RESEND_AFTER_S, Lines, Scenario, change_settings
from tests.system.play import end, until

pytestmark = [pytest.mark.system, pytest.mark.long]
VHOST, QUEUE = "siex", "q.in.ro"
NODES = ("ro", "bg", "seci")
Site = tuple[Path, Cluster, Postgres]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A folder with a cluster of three and a database."""
    folder = tmp_path_factory.mktemp("cluster")
    with running_cluster(folder, prepare_tls(folder)) as (cluster, postgres):
        yield folder, cluster, postgres


@pytest.fixture(scope="module")
def cluster(site: Site) -> Cluster:
    """The running cluster."""
    return site[1]


@pytest.fixture(scope="module")
def lines(cluster: Cluster) -> Iterator[Lines]:
    """One line for all, which leads to whichever of the brokers listens."""
    with bad_line(*(broker.port for broker in cluster.brokers)) as line:
        yield Lines(line, line)


@pytest.fixture(scope="module")
def exchange(site: Site, lines: Lines) -> Iterator[Exchange]:
    """A running exchange on the cluster."""
    folder, cluster, postgres = site
    services = Services(replace(cluster.brokers[0], port=lines.agents.port), postgres)
    exchange = Exchange(folder, services, NODES)
    exchange.set_up()
    for node in NODES:
        change_settings(exchange.node_home(node) / "node.json", resend_after=RESEND_AFTER_S)
    names = [program.name for program in (exchange.start_hub(), *map(exchange.start_node, NODES))]
    exchange.await_nodes(NODES)
    yield exchange
    end(exchange, *names)


def _leader(cluster: Cluster) -> Broker:
    found = cluster.leader(VHOST, QUEUE)
    assert found is not None
    return found


def _has_moved(cluster: Cluster, former: Broker) -> bool:
    found = cluster.leader(VHOST, QUEUE)
    return found is not None and found.node != former.node


def _is_whole(cluster: Cluster) -> bool:
    return cluster.members(VHOST, QUEUE) == SIZE


@pytest.mark.fault(5)
@pytest.mark.usefixtures("exchange")
def test_cluster_leader_killed(cluster: Cluster, scenario: Scenario) -> None:
    assert _is_whole(cluster)
    with scenario(NODES) as load:
        for _ in range(2):
            leader = _leader(cluster)
            leader.kill()
            until("another leads", partial(_has_moved, cluster, leader))
            load.go_on(10)
            leader.start()
            until("three members again", partial(_is_whole, cluster))


@pytest.mark.fault(6)
@pytest.mark.usefixtures("exchange")
def test_cluster_minority_cut_off(cluster: Cluster, scenario: Scenario) -> None:
    with scenario(NODES) as load:
        alone = _leader(cluster)
        cluster.cut_off(alone)
        try:
            until("the minority takes no clients", partial(is_free, alone.port))
            until("another leads", partial(_has_moved, cluster, alone))
            load.go_on(10)
        finally:
            cluster.join(alone)
        until("it takes clients again", lambda: not is_free(alone.port))
        until("three members again", partial(_is_whole, cluster))
