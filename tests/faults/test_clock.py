"""Clocks that are wrong: who is wrong is told, and once they are right nothing is missing."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from deploy.local.clock import READ_EVERY_S, Clock
from deploy.local.exchange import Exchange
from tests.faults.conftest import Decision
from tests.faults.load import ACCEPTED, Post
from tests.faults.steps import start_nodes, status
from tests.system.play import await_delivered, end, post, state, until

pytestmark = pytest.mark.system
HOUR_S = 3600


@pytest.fixture
def clock(exchange: Exchange) -> Iterator[Clock]:
    """The clock of node hr, right at first; afterwards its agent goes by the machine's again."""
    clock = Clock(exchange.folder / "hr.clock")
    clock.set_ahead(0)
    end(exchange, "node-hr")
    replace(exchange, clock=clock).start_node("hr")
    exchange.await_nodes(["hr"])
    yield clock
    end(exchange, "node-hr")
    start_nodes(exchange, "hr")


def _set(clock: Clock, seconds: int) -> None:
    clock.set_ahead(seconds)
    time.sleep(2 * READ_EVERY_S)


def _doctor(exchange: Exchange, clock: Clock) -> list[dict[str, Any]]:
    stages: list[dict[str, Any]] = replace(exchange, clock=clock).node("hr", "doctor")["stages"]
    return stages


def _posted(exchange: Exchange, sender: str, recipient: str) -> Post:
    return Post(sender, post(exchange, sender, to=[recipient]), (recipient,), (ACCEPTED,))


def _is_put_aside(exchange: Exchange, node: str, message: str) -> bool:
    """Whether the hub has put aside a node's acknowledgement of just this message, for the time that it names."""
    query = f"""
        SELECT count(*) FROM quarantine JOIN quarantine_content USING (node, digest)
        WHERE node = '{node}' AND type = 'acknowledgement' AND reason = 'time_implausible'
        AND position(decode('{UUID(message).hex}', 'hex') IN content) > 0
    """  # noqa: S608 ours
    return int(exchange.services.postgres.run_sql(query)) > 0


def test_clock_an_hour_ahead(exchange: Exchange, clock: Clock, nothing_lost: Decision) -> None:
    _set(clock, HOUR_S)
    id = post(exchange, "hr", to=["ro"])
    until("refused", lambda: state(exchange, "hr", id)["state"] == "refused")
    refusal = state(exchange, "hr", id)["refusal"]
    assert refusal["code"] == "created_in_future"
    assert "ahead of the hub's clock" in refusal["detail"]
    assert "set it" in refusal["next"]
    assert "ahead of the hub's" in status(exchange, "hr")["warnings"][0]
    stage = _doctor(exchange, clock)[-1]
    assert (stage["name"], stage["ok"], "NTP" in stage["next"]) == ("clock", False, True)
    # Its acknowledgements are of an hour to come, too: the hub puts them aside.
    to_hr = _posted(exchange, "ro", "hr")
    until("acknowledgement put aside", lambda: _is_put_aside(exchange, "hr", to_hr.id))
    _set(clock, 0)
    nothing_lost([to_hr, _posted(exchange, "hr", "ro")])
    assert status(exchange, "hr")["warnings"] == []
    assert all(stage["ok"] for stage in _doctor(exchange, clock))


def test_clock_an_hour_behind(exchange: Exchange, clock: Clock, nothing_lost: Decision) -> None:
    # It is behind its own keys, too: it dates nothing before the roster that lists them, and so takes part.
    _set(clock, -HOUR_S)
    posts = [_posted(exchange, "hr", "ro"), _posted(exchange, "ro", "hr")]
    await_delivered(exchange, [(sent.sender, sent.id) for sent in posts])
    assert "behind the hub's" in status(exchange, "hr")["warnings"][0]
    stage = next(stage for stage in _doctor(exchange, clock) if stage["name"] == "clock")
    assert (stage["ok"], "NTP" in stage["next"]) == (False, True)
    _set(clock, 0)
    nothing_lost([*posts, _posted(exchange, "ro", "hr"), _posted(exchange, "hr", "ro")])
    assert status(exchange, "hr")["warnings"] == []
