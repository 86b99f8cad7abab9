"""A coordinator's order at its node, on a real store: refused at once, or kept until the hub has answered it."""

import hashlib
from typing import Any

import pytest

from crypto.note import Checkpoint, NoteSigner, sign_note
from crypto.receipt import leaf_of
from crypto.trust import Trust
from nodes import orders
from nodes.agent import Agent
from nodes.errors import IdReused, RoutingRefused
from nodes.orders import LONGEST_PAUSE_MS, Wanted
from nodes.receiving import Arrival
from schemas.control import Entry, Event, MessageType, Receipt, Receipts
from schemas.header import new_id
from schemas.membership import Act
from schemas.policy import Coordinator, Policy
from schemas.refusals import RefusalCode
from tests.crypto.people import BG, HUB, NOW, RO
from tests.nodes.conftest import ORIGIN, roster

LEADS = Policy(coordinators=(Coordinator(task_force="drugs", node="bg"),))


@pytest.fixture
def coordinator(agent: Agent) -> Agent:
    agent.trust = Trust.of(roster(1, BG, RO).model_copy(update={"policy": LEADS}))
    return agent


async def give(agent: Agent, task_force: str = "drugs", **changes: Any) -> dict[str, Any]:
    wanted = Wanted(**{"act": Act.SUSPEND, "node": "ro", "reason": "JCC 19"} | changes)
    return await orders.give(agent.box, agent.trust, "bg", agent.keys.signing, task_force, wanted)


def receipt(entry: Entry) -> Arrival:
    data = entry.to_bytes()
    note = sign_note(Checkpoint(ORIGIN, 1, leaf_of(bytes(32), data)).text(), NoteSigner(ORIGIN, HUB.signing))
    bundle = Receipts(checkpoint=note, receipts=(Receipt(index=0, entry=data, salt=bytes(32), proof=()),))
    return Arrival(MessageType.RECEIPTS, bundle.to_bytes(), 1)


async def test_orders_go_out_in_turn_until_the_hub_has_answered(coordinator: Agent) -> None:
    box, id = coordinator.box, new_id()
    first = await give(coordinator, id=id)
    assert await give(coordinator, id=id) == first
    with pytest.raises(IdReused):
        await give(coordinator, id=id, act=Act.ADMIT)
    second = await give(coordinator, act=Act.ADMIT)
    sent = await box.run(orders.due, NOW)
    assert sent is not None
    assert sent.id == first["id"]
    await box.run(orders.mark_sent, sent.id, NOW)
    assert await box.run(orders.due, NOW + 1) is None
    again = await box.run(orders.due, NOW + 5_000)
    # Also if the clock was ahead when it was put off.
    assert again == sent == await box.run(orders.due, NOW - LONGEST_PAUSE_MS)
    [_, row] = await box.run(orders.listing, 10)
    assert row["state"] == "queued"
    digest = hashlib.sha256(sent.signed).digest()
    entry = Entry(event=Event.MEMBERSHIP, at=NOW, node="bg", task_force="drugs", evidence=digest, detail="d")
    await box.run(coordinator.take_in, [receipt(entry)])
    [newer, older] = await box.run(orders.listing, 10)
    assert (older["state"], older["ledger_index"], newer["state"]) == ("accepted", 0, "queued")
    following = await box.run(orders.due, NOW)
    assert following is not None
    assert following.id == second["id"]


@pytest.mark.parametrize(
    ("event", "code"), [(Event.MEMBERSHIP, "not_coordinator"), (Event.QUARANTINED, "envelope_malformed")]
)
async def test_what_the_hub_refuses_is_told(coordinator: Agent, event: Event, code: str) -> None:
    await give(coordinator)
    sent = await coordinator.box.run(orders.due, NOW)
    assert sent is not None
    said = RefusalCode.NOT_COORDINATOR if event is Event.MEMBERSHIP else None
    digest = hashlib.sha256(sent.signed).digest()
    entry = Entry(event=event, at=NOW, node="bg", evidence=digest, code=said, detail="why")
    await coordinator.box.run(coordinator.take_in, [receipt(entry)])
    [row] = await coordinator.box.run(orders.listing, 10)
    assert (row["state"], row["refusal"]["code"], row["refusal"]["detail"]) == ("refused", code, "why")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"task_force": "wmd"}, "not_coordinator"),
        ({"node": "hu"}, "recipient_unknown"),
        ({"node": "bg"}, "policy_refused"),
    ],
)
async def test_what_is_not_this_node_s_to_order_is_refused_at_once(
    coordinator: Agent, changes: dict[str, Any], code: str
) -> None:
    with pytest.raises(RoutingRefused) as caught:
        await give(coordinator, **changes)
    assert caught.value.code == code
    assert await coordinator.box.run(orders.listing, 10) == []
