"""A node that is shut out on a running exchange: out at once, nothing of it or for it lost, and in again."""

import asyncio
import time
from typing import Any

import pytest

from deploy.local.errors import CommandFailed
from deploy.local.exchange import Exchange
from schemas.codes import TASK_FORCES
from schemas.registry import newest
from tests.system.play import (
    ALERT,
    await_delivered,
    come_back,
    end,
    inbox,
    keep_out,
    lose_keys,
    post,
    put_out,
    state,
    until,
)

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


def _end(exchange: Exchange, node: str) -> None:
    end(exchange, f"node-{node}")


def _await_accepted(exchange: Exchange, node: str, id: str) -> None:
    until(f"{id} of {node} accepted", lambda: state(exchange, node, id)["state"] == "accepted")


def _told(exchange: Exchange, node: str, event: str) -> list[dict[str, Any]]:
    return [n for n in exchange.node(node, "notices", "--limit", "500")["notices"] if n["event"] == event]


@pytest.mark.long
def test_what_a_revoked_node_said_stands_and_of_a_removed_one_all_is_settled(exchange: Exchange) -> None:
    later = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    question = {"kind": "request", "body": dict(newest("request").examples[0]), "reply_by": later}
    asked = post(exchange, "ro", to=["hr"], **question)
    await_delivered(exchange, [("ro", asked)])
    _end(exchange, "bg")
    said = post(exchange, "hr", to=["bg"])
    _await_accepted(exchange, "hr", said)
    _end(exchange, "hr")
    waits = post(exchange, "ro", to=["hr"])
    _await_accepted(exchange, "ro", waits)
    revoked = put_out(exchange.node_home("hr"), lambda: exchange.hub("revoke", "hr", "--reason", "it was stolen"))
    assert (revoked["state"], revoked["changed"]) == ("revoked", True)
    # Whose keys are gone when bg takes it: it is proven that it was accepted before.
    exchange.start_node("bg")
    exchange.await_nodes(["bg"])
    until("bg has what hr said", lambda: said in {message["id"] for message in inbox(exchange, "bg")})
    assert {message["id"] for message in exchange.hub("held", "list", "hr")["messages"]} == {waits}
    with pytest.raises(CommandFailed, match="ended with 4"):
        exchange.hub("remove", "hr", "--reason", "it leaves")
    gone = exchange.hub("remove", "hr", "--reason", "it leaves", "--hand-over-to", "seci")
    assert (gone["state"], gone["returned"], gone["handed_over"]) == ("removed", 1, 1)
    assert exchange.hub("held", "list", "hr")["messages"] == []
    until("ro is told", lambda: [n["message"] for n in _told(exchange, "ro", "handed_over")] == [asked])
    until("seci is told", lambda: [n["message"] for n in _told(exchange, "seci", "handed_over")] == [asked])
    until("ro has it back", lambda: state(exchange, "ro", waits)["deliveries"][0]["state"] == "returned")
    lost, words = lose_keys(exchange, "hr", *(word for code in TASK_FORCES for word in ("--task-force", code)))
    exchange.hub("approve", "hr", "--words", words)
    come_back(exchange, "hr")
    # It takes part again, and the certificate of before does not.
    asyncio.run(keep_out(lost))
    to_it = post(exchange, "ro", to=["hr"])
    await_delivered(exchange, [("ro", to_it), ("hr", post(exchange, "hr", to=["bg"]))])
    assert [message["id"] for message in inbox(exchange, "hr")] == [to_it]
