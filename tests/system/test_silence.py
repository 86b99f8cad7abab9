"""A hub that is silent, and a broker that brings nothing, as an agent tells of it for which nobody posts."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from deploy.local import processes
from deploy.local.exchange import Exchange
from tests.system.monitors import sample_in
from tests.system.play import process, until

pytestmark = pytest.mark.system
NODE = "hr"
PAUSE_S = 1.0
SILENT = "the hub has not answered for"


@pytest.fixture(scope="module")
def asking(exchange: Exchange) -> Iterator[Exchange]:
    """The exchange with a node that asks the hub each second; afterwards with its own settings again."""
    file = exchange.node_home(NODE) / "node.json"
    before = file.read_text()
    file.write_text(json.dumps(json.loads(before) | {"witness_pause": PAUSE_S}))
    _restart_node(exchange)
    yield exchange
    file.write_text(before)
    _restart_node(exchange)


def _restart_node(exchange: Exchange) -> None:
    processes.end(exchange.folder, [process(exchange.folder, f"node-{NODE}")])
    exchange.start_node(NODE)
    exchange.await_nodes([NODE])


def _problem(exchange: Exchange) -> dict[str, Any]:
    """What /readyz says is wrong; empty if the node is ready."""
    with exchange.api(NODE) as api:
        answer = api.get("/readyz")
    found: dict[str, Any] = answer.json()
    assert answer.status_code == (200 if found == {"status": "ok"} else 503), answer.text
    return {} if answer.status_code == 200 else found


def _is_ready(exchange: Exchange) -> bool:
    return not _problem(exchange)


def _end_hub(exchange: Exchange) -> None:
    processes.end(exchange.folder, [process(exchange.folder, "hub")])


@pytest.mark.parametrize(
    ("take_away", "give_back"),
    [
        (_end_hub, lambda exchange: exchange.start_hub()),
        (lambda exchange: exchange.services.broker.pause(), lambda exchange: exchange.services.broker.resume()),
    ],
    ids=["the hub is down", "the broker brings nothing"],
)
def test_an_agent_for_which_nobody_posts_says_that_the_hub_is_silent(
    asking: Exchange, take_away: Callable[[Exchange], None], give_back: Callable[[Exchange], None]
) -> None:
    until("an answer", lambda: _answered(asking) is not None)
    until("the node ready", lambda: _is_ready(asking))
    take_away(asking)
    try:
        # Before the link is given up: what is told then is another story.
        until("the silence told", lambda: SILENT in _problem(asking).get("detail", ""))
        with asking.api(NODE) as api:
            assert api.get("/healthz").status_code == 200
            assert sample_in(api.get("/metrics").text, "seci_node_hub_unanswered_seconds") > 0
    finally:
        give_back(asking)
    until("ready again", lambda: _is_ready(asking))


def _answered(exchange: Exchange) -> str | None:
    with exchange.api(NODE) as api:
        found: str | None = api.get("/v1/status").raise_for_status().json()["hub"]["answered"]
    return found
