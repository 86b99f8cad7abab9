"""What the coordinator of a task force orders: who is in it, and what is opened to observers (pages 4, 11 and 19).

The coordinator's node signs an order; the hub carries it out, if it may be, in a new roster and an entry of the ledger
that has the order's digest. Both ask `carried_out`. Pure.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import product
from typing import Annotated, Final, Literal, Self
from uuid import UUID

from pydantic import Field, field_validator, model_validator

from schemas.access import INSIDERS, Access
from schemas.codes import TASK_FORCES, Agency, Handling
from schemas.control import Wire
from schemas.header import Code, KindName, Millis, NodeId
from schemas.participants import Category
from schemas.policy import Opening, Policy, Suspension
from schemas.refusals import RefusalCode
from schemas.registry import RULES
from schemas.roster import Roster, RosterNode

MAX_REASON: Final = 200


class Act(StrEnum):
    """What is to be done: a node admitted or suspended, kinds opened to it or closed again."""

    ADMIT = "admit"
    SUSPEND = "suspend"
    OPEN = "open"
    CLOSE = "close"


class MembershipOrder(Wire):
    """A coordinator's word on a node in its task force. `at` is its own clock, ms UTC; `close` without kinds is all."""

    v: Literal[1] = 1
    id: UUID
    node: NodeId
    task_force: Code
    act: Act
    subject: NodeId
    kinds: Annotated[tuple[KindName, ...], Field(min_length=1, max_length=100, fail_fast=True)] | None = None
    at: Millis
    reason: Annotated[str, Field(min_length=1, max_length=MAX_REASON)]

    @field_validator("reason")
    @classmethod
    def _one_line(cls, reason: str) -> str:
        # It is read at the hub, on terminals, as a part of a line.
        if not reason.isprintable():
            raise ValueError("is one line of printable characters")
        return reason

    @model_validator(mode="after")
    def _of_kinds(self) -> Self:
        if self.act is Act.OPEN and self.kinds is None:
            raise ValueError("kinds: is required to open some")
        if self.act in (Act.ADMIT, Act.SUSPEND) and self.kinds is not None:
            raise ValueError("kinds: is for open and close")
        return self

    def in_words(self) -> str:
        """What is ordered, and why."""
        kinds = f" {', '.join(self.kinds)}" if self.kinds else ""
        return f"{self.act} {self.subject}{kinds}: {self.reason}"


class OrderRefused(Exception):
    """The order may not be carried out."""

    def __init__(self, code: RefusalCode, detail: str) -> None:
        super().__init__(detail)
        self.code = code


@dataclass(frozen=True, slots=True)
class Membership:
    """What an order changes of a roster."""

    nodes: tuple[RosterNode, ...]
    policy: Policy


def carried_out(roster: Roster, order: MembershipOrder) -> Membership:
    """What the roster becomes; the same if it is so already. Raises OrderRefused."""
    access = Access.of(roster)
    _check(access, order)
    before = Membership(roster.nodes, roster.policy or Policy())
    match order.act:
        case Act.ADMIT:
            return _admitted(before, order, access)
        case Act.SUSPEND:
            there = before.policy.suspended or ()
            this = Suspension(task_force=order.task_force, node=order.subject)
            return _with(before, suspended=there if this in there else (*there, this))
        case Act.OPEN:
            return _opened(before, roster, order)
        case Act.CLOSE:
            return _closed(before, order)


def _check(access: Access, order: MembershipOrder) -> None:
    code, subject = order.task_force, order.subject
    if code not in TASK_FORCES:
        raise OrderRefused(RefusalCode.TASK_FORCE_UNKNOWN, f"task force {code} is not known")
    coordinator = access.coordinator(code)
    if coordinator != order.node:
        whose = f"{coordinator} is" if coordinator else "nobody is"
        raise OrderRefused(RefusalCode.NOT_COORDINATOR, f"{order.node} does not coordinate {code}; {whose} to do it")
    if subject not in access.nodes:
        raise OrderRefused(RefusalCode.RECIPIENT_UNKNOWN, f"{subject} is not in the roster")
    if order.act is Act.SUSPEND and (subject == order.node or access.nodes[subject].category is Category.CENTRE):
        raise OrderRefused(RefusalCode.POLICY_REFUSED, "a coordinator suspends neither itself nor the Centre")


def _admitted(before: Membership, order: MembershipOrder, access: Access) -> Membership:
    code, subject = order.task_force, order.subject
    staying = tuple(item for item in before.policy.suspended or () if (item.task_force, item.node) != (code, subject))
    after = _with(before, suspended=staying)
    suspended = frozenset((item.task_force, item.node) for item in staying)
    if replace(access, suspended=suspended, _members={}, _reached={}, _known={}).is_member(subject, code):
        return after
    nodes = tuple(
        node.model_copy(update={"task_forces": tuple(sorted({*node.task_forces, code}))})
        if node.node == subject
        else node
        for node in before.nodes
    )
    return Membership(nodes, after.policy)


def _opened(before: Membership, roster: Roster, order: MembershipOrder) -> Membership:
    kinds, subject = order.kinds or (), order.subject
    unknown = [kind for kind in kinds if kind not in RULES]
    if unknown:
        raise OrderRefused(RefusalCode.KIND_UNKNOWN, f"kind {unknown[0]} is not known")
    after = _with(before, opened=_openings(before.policy, order, {*_kinds(before.policy, order), *kinds}))
    access = Access.of(roster.model_copy(update={"policy": after.policy}))
    if access.nodes[subject].category in INSIDERS:
        raise OrderRefused(RefusalCode.POLICY_REFUSED, f"{subject} is a member: nothing needs to be opened to it")
    for kind in kinds:
        # What no rule lets through, opened or not, must not look as if it were open.
        found = [
            access.decide(order.node, subject, agency, order.task_force, kind, handling)
            for agency, handling in product(Agency, Handling)
        ]
        if not any(verdict.allowed for verdict in found):
            refused = found[0]
            raise OrderRefused(refused.code or RefusalCode.POLICY_REFUSED, f"{kind} to {subject}: {refused.words}")
    return after


def _closed(before: Membership, order: MembershipOrder) -> Membership:
    left = set() if order.kinds is None else _kinds(before.policy, order) - {*order.kinds}
    return _with(before, opened=_openings(before.policy, order, left))


def _kinds(policy: Policy, order: MembershipOrder) -> set[str]:
    """What is open to the order's subject in its task force."""
    this = order.task_force, order.subject
    return {kind for item in policy.opened or () if (item.task_force, item.node) == this for kind in item.kinds}


def _openings(policy: Policy, order: MembershipOrder, kinds: set[str]) -> tuple[Opening, ...]:
    this = order.task_force, order.subject
    others = tuple(item for item in policy.opened or () if (item.task_force, item.node) != this)
    if not kinds:
        return others
    mine = Opening(task_force=order.task_force, node=order.subject, kinds=tuple(sorted(kinds)))
    return tuple(sorted((*others, mine), key=lambda item: (item.task_force, item.node)))


def _with(before: Membership, **changes: tuple[Opening, ...] | tuple[Suspension, ...]) -> Membership:
    kept = {name: value or None for name, value in changes.items()}
    return Membership(before.nodes, before.policy.model_copy(update=kept))
