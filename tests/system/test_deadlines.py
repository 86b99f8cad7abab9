"""Deadlines, the quarantine, and the order of threads, on real services."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deploy.local.errors import CommandFailed
from deploy.local.exchange import Exchange
from deploy.local.forgery import seal_as
from tests.system.conftest import NODES
from tests.system.play import await_delivered, bury, check_nothing_lost, end, inbox, post, state, until

pytestmark = pytest.mark.system
QUESTION: dict[str, Any] = {
    "kind": "request",
    "task_force": "vehicles",
    "body": {"purpose": "Sale of a vehicle", "legal_basis": "SECI Agreement", "question": "Is it sought?"},
}


def _in(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def _notices(exchange: Exchange, node: str, id: str) -> list[tuple[str, str]]:
    with exchange.api(node) as api:
        found = api.get("/v1/notices", params={"limit": 500}).raise_for_status().json()["notices"]
    return [(item["event"], item["recipient"]) for item in found if item["message"] == id]


def test_who_does_not_answer_is_reminded_and_then_the_operators_are_told(exchange: Exchange) -> None:
    id = post(exchange, "bg", **QUESTION, to=["tr", "hr"], reply_by=_in(8), expires=_in(3600))
    await_delivered(exchange, [("bg", id)])
    answer = {"result": "no_hit", "text": "Not in our registers."}
    post(exchange, "hr", kind="reply", task_force=None, in_reply_to=id, body=answer)
    until("escalated", lambda: ("escalated", "tr") in _notices(exchange, "bg", id))
    assert _notices(exchange, "bg", id) == [("reminded", "tr"), ("escalated", "tr")]
    assert _notices(exchange, "tr", id) == [("reminded", "tr"), ("escalated", "tr")]
    assert _notices(exchange, "hr", id) == []
    assert [notice["event"] for notice in state(exchange, "bg", id)["notices"]] == ["reminded", "escalated"]
    owed = {item["message"]: item for item in exchange.hub("deadlines")["deadlines"]}
    assert (owed[id]["waits_for"], owed[id]["overdue"]) == ("tr", True)
    assert exchange.hub("status")["overdue"] >= 1
    debts = {node: next(m for m in inbox(exchange, node) if m["id"] == id) for node in ("tr", "hr")}
    assert [(m["answered"], m["overdue"]) for m in debts.values()] == [(False, True), (True, False)]
    steps = [step["event"] for step in exchange.hub("trace", id)["steps"]]
    assert steps.index("accepted") < steps.index("reminded") < steps.index("escalated")
    # An answer that comes after all ends it.
    post(exchange, "tr", kind="reply", task_force=None, in_reply_to=id, body=answer)
    until("settled", lambda: id not in {item["message"] for item in exchange.hub("deadlines")["deadlines"]})
    assert exchange.hub("ledger", "verify")["ok"]


def test_what_a_recipient_does_not_take_in_time_expires_for_it_alone(exchange: Exchange) -> None:
    end(exchange, "node-hr")
    try:
        id = post(exchange, "ro", to=["hr", "bg"], expires=_in(6))
        until("expired for hr", lambda: _notices(exchange, "ro", id) == [("expired", "hr")])
        states = {item["recipient"]: item["state"] for item in state(exchange, "ro", id)["deliveries"]}
        assert states == {"bg": "delivered", "hr": "expired"}
    finally:
        exchange.start_node("hr")
        exchange.await_nodes(["hr"])
    until("told to hr", lambda: _notices(exchange, "hr", id) == [("expired", "hr")])
    # It came back within what is allowed for clocks, and took the message after all.
    until("late", lambda: [d.get("late") for d in state(exchange, "ro", id)["deliveries"]] == [None, True])
    steps = exchange.hub("trace", id)["steps"]
    assert {step["node"]: step.get("late") for step in steps if step["event"] == "delivered"} == {
        "bg": None,
        "hr": True,
    }


def test_a_dead_letter_is_released_once_and_then_delivered(exchange: Exchange) -> None:
    envelope = seal_as(exchange.node_home("hr"), "hr")
    before = {item["index"] for item in exchange.hub("quarantine", "list")["quarantined"]}
    asyncio.run(bury(exchange, [("q.in.hr", envelope, "envelope")]))

    def found() -> list[int]:
        listed = exchange.hub("quarantine", "list")["quarantined"]
        return [item["index"] for item in listed if item["index"] not in before]

    until("in quarantine", lambda: len(found()) == 1)
    index = str(found()[0])
    had = {message["id"] for message in inbox(exchange, "bg")}
    released = exchange.hub("quarantine", "release", index, "--reason", "the worker was at fault")
    assert released["became"] == "accepted"
    until("delivered", lambda: len({message["id"] for message in inbox(exchange, "bg")} - had) == 1)
    with pytest.raises(CommandFailed, match="ended with 4"):
        exchange.hub("quarantine", "release", index, "--reason", "again")
    shown = exchange.hub("quarantine", "show", index)
    assert (shown["decision"], shown["decided_because"], shown["size"]) == ("released", "the worker was at fault", None)
    assert exchange.hub("ledger", "verify")["ok"]


@pytest.mark.long
def test_what_is_discarded_is_gone_and_what_is_unreadable_stays_so(exchange: Exchange) -> None:
    before = {item["index"] for item in exchange.hub("quarantine", "list")["quarantined"]}
    asyncio.run(bury(exchange, [("q.in.hr", b"no envelope, and it killed a worker", "envelope")]))
    until(
        "in quarantine",
        lambda: bool({item["index"] for item in exchange.hub("quarantine", "list")["quarantined"]} - before),
    )
    (index,) = {item["index"] for item in exchange.hub("quarantine", "list")["quarantined"]} - before
    with pytest.raises(CommandFailed, match="ended with 4"):
        exchange.hub("quarantine", "release", str(index), "--reason", "let us see")
    exchange.hub("quarantine", "discard", str(index), "--reason", "rubbish")
    assert index not in {item["index"] for item in exchange.hub("quarantine", "list")["quarantined"]}
    left = "select count(*) from quarantine_content c join quarantine q using (node, digest) where q.leaf_index = "
    assert exchange.services.postgres.run_sql(f"{left}{index}") == "0"
    assert exchange.hub("ledger", "verify")["ok"]


def test_a_thread_arrives_in_its_order_through_both_lanes_and_two_workers(exchange: Exchange) -> None:
    exchange.start_hub("hub-2")
    try:
        question = post(exchange, "bg", **QUESTION, to=["tr"])
        await_delivered(exchange, [("bg", question)])
        posted = []
        for number in range(30):
            # An urgent one overtakes the one before it on its way, and must not in the inbox.
            body = {"result": "no_hit", "text": f"Part {number}"}
            priority = "urgent" if number % 2 else "normal"
            reply = {"kind": "reply", "task_force": None, "in_reply_to": question, "body": body, "priority": priority}
            posted.append(("tr", post(exchange, "tr", **reply)))
        await_delivered(exchange, posted)
        ledger = {m["id"]: m["index"] for m in exchange.hub("messages", "--node", "tr", "--limit", "500")["messages"]}
        ours = [message["id"] for message in inbox(exchange, "bg") if ("tr", message["id"]) in posted]
        assert ours == sorted(ours, key=lambda id: ledger[id])
        check_nothing_lost(exchange, posted, NODES)
    finally:
        end(exchange, "hub-2")
