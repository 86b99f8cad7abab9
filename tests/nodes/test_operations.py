"""What is sent under an operation's name, by whatever way, is held against the plans that this node has."""

import json
from typing import Any

import pytest
from sqlalchemy import event, update
from sqlalchemy.engine import Connection

from crypto.trust import Trust
from nodes import inbox, operations, outbox, store
from nodes.agent import Agent
from nodes.errors import RoutingRefused
from nodes.outgoing import Outgoing
from nodes.receiving import Arrival
from schemas.control import MessageType
from schemas.header import new_id
from tests.crypto.people import BG, NOW, RO, TR, sealed
from tests.nodes.conftest import FAR, roster

DATES = {"begins": "2004-05-17", "ends": "2004-05-26"}
PLAN = {"name": "MIRAGE", "year": 2004, "objective": "o", "countries": ["BG"], "agencies": ["police"]} | DATES
REPORT = {"name": "MIRAGE", "year": 2004, "country": "BG", "agency": "police"} | DATES
REPORT |= {"results": [{"indicator": "requests-initiated", "count": 1}]}
SEIZURE = {
    "seized_on": "2004-05-18",
    "country": "BG",
    "seizures": [{"substance": "opium", "quantity": 1, "unit": "kg"}],
}
ALERT = {"title": "a", "text": "b"}


@pytest.fixture(name="bg")
def bulgaria(agent: Agent) -> Agent:
    """Bulgaria's agent, which knows Turkey too."""
    agent.trust = Trust.of(roster(2, RO, BG, TR))
    return agent


async def come(agent: Agent, kind: str, body: dict[str, Any], sender: str = "ro", **changes: Any) -> str:
    id = new_id(NOW)
    fields = {"id": id, "thread": id, "expires": FAR, "kind": kind} | changes
    envelope = sealed(json.dumps(body).encode(), sender, **fields)
    await agent.box.run(agent.take_in, [Arrival(MessageType.ENVELOPE, envelope, 1)])
    assert (await agent.box.run(inbox.show, agent.box, str(id)))["state"] == "delivered"
    return str(id)


async def send(agent: Agent, kind: str, body: dict[str, Any], **fields: Any) -> dict[str, Any]:
    message = Outgoing.model_validate({"kind": kind, "body": body, "task_force": "drugs"} | fields)
    return (await outbox.accept(agent.box, message, "bg", agent.keys, agent.trust))[0]


async def refused(agent: Agent, kind: str, body: dict[str, Any], **fields: Any) -> RoutingRefused:
    with pytest.raises(RoutingRefused) as caught:
        await send(agent, kind, body, **fields)
    return caught.value


async def test_a_node_without_any_plan_says_that_nobody_has_checked_the_name(bg: Agent) -> None:
    told = "operation: no plan of any operation is here, so nobody has checked the name 'MIRAGE 2004'"
    assert (await send(bg, "operation.report", REPORT))["warnings"] == [told]
    assert (await send(bg, "drugs.seizure", SEIZURE, operation="Mirage  2004"))["warnings"] == [told]
    assert (await send(bg, "drugs.seizure", SEIZURE))["warnings"] == []
    assert (await send(bg, "operation.report", REPORT, new_operation=True))["warnings"] == []


async def test_a_name_that_no_plan_has_is_refused_with_what_may_be_meant(bg: Agent) -> None:
    plan = await come(bg, "operation.plan", PLAN)
    assert (await send(bg, "operation.report", REPORT))["warnings"] == []
    assert (await send(bg, "drugs.seizure", SEIZURE, operation="Mirage  2004"))["warnings"] == []
    for kind, body, fields in (
        ("operation.report", REPORT | {"name": "MIRAGGE"}, {}),
        ("operation.report", REPORT | {"year": "2005"}, {}),
        ("drugs.seizure", SEIZURE, {"operation": "MIRAGE"}),
        ("alert", ALERT, {"operation": "MIRAGE 2003"}),
    ):
        found = await refused(bg, kind, body, **fields)
        assert (found.code, "did you mean MIRAGE 2004?" in str(found)) == ("operation_unplanned", True)
    assert (await send(bg, "alert", ALERT, operation="MIRAGE 2003", new_operation=True))["warnings"] == []
    found = await refused(bg, "operation.report", REPORT, operation="MIRAGE 2003")
    assert found.code == "operation_mismatch"
    # What its sender has taken back is no plan; then none is here.
    await come(bg, "withdrawal", {"message": plan, "reason": "wrong"}, created=NOW + 9)
    assert (await send(bg, "operation.report", REPORT | {"name": "MIRAGGE"}))["warnings"] != []


async def test_plans_of_one_s_own_count_and_as_corrected_and_not_if_they_reached_nobody(bg: Agent) -> None:
    own = await send(bg, "operation.plan", PLAN | {"name": "MIRROR"})
    assert (await send(bg, "alert", ALERT, operation="MIRROR 2004"))["warnings"] == []
    content = {"kind": "operation.plan", "kind_version": 1, "body": PLAN}
    await send(bg, "correction", {"message": own["id"], "content": content, "text": "mistyped"})
    assert await bg.box.run(operations.planned, bg.box) == ("MIRAGE 2004",)
    found = await refused(bg, "alert", ALERT, operation="MIRROR 2004")
    assert found.code == "operation_unplanned"
    await bg.box.run(lambda connection: connection.execute(update(store.outbox).values(state="refused")))
    assert await bg.box.run(operations.planned, bg.box) == ()


async def test_what_amends_is_of_the_operation_of_what_it_amends(bg: Agent) -> None:
    wrong = await send(bg, "operation.report", REPORT | {"name": "MIRAGGE"})
    seized = await send(bg, "drugs.seizure", SEIZURE, operation="MIRAGGE 2004")
    await come(bg, "operation.plan", PLAN)
    content = {"kind": "operation.report", "kind_version": 1, "body": REPORT | {"name": "MIRAGEE"}}
    about = {"message": wrong["id"], "content": content, "text": "mistyped"}
    assert (await refused(bg, "correction", about)).code == "operation_unplanned"
    right = about | {"content": content | {"body": REPORT}}
    assert (await send(bg, "correction", right, operation="MIRAGGE 2004"))["warnings"] == []
    gone = {"message": seized["id"], "reason": "wrong"}
    assert (await send(bg, "withdrawal", gone, operation="MIRAGGE 2004"))["state"] == "queued"


async def test_a_request_that_is_repeated_is_not_asked_again(bg: Agent) -> None:
    id = str(new_id())
    await send(bg, "alert", ALERT, operation="MIRAGE 2003", id=id)
    await come(bg, "operation.plan", PLAN)
    assert (await send(bg, "alert", ALERT, operation="MIRAGE 2003", id=id))["id"] == id
    # That the plan is to come says nothing of the message: it is the same.
    assert (await send(bg, "alert", ALERT, operation="MIRAGE 2003", id=id, new_operation=True))["id"] == id


async def test_plans_are_found_without_reading_all_that_was_sent_and_came(bg: Agent) -> None:
    asked: list[str] = []

    def plans_of(connection: Connection) -> list[str]:
        event.listen(connection, "before_cursor_execute", lambda *given: asked.append(given[2]))
        operations.planned(connection, bg.box)
        chosen = [one for one in asked if "FROM outbox" in one or "FROM inbox" in one][:2]
        return [
            row[3]
            for one in chosen
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {one}", ("x",) * one.count("?"))
        ]

    told = " ".join(await bg.box.run(plans_of))
    assert ("outbox_plan" in told, "inbox_plan" in told) == (True, True), told
