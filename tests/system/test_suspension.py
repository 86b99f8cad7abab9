"""A node that is suspended on a running exchange: out at once, nothing of it or for it lost, and in again."""

from typing import Any

import pytest

from deploy.local.exchange import Exchange
from tests.system.play import ALERT, await_delivered, inbox, post, state, until

pytestmark = pytest.mark.system


def _status(exchange: Exchange, node: str) -> dict[str, Any]:
    with exchange.api(node) as api:
        found: dict[str, Any] = api.get("/v1/status").raise_for_status().json()
        return found


def _await_version(exchange: Exchange, version: int, *nodes: str) -> None:
    until(
        f"roster version {version} at {nodes}",
        lambda: all(_status(exchange, node)["roster"]["version"] >= version for node in nodes),
    )


def test_a_suspended_node_is_out_at_once_and_in_again_with_all_its_mail(exchange: Exchange) -> None:
    broker = exchange.services.broker
    before = post(exchange, "hr")
    await_delivered(exchange, [("hr", before)])
    done = exchange.hub("suspend", "hr", "--reason", "the laptop is missing")
    # Open connections, too; what the command says was so when it returned.
    assert "node-hr" not in broker.run_ctl(["list_connections", "user"]).split()
    assert (done["state"], done["changed"]) == ("suspended", True)
    assert done["broker_s"] > 0
    until("link of hr down", lambda: not _status(exchange, "hr")["link"]["connected"])
    _await_version(exchange, done["roster"], "ro", "bg")
    with exchange.api("ro") as api:
        refused = api.post("/v1/messages", json=ALERT | {"to": ["hr", "bg"]})
        everybody = api.post("/v1/messages", json=ALERT).json()
    assert (refused.status_code, refused.json()["code"]) == (422, "recipient_suspended")
    assert refused.json()["next"]
    assert everybody["left_out"] == [{"node": "hr", "state": "suspended"}]
    assert "hr" not in everybody["recipients"]
    await_delivered(exchange, [("ro", everybody["id"])])
    [told] = [
        n for n in exchange.node("ro", "notices", "--limit", "500")["notices"] if n.get("roster") == done["roster"]
    ]
    assert (told["event"], told["node"], told["cause"]) == ("suspended", "hr", "certificate_hold")
    # Provisioning, as after an update, lets nobody in again.
    exchange.hub("provision")
    assert "node-hr" not in broker.run_ctl(["list_users"]).split()
    # What it writes meanwhile waits with it. What a repeated command says is what is so.
    kept = post(exchange, "hr")
    assert exchange.hub("suspend", "hr", "--reason", "again")["changed"] is False
    back = exchange.hub("unsuspend", "hr", "--reason", "it was in the other car")
    until("link of hr up", lambda: bool(_status(exchange, "hr")["link"]["connected"]))
    _await_version(exchange, back["roster"], "ro", "hr")
    to_it = post(exchange, "ro", to=["hr"])
    await_delivered(exchange, [("hr", kept), ("ro", to_it)])
    assert to_it in {message["id"] for message in inbox(exchange, "hr")}
    assert state(exchange, "hr", before)["state"] == "accepted"
    assert exchange.hub("held", "list", "hr")["messages"] == []
