"""What a coordinator's order makes of a roster, and which orders are none of its business."""

from typing import Any
from uuid import UUID

import pytest

from schemas.access import Access
from schemas.control import ControlRefused
from schemas.membership import Act, Membership, MembershipOrder, OrderRefused, carried_out
from schemas.participants import PARTICIPANTS
from schemas.policy import Opening, Policy, Suspension
from schemas.roster import Roster, RosterNode
from tests.crypto.people import NOW, roster_node

NODES = tuple(
    roster_node(node, task_forces=forces).model_copy(update={"category": PARTICIPANTS[node].category})
    for node, forces in (
        *(("al", ("salw",)), ("bg", ("terrorism", "trafficking")), ("hu", ()), ("iom", ()), ("ro", ("trafficking",))),
        ("seci", ("salw", "trafficking")),
    )
)


def roster(policy: Policy | None = None, nodes: tuple[RosterNode, ...] = NODES) -> Roster:
    return Roster(version=1, at=NOW, nodes=nodes, policy=policy)


def order(act: Act = Act.ADMIT, **changes: Any) -> MembershipOrder:
    fields: dict[str, Any] = {"node": "ro", "task_force": "trafficking", "subject": "hu", "at": NOW, "reason": "JCC 19"}
    return MembershipOrder(**{"id": UUID(int=1), "act": act} | fields | changes)


def after(done: Membership) -> Access:
    return Access.of(roster(done.policy, done.nodes))


def test_a_coordinator_admits_suspends_and_admits_again() -> None:
    admitted = carried_out(roster(), order())
    assert after(admitted).is_member("hu", "trafficking")
    out = carried_out(roster(admitted.policy, admitted.nodes), order(Act.SUSPEND))
    assert out.policy.suspended == (Suspension(task_force="trafficking", node="hu"),)
    assert not after(out).is_member("hu", "trafficking")
    back = carried_out(roster(out.policy, out.nodes), order())
    assert (back.nodes, back.policy.suspended) == (admitted.nodes, None)


def test_a_member_of_the_parent_is_suspended_from_the_sub_project_alone() -> None:
    given: dict[str, Any] = {"node": "al", "task_force": "salw", "subject": "bg"}
    out = carried_out(roster(), order(Act.SUSPEND, **given))
    assert [after(out).is_member("bg", code) for code in ("terrorism", "salw")] == [True, False]
    back = carried_out(roster(out.policy, out.nodes), order(**given))
    # It is a member by way of the parent again, and no more than that.
    assert back == Membership(NODES, Policy())


@pytest.mark.parametrize("act", [Act.SUSPEND, Act.ADMIT])
def test_the_same_again_changes_nothing(act: Act) -> None:
    once = carried_out(roster(), order(act))
    assert carried_out(roster(once.policy, once.nodes), order(act)) == once


def test_what_is_opened_is_closed_again_in_part_or_whole() -> None:
    kinds = ("administrative.notice", "operation.plan")
    opened = carried_out(roster(), order(Act.OPEN, subject="iom", kinds=kinds))
    assert opened.policy.opened == (Opening(task_force="trafficking", node="iom", kinds=kinds),)
    assert after(opened).takes_part("iom", "trafficking")
    more = carried_out(roster(opened.policy), order(Act.OPEN, subject="iom", kinds=("operation.report",)))
    assert more.policy.opened == (Opening(task_force="trafficking", node="iom", kinds=(*kinds, "operation.report")),)
    less = carried_out(roster(opened.policy), order(Act.CLOSE, subject="iom", kinds=kinds[:1]))
    assert less.policy.opened == (Opening(task_force="trafficking", node="iom", kinds=kinds[1:]),)
    assert carried_out(roster(opened.policy), order(Act.CLOSE, subject="iom")).policy == Policy()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"node": "bg"}, "not_coordinator"),
        ({"task_force": "drugs"}, "not_coordinator"),
        ({"task_force": "salw"}, "not_coordinator"),
        ({"task_force": "piracy"}, "task_force_unknown"),
        ({"subject": "tr"}, "recipient_unknown"),
        ({"act": Act.SUSPEND, "subject": "ro"}, "policy_refused"),
        ({"act": Act.SUSPEND, "subject": "seci"}, "policy_refused"),
        ({"act": Act.OPEN, "kinds": ("operation.plan",)}, "policy_refused"),
        ({"act": Act.OPEN, "subject": "iom", "kinds": ("alert",)}, "policy_refused"),
        ({"act": Act.OPEN, "subject": "iom", "kinds": ("poem",)}, "kind_unknown"),
        ({"act": Act.OPEN, "subject": "iom", "kinds": ("firearm.trace",)}, "kind_not_of_task_force"),
    ],
)
def test_what_is_not_a_coordinator_s_to_order_is_refused(changes: dict[str, Any], code: str) -> None:
    with pytest.raises(OrderRefused) as caught:
        carried_out(roster(), order(**changes))
    assert caught.value.code == code


@pytest.mark.parametrize(
    "changes",
    [
        {"act": Act.OPEN},
        {"kinds": ("alert",)},
        {"reason": ""},
        {"reason": "a\nb"},
        {"reason": "\x1b[2K"},
        {"act": "rule"},
    ],
)
def test_an_order_says_what_it_must(changes: dict[str, Any]) -> None:
    whole = order(Act.OPEN, subject="iom", kinds=("alert",))
    assert MembershipOrder.from_bytes(whole.to_bytes()) == whole
    wrong = order().model_copy(update=changes)
    with pytest.raises(ControlRefused):
        MembershipOrder.from_bytes(wrong.to_bytes())
