"""What both consoles show of an exchange at work: the same as the commands, asked of the same parts."""

import asyncio
import json
from typing import Any

import httpx2
import pytest

from crypto import expiry
from deploy.local.exchange import Exchange
from hub import database
from hub.console.lookout import Lookout
from hub.console.view import Seen, view
from hub.settings import Settings
from hub.setup import ledger_of
from hub.situation import REACHABLE
from tests.system.conftest import NODES
from tests.system.play import until

pytestmark = pytest.mark.system


def test_a_node_s_console_shows_what_its_status_does(exchange: Exchange) -> None:
    home = exchange.node_home("ro")
    until("a checkpoint is witnessed", lambda: bool(_status(exchange)["witness"]["witnessed"]))
    url = json.loads((home / "api.json").read_text())["url"]
    with httpx2.Client(base_url=url, headers={"Origin": url}, timeout=30) as browser:
        given = {"token": (home / "api.token").read_text().strip()}
        assert browser.post("/console/sign-in", data=given).headers["location"] == "/console"
        page = browser.get("/console").text
        status = _status(exchange)
    assert "<dd>connected" in page and "Romania" in page
    assert f"version {status['roster']['version']}" in page
    assert "no checkpoint yet" not in page
    assert (f"({len(status['warnings'])})" in page) == bool(status["warnings"])


def _status(exchange: Exchange) -> Any:
    with exchange.api("ro") as api:
        return api.get("/v1/status").json()


def test_the_hub_s_console_shows_what_broker_and_database_say(exchange: Exchange) -> None:
    seen = asyncio.run(_looked(exchange))
    told, found = exchange.hub("status"), view(seen)
    assert (seen.broker, seen.queues_trouble) == (REACHABLE, None)
    assert {node.node: node.agent for node in found.nodes} == dict.fromkeys(NODES, "at work")
    assert [alert.name for alert in found.alerts if alert.loud] == []
    assert seen.situation.told["ledger"]["vkey"] == told["ledger"]["vkey"]
    # Two keys, the witness's, and the certificate.
    assert len(told["node_ends"]) == 4 * len(NODES)
    assert told["node_ends"].keys() == seen.situation.node_ends.keys()
    assert expiry.warnings(seen.situation.node_ends, seen.situation.at) == []
    assert told["ledger"]["witnessed"] is None or told["ledger"]["witnessed"] <= told["ledger"]["size"]


async def _looked(exchange: Exchange) -> Seen:
    settings = Settings.load(exchange.hub_home)
    engine = database.engine_of(settings.database_url)
    try:
        lookout = Lookout(settings, engine, ledger_of(settings))
        first = await lookout.look()
        # However many watch, it is asked once in a while.
        assert await lookout.look() is first
        return first
    finally:
        await engine.dispose()
