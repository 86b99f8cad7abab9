"""Coordinators' orders at the hub, in a real database: a roster, an entry, a receipt; once each, none out of turn."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from crypto.orders import sign_order
from crypto.receipt import verify_receipts
from crypto.trust import Trust, open_roster
from hub import ledger, orders, registrar, tables
from hub.judge import CLOCK_AHEAD_MS, OLDEST_MS, Arrival, Ordered, Unreadable, judge
from hub.pen import writing
from hub.record import record
from schemas.control import Entry, Event, MessageType, Receipts
from schemas.membership import Act, MembershipOrder
from schemas.policy import Coordinator, Policy
from schemas.refusals import RefusalCode
from tests.crypto.people import BG, HU, NOW, RO, roster_key, roster_node, roster_of
from tests.hub.ownhub import OwnHub

NODES = tuple(roster_node(who.node, roster_key(who.signing)) for who in (BG, HU, RO))
POLICY = Policy(coordinators=(Coordinator(task_force="drugs", node="ro"),))


def order(act: Act = Act.SUSPEND, at: int = NOW, **changes: Any) -> bytes:
    fields: dict[str, Any] = {"node": "ro", "task_force": "drugs", "subject": "hu", "reason": "JCC 19"}
    signed = MembershipOrder(**{"id": UUID(int=at), "act": act, "at": at} | fields | changes)
    return sign_order(signed, BG.signing if signed.node == "bg" else RO.signing)


def arrival(body: bytes, node: str = "ro") -> Arrival:
    return Arrival(node, MessageType.MEMBERSHIP, body, 1)


@pytest.mark.parametrize(
    ("node", "now", "reason"),
    [
        ("ro", NOW, ""),
        ("bg", NOW, RefusalCode.SENDER_MISMATCH),
        ("ro", NOW + OLDEST_MS, "time_implausible"),
        ("ro", NOW - CLOCK_AHEAD_MS - 1, "time_implausible"),
    ],
)
def test_an_order_comes_from_its_own_node_in_time(node: str, now: int, reason: str) -> None:
    found = judge(arrival(order(), node), Trust.of(roster_of(*NODES)), now)
    assert isinstance(found, Unreadable if reason else Ordered)
    assert not isinstance(found, Unreadable) or found.reason == reason


async def _take(own: OwnHub, engine: AsyncEngine, *bodies: bytes) -> list[Entry]:
    """Records a batch; the entries of the receipts that go to who ordered."""
    log, trust = own.log, Trust.of(roster_of(*NODES))
    verdicts = [judge(arrival(body), trust, NOW) for body in bodies]
    async with writing(engine, log) as connection:
        recorded = await record(connection, log, verdicts, NOW)
    found = []
    for item in recorded.publications:
        assert (item.node, item.type) == ("ro", MessageType.RECEIPTS)
        bundle = Receipts.from_bytes(item.body)
        found += [proven.entry for proven in verify_receipts(bundle, log.origin, log.signer.verifier)]
    return found


@pytest.mark.system
async def test_an_order_is_carried_out_once_and_none_undoes_a_later_one(
    own: OwnHub, own_engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = own.log
    async with writing(own_engine, log) as connection:
        await registrar.publish(connection, log, NODES, log.signer.key, registrar.Change(POLICY))
    suspend, admit = order(), order(Act.ADMIT, NOW + 1)
    [entry] = await _take(own, own_engine, suspend)
    assert (entry.event, entry.node, entry.task_force, entry.recipients) == (
        *(Event.MEMBERSHIP, "ro", "drugs"),
        ("hu",),
    )
    assert (entry.evidence, entry.code, entry.detail) == (ledger.evidence(suspend), None, "suspend hu: JCC 19")
    # Two of one batch, in their order; then all that was ordered, once more.
    done = await _take(own, own_engine, admit, order(Act.SUSPEND, NOW + 2, subject="bg"))
    assert [entry.code for entry in done] == [None, None]
    again = await _take(own, own_engine, suspend, admit)
    assert [entry.detail for entry in again] == ["suspend hu: JCC 19", "admit hu: JCC 19"]
    # One that was held back on its way, and one that is no coordinator's.
    late = await _take(own, own_engine, order(Act.SUSPEND, NOW - 5), order(Act.ADMIT, NOW + 9, task_force="wmd"))
    assert [entry.code for entry in late] == [RefusalCode.ORDER_OUTDATED, RefusalCode.NOT_COORDINATOR]
    # What is so already is on record, and makes no roster.
    [same] = await _take(own, own_engine, order(Act.ADMIT, NOW + 20))
    assert same.code is None
    # Each could make a roster that all nodes keep for ever.
    monkeypatch.setattr(orders, "MOST_A_DAY", 4)
    [many] = await _take(own, own_engine, order(Act.SUSPEND, NOW + 30))
    assert many.code == RefusalCode.TOO_MANY_ORDERS
    async with own_engine.connect() as connection:
        signed = list((await connection.execute(select(tables.roster.c.signed).order_by("version"))).scalars())
    suspended = []
    for body in signed:
        policy = open_roster(body, log.signer.key.public).policy
        assert policy is not None
        suspended.append([item.node for item in policy.suspended or ()])
    assert suspended == [[], ["hu"], [], ["bg"]]
    assert own.type("ledger", "verify")[0] == 0
    code, found = own.type("ledger", "search", "--event", "membership", "--task-force", "drugs")
    assert code == 0, found
    assert [entry["node"] for entry in found["entries"]] == 6 * ["ro"]
