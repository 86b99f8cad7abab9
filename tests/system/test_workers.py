"""Several hub workers on the same queues and database: one after the other restarted under load, or killed."""

import threading
from collections.abc import Callable

import pytest

from deploy.local import processes
from deploy.local.exchange import Exchange
from tests.system.conftest import NODES
from tests.system.play import await_delivered, check_nothing_lost, post, until

pytestmark = pytest.mark.system
POSTS = 120


def _under_load(exchange: Exchange, change: Callable[[], None]) -> list[tuple[str, str]]:
    """What was posted while `change` was at work."""
    posted: list[tuple[str, str]] = []

    def load() -> None:
        for number in range(POSTS):
            sender = NODES[number % 4]
            posted.append((sender, post(exchange, sender)))

    poster = threading.Thread(target=load)
    poster.start()
    change()
    poster.join()
    assert len(posted) == POSTS
    return posted


def test_a_rolling_restart_of_two_workers_loses_nothing(exchange: Exchange) -> None:
    second = exchange.start_hub("hub-2")

    def restart() -> None:
        nonlocal second
        for name in ("hub", "hub-2"):
            old = next(found for found in processes.recorded(exchange.folder) if found.name == name)
            processes.end(exchange.folder, [old])
            second = exchange.start_hub(name)
            until("both at work", lambda: exchange.hub("status")["workers"] == 2)

    try:
        posted = _under_load(exchange, restart)
        await_delivered(exchange, posted)
        check_nothing_lost(exchange, posted, NODES)
    finally:
        processes.end(exchange.folder, [second])
    assert "stop_cut_short" not in "".join((exchange.logs / f"{name}.log").read_text() for name in ("hub", "hub-2"))


def test_one_of_two_workers_killed_leaves_its_work_to_the_other(exchange: Exchange) -> None:
    second = exchange.start_hub("hub-2")
    until("both at work", lambda: exchange.hub("status")["workers"] == 2)
    posted = _under_load(exchange, lambda: processes.kill(exchange.folder, [second]))
    await_delivered(exchange, posted)
    check_nothing_lost(exchange, posted, NODES)


@pytest.mark.parametrize("busy", [True, False])
def test_a_worker_ends_in_time_though_the_database_does_not_answer(exchange: Exchange, busy: bool) -> None:
    hub = next(found for found in processes.recorded(exchange.folder) if found.name == "hub")
    exchange.services.postgres.pause()
    try:
        posted = [("ro", post(exchange, "ro", to=["bg"]))] if busy else []
        processes.send(hub, hub.stop_signal)
        until("ended", lambda: not processes.alive(hub))
    finally:
        exchange.services.postgres.resume()
    exchange.start_hub()
    await_delivered(exchange, posted)
    check_nothing_lost(exchange, posted, NODES)
