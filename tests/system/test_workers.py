"""Several hub workers on the same queues and database: one after the other restarted under load, or killed."""

from collections.abc import Callable, Iterator
from functools import partial

import pytest

from deploy.local.exchange import Exchange
from tests.system.conftest import NODES
from tests.system.monitors import is_ready
from tests.system.play import await_delivered, check_nothing_lost, end, kill, post, start_missing, talking, until
from tests.system.watching import Log

pytestmark = pytest.mark.system
WAYS = (("ro", "bg"), ("bg", "tr"), ("tr", "hr"), ("hr", "seci"))
POSTS = 20
WORKERS = ("hub", "hub-2")


def _under_load(exchange: Exchange, change: Callable[[], None]) -> list[tuple[str, str]]:
    """What was posted before, while and after `change` was at work."""
    with talking(exchange, *WAYS, pause_s=0.1) as posted:
        until("there is load", lambda: len(posted) > POSTS)
        change()
        before = len(posted)
        until("there is load still", lambda: len(posted) > before + POSTS)
    return posted


@pytest.fixture
def two_workers(watched: Exchange) -> Iterator[Exchange]:
    """The exchange with a second worker, `hub-2`, and both at work."""
    watched.start_hub("hub-2")
    try:
        for name in WORKERS:
            until(f"{name} at work", partial(is_ready, watched, name))
        yield watched
    finally:
        end(watched, "hub-2")


def test_a_rolling_restart_of_two_workers_loses_nothing(two_workers: Exchange) -> None:
    logs = [Log.of(two_workers, name) for name in WORKERS]

    def restart() -> None:
        for name in WORKERS:
            try:
                end(two_workers, name)
            finally:
                two_workers.start_hub(name)
            # Only then may the other one go.
            until(f"{name} at work", partial(is_ready, two_workers, name))

    posted = _under_load(two_workers, restart)
    await_delivered(two_workers, posted)
    check_nothing_lost(two_workers, posted, NODES)
    assert "stop_cut_short" not in "".join(log.text() for log in logs)


def test_one_of_two_workers_killed_leaves_its_work_to_the_other(two_workers: Exchange) -> None:
    posted = _under_load(two_workers, lambda: kill(two_workers, "hub-2"))
    await_delivered(two_workers, posted)
    check_nothing_lost(two_workers, posted, NODES)


@pytest.mark.parametrize("busy", [True, False])
def test_a_worker_ends_in_time_though_the_database_does_not_answer(exchange: Exchange, busy: bool) -> None:
    exchange.services.postgres.pause()
    try:
        posted = [("ro", post(exchange, "ro", to=["bg"]))] if busy else []
        end(exchange, "hub")
    finally:
        exchange.services.postgres.resume()
        start_missing(exchange, "hub")
    await_delivered(exchange, posted)
    check_nothing_lost(exchange, posted, NODES)
