"""A database that is away, under load: nothing is acknowledged meanwhile, and nothing counts against any message."""

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial

import pytest

from deploy.local import processes
from deploy.local.exchange import Exchange
from deploy.local.postgres import Postgres
from hub.database import WORKER
from tests.faults.conftest import Scenario
from tests.faults.lengths import lengths
from tests.faults.steps import states
from tests.system.play import kill, process, until

pytestmark = pytest.mark.system
KILLS = 6


@pytest.mark.fault(13)
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
    assert said
    assert said <= {"queued", "sent"}
    assert processes.alive(hub)
    # Each time that the hub takes its queues up anew, the broker counts a delivery of what was not acknowledged.
    assert _times_ready(exchange) - before <= 2


@pytest.mark.fault(13)
def test_hub_killed_while_the_database_is_away(exchange: Exchange, scenario: Scenario) -> None:
    # What it had in hand it could not record: had it acknowledged any of that, it would be gone.
    postgres = exchange.services.postgres
    with scenario() as load:
        postgres.kill()
        load.go_on(20)
        kill(exchange, "hub")
        postgres.start()
        exchange.start_hub()


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


@contextlib.contextmanager
def _killed_before_it_is_durable(postgres: Postgres) -> Iterator[None]:
    """Meanwhile the ledger's commits do not end, and are not on the disk; then PostgreSQL is killed, and started."""
    [started] = postgres.run_sql("SELECT extract(epoch FROM pg_postmaster_start_time())").split()
    try:
        postgres.run_sql(
            "CREATE FUNCTION held() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            f"IF extract(epoch FROM pg_postmaster_start_time()) = {started} THEN PERFORM pg_sleep(600); END IF; "
            "RETURN NULL; END $$;"
            "CREATE CONSTRAINT TRIGGER held AFTER INSERT ON ledger_leaf DEFERRABLE INITIALLY DEFERRED "
            "FOR EACH ROW EXECUTE FUNCTION held();"
        )
        yield
    finally:
        postgres.kill()
        postgres.start()
        postgres.run_sql("DROP TRIGGER IF EXISTS held ON ledger_leaf; DROP FUNCTION IF EXISTS held();")


@contextlib.contextmanager
def _killed_once_it_is_durable(postgres: Postgres) -> Iterator[None]:
    """The same with commits that are on the disk, and of which nobody is told: they wait for a copy that never was."""
    try:
        postgres.run_sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        postgres.run_sql("SELECT pg_reload_conf()")
        yield
    finally:
        postgres.run_sql("ALTER SYSTEM RESET synchronous_standby_names")
        postgres.kill()
        postgres.start()


@pytest.mark.parametrize(
    ("killed", "waits_for"),
    [
        pytest.param(_killed_before_it_is_durable, "PgSleep", id="before_it_is_durable"),
        pytest.param(_killed_once_it_is_durable, "SyncRep", id="once_it_is_durable"),
    ],
)
def test_database_killed_in_mid_commit(
    exchange: Exchange, scenario: Scenario, killed: Callable[[Postgres], AbstractContextManager[None]], waits_for: str
) -> None:
    postgres, hub = exchange.services.postgres, process(exchange.folder, "hub")
    with scenario(), killed(postgres):
        until("a commit is under way", partial(_is_committing, postgres, waits_for))
    assert processes.alive(hub)


def _is_committing(postgres: Postgres, waits_for: str) -> bool:
    """Whether a worker of the hub is in a COMMIT that waits for this."""
    query = f"""
        SELECT count(*) FROM pg_stat_activity
        WHERE application_name LIKE '{WORKER}%' AND query = 'COMMIT' AND wait_event = '{waits_for}'
    """  # noqa: S608 ours
    return int(postgres.run_sql(query)) > 0


def _times_ready(exchange: Exchange) -> int:
    return (exchange.logs / "hub.log").read_text().count('"hub_ready"')
