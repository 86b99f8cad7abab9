"""What monitors see of a running hub, in good days and in bad ones."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from deploy.local import processes
from deploy.local.exchange import Exchange
from deploy.local.instance import REPOSITORY
from hub.topology import CANARY_QUEUE
from tests.system.conftest import NODES
from tests.system.monitors import is_ready, look, sample
from tests.system.play import await_delivered, end, kill, post, process, until

pytestmark = pytest.mark.system


def _lacks(exchange: Exchange, code: str) -> bool:
    answer = look(exchange, "/readyz")
    if answer.status_code == 200:
        return False
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (problem["status"], problem["code"]) == (503, problem["errors"][0]["code"])
    assert problem["next"]
    return code in [error["code"] for error in problem["errors"]]


def test_a_hub_at_work_is_ready_and_its_canary_is_fresh(watched: Exchange) -> None:
    until("the hub ready", partial(is_ready, watched))
    assert look(watched, "/healthz").json() == {"status": "ok"}
    assert look(watched, "/readyz").json() == {"status": "ok"}
    flown = sample(watched, "seci_hub_canary_round_trip_seconds_count")
    until("more canaries", lambda: sample(watched, "seci_hub_canary_round_trip_seconds_count") > flown + 1)
    assert look(watched, "/anything").status_code == 404


def test_counts_move_with_the_messages(watched: Exchange) -> None:
    until("the hub ready", partial(is_ready, watched))
    counted = {
        outcome: partial(sample, watched, "seci_hub_messages_total", outcome=outcome)
        for outcome in ("accepted", "delivered", "quarantined")
    }
    before = {outcome: count() for outcome, count in counted.items()}
    posted = [("ro", post(watched, "ro")) for _ in range(5)]
    await_delivered(watched, posted)
    assert counted["accepted"]() == before["accepted"] + 5
    assert counted["delivered"]() == before["delivered"] + 5 * (len(NODES) - 1)
    assert counted["quarantined"]() == before["quarantined"], "no canary becomes a verdict"
    assert sample(watched, "seci_hub_ledger_entries") == watched.hub("status")["ledger"]["size"]
    assert sample(watched, "seci_hub_batch_messages_sum") >= 5


@pytest.mark.parametrize(
    ("take_away", "give_back", "code"),
    [
        ("postgres.stop", "postgres.start", "database_unreachable"),
        ("postgres.pause", "postgres.resume", "database_unreachable"),
        ("broker.kill", "broker.start", "broker_unreachable"),
        ("broker.pause", "broker.resume", "canary_unconfirmed"),
    ],
)
def test_what_is_away_is_named_until_it_is_back(watched: Exchange, take_away: str, give_back: str, code: str) -> None:
    until("the hub ready", partial(is_ready, watched))
    pid = process(watched.folder, "hub").pid
    _service(watched, take_away)()
    try:
        until(f"{code} told", partial(_lacks, watched, code))
        assert look(watched, "/healthz").status_code == 200
        assert look(watched, "/metrics").status_code == 200
    finally:
        _service(watched, give_back)()
    until("ready again", partial(is_ready, watched))
    assert process(watched.folder, "hub").pid == pid


def _service(exchange: Exchange, action: str) -> Callable[[], None]:
    service, verb = action.split(".")
    found: Callable[[], None] = getattr(getattr(exchange.services, service), verb)
    return found


def test_an_intake_that_brings_no_canary_is_opened_again(watched: Exchange) -> None:
    until("the hub ready", partial(is_ready, watched))
    interruptions = partial(sample, watched, "seci_hub_events_total", event="hub_interrupted", code="BrokerUnreachable")
    before = interruptions()
    # Its consumer goes with the queue, and nobody but the watchdog misses it.
    watched.services.broker.run_ctl(["delete_queue", CANARY_QUEUE, "-p", "siex"])
    until("queue_missing told", partial(_lacks, watched, "queue_missing"))
    watched.hub("provision")
    until("ready again", partial(is_ready, watched))
    assert interruptions() > before


def test_a_second_worker_has_a_monitor_of_its_own_and_a_dead_one_is_forgotten(watched: Exchange) -> None:
    second = watched.start_hub("hub-2")
    try:
        until("both ready", lambda: is_ready(watched) and is_ready(watched, "hub-2"))
        assert sample(watched, "seci_hub_workers") == 2
        kill(watched, "hub-2")
        file = watched.hub_home / f"monitor.{second.pid}.json"
        assert file.exists()
        second = watched.start_hub("hub-2")
        until("the dead one's file gone", lambda: is_ready(watched, "hub-2") and not file.exists())
    finally:
        end(watched, "hub-2")
    assert not (watched.hub_home / f"monitor.{second.pid}.json").exists()


def _top(exchange: Exchange, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "hub.cli", "top", "--home", str(exchange.hub_home), *arguments]


def test_top_shows_the_hub_at_work(watched: Exchange) -> None:
    argv = _top(watched, "--json", "--count", "2", "--interval", "0.5")
    done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=True)
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert first["rates"] is None
    assert second["reading"]["ledger"] >= first["reading"]["ledger"] > 0
    assert second["rates"]["accepted"] >= 0
    assert second["reading"]["workers"] == 1


def test_top_goes_on_until_it_is_interrupted(watched: Exchange) -> None:
    argv = _top(watched, "--json", "--interval", "0.5")
    with subprocess.Popen(argv, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as top:
        before = _waiting(_look(top, lambda look: look["undelivered"] is not None), "bg")
        processes.send(process(watched.folder, "node-bg"), signal.SIGSTOP)
        try:
            post(watched, "ro", to=["bg"])
            look = _look(top, lambda look: bool(look["queues"]) and _waiting(look, "bg") > before)
        finally:
            processes.send(process(watched.folder, "node-bg"), signal.SIGCONT)
            top.send_signal(signal.SIGINT)
        assert top.wait(60) == 0
    assert _waiting(look, "bg") == before + 1
    assert {queue["name"] for queue in look["queues"]} >= {"q.in.ro", "q.inbox.bg.urgent", CANARY_QUEUE}


def _waiting(look: dict[str, Any], node: str) -> int:
    return sum(waiting["number"] for waiting in look["undelivered"] or () if waiting["node"] == node)


def _look(top: subprocess.Popen[str], wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The next look that is as wanted; fails after a minute of others."""
    assert top.stdout is not None
    for _ in range(120):
        look: dict[str, Any] = json.loads(top.stdout.readline())
        if wanted(look):
            return look
    raise AssertionError("no look is as wanted")
