"""A database that is away, under load: nothing is acknowledged meanwhile, and nothing counts against any message."""

import random
import time

import pytest

from deploy.local import processes
from deploy.local.exchange import Exchange
from tests.faults.conftest import Scenario
from tests.faults.lengths import lengths
from tests.faults.steps import states
from tests.system.play import process

pytestmark = pytest.mark.system
KILLS = 6


@lengths(6, 300)
@pytest.mark.parametrize("how", ["killed", pytest.param("frozen", marks=pytest.mark.long)])
def test_database(exchange: Exchange, scenario: Scenario, how: str, seconds: float) -> None:
    postgres, hub = exchange.services.postgres, process(exchange.folder, "hub")
    before = _times_ready(exchange)
    with scenario() as load:
        if how == "killed":
            postgres.kill()
        else:
            postgres.pause()
        began = len(load.posts)
        time.sleep(seconds)
        meanwhile = load.posts[began:]
        said = states(exchange, meanwhile)
        if how == "killed":
            postgres.start()
        else:
            postgres.resume()
    assert said <= {"queued", "sent"}
    assert processes.alive(hub)
    # Each time that the hub takes its queues up anew, the broker counts a delivery of what was not acknowledged.
    assert _times_ready(exchange) - before <= 2


@pytest.mark.long
def test_database_killed_at_random(exchange: Exchange, scenario: Scenario) -> None:
    chance, postgres, hub = random.Random("database"), exchange.services.postgres, process(exchange.folder, "hub")
    with scenario():
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.5, 3.0))
            postgres.kill()
            time.sleep(chance.uniform(0.0, 1.0))
            postgres.start()
    assert processes.alive(hub)


def _times_ready(exchange: Exchange) -> int:
    return (exchange.logs / "hub.log").read_text().count('"hub_ready"')
