"""One roster's answers to who takes part in what, and who may say what to whom. Pure.

The sending node, the hub and the receiving node all ask here. Built once for each roster; what was asked before is
answered from memory, for a hub judges thousands of messages a second and most are like others.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, Self, TypeVar

from schemas.codes import Agency, Handling
from schemas.header import Routing
from schemas.kinds.kind import FEW_RECIPIENTS
from schemas.participants import Category, categories_of
from schemas.policy import (
    Decision,
    Only,
    Party,
    Policy,
    PolicyRule,
    Question,
    ancestry,
    decide,
)
from schemas.refusals import RefusalCode
from schemas.roster import Roster, RosterNode

K = TypeVar("K")
V = TypeVar("V")
# Who takes part as of right; all others are outsiders, for whom kinds are opened.
INSIDERS: Final = (Category.MEMBER, Category.CENTRE)
# Answers that are kept; beyond it they are worked out anew. A kind to a list of recipients is one.
_MOST_KEPT: Final = 20_000


@dataclass(frozen=True, slots=True)
class Denial:
    """Why a message may not be: a stable code, and what to tell."""

    code: RefusalCode
    detail: str


@dataclass(frozen=True)
class Access:
    """Build one with `Access.of`."""

    nodes: Mapping[str, RosterNode]
    rules: tuple[PolicyRule, ...]
    coordinators: Mapping[str, str]
    opened: Mapping[tuple[str, str], frozenset[str]]
    suspended: frozenset[tuple[str, str]]
    _parties: Mapping[str, Party]
    _members: dict[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    _reached: dict[tuple[object, ...], tuple[str, ...]] = field(default_factory=dict, repr=False)
    _known: dict[tuple[object, ...], Denial | None] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, roster: Roster) -> Self:
        """The answers of a roster."""
        policy = roster.policy or Policy()
        return cls(
            {node.node: node for node in roster.nodes},
            policy.table,
            policy.leaders,
            {(item.task_force, item.node): frozenset(item.kinds) for item in policy.opened or ()},
            frozenset((item.task_force, item.node) for item in policy.suspended or ()),
            {node.node: Party(node.node, categories_of(node.node, node.category)) for node in roster.nodes},
        )

    def coordinator(self, task_force: str) -> str | None:
        """The node that coordinates a task force: its own coordinator, or that of what it stands under."""
        return next((self.coordinators[code] for code in ancestry(task_force) if code in self.coordinators), None)

    def is_member(self, node: str, task_force: str) -> bool:
        """Whether a node is a member, by what is said of the task force, or else of what that stands under."""
        if node not in self.nodes:
            return False
        for code in ancestry(task_force):
            if (code, node) in self.suspended:
                return False
            if code in self.nodes[node].task_forces:
                return True
        return False

    def takes_part(self, node: str, task_force: str) -> bool:
        """Whether an active node is a member, or something is opened to it and it is not suspended."""
        if node in self.nodes and not self.nodes[node].active:
            return False
        if self.is_member(node, task_force):
            return True
        lines = ancestry(task_force)
        opened = any((code, node) in self.opened for code in lines)
        return opened and all((code, node) not in self.suspended for code in lines)

    def members(self, task_force: str) -> tuple[str, ...]:
        """The active nodes that are members of a task force, sorted."""
        if task_force not in self._members:
            active = (name for name, node in self.nodes.items() if node.active)
            found = tuple(sorted(name for name in active if self.is_member(name, task_force)))
            _keep(self._members, task_force, found)
        return self._members[task_force]

    def opened_to(self, node: str, task_force: str) -> frozenset[str]:
        """The kinds that are opened to a node in a task force, or in what that stands under."""
        return frozenset().union(*(self.opened.get((code, node), ()) for code in ancestry(task_force)))

    def denial(self, header: Routing, only: str | None = None, carried: str = "") -> Denial | None:
        """Why this message may not be, or None; to `only` one of its recipients, or to all of them.

        `carried` is the kind of what is in it, which only nodes see: who may not have that may not have it so either.
        """
        key = (
            *(header.sender, header.agency, header.task_force, header.kind, header.handling),
            *(header.recipients, only, carried),
        )
        try:
            return self._known[key]
        except KeyError:
            pass
        found = self._denial(header, header.recipients if only is None else (only,), carried)
        _keep(self._known, key, found)
        return found

    def _denial(self, header: Routing, recipients: Collection[str], carried: str) -> Denial | None:
        sender, task_force = header.sender, header.task_force
        if header.agency not in self.nodes[sender].agencies:
            return Denial(RefusalCode.AGENCY_NOT_OF_SENDER, f"{sender} has no agency {header.agency}")
        if not self.takes_part(sender, task_force):
            return Denial(RefusalCode.NOT_A_MEMBER, self.outside(sender, task_force))
        for recipient in recipients:
            if recipient not in self.nodes:
                return Denial(RefusalCode.RECIPIENT_UNKNOWN, f"{recipient} is not in the roster")
            if not self.takes_part(recipient, task_force):
                return Denial(RefusalCode.RECIPIENT_NOT_A_MEMBER, self.outside(recipient, task_force))
        whole = self.is_whole(sender, task_force, header.recipients)
        for recipient in recipients:
            for kind in (header.kind, carried) if carried else (header.kind,):
                found = self.decide(
                    *(sender, recipient, header.agency, task_force, kind, header.handling),
                    whole=whole,
                    carried=kind != header.kind,
                )
                if not found.allowed:
                    what = header.kind if kind == header.kind else f"{kind} in {header.kind}"
                    said = f"{sender} may not send {what} to {recipient} in {task_force}: {found.words}"
                    return Denial(found.code or RefusalCode.POLICY_REFUSED, said)
        return None

    def outside(self, node: str, task_force: str) -> str:
        """In words, that a node does not take part in a task force."""
        if any((code, node) in self.suspended for code in ancestry(task_force)):
            return f"{node} is suspended from {task_force} by its coordinator"
        return f"{node} is not a member of {task_force}"

    def is_whole(self, sender: str, task_force: str, recipients: Collection[str]) -> bool:
        """Whether these are all other members of a task force, and too many to have been named one by one."""
        if len(recipients) <= FEW_RECIPIENTS:
            return False
        # An observer that is in it gets less than all, and must not make all the others a few.
        left = set(self.members(task_force)) - {sender} - set(recipients)
        return all(self._parties[node].categories.isdisjoint(INSIDERS) for node in left)

    def decide(
        self,
        sender: str,
        recipient: str,
        agency: Agency,
        task_force: str,
        kind: str,
        handling: Handling,
        *,
        whole: bool = False,
        carried: bool = False,
    ) -> Decision:
        """What the rules say of one recipient; both nodes are in the roster.

        `carried`, of what is in another message: a task force may be told what only others use.
        """
        one, other = self._parties[sender], self._parties[recipient]
        outsiders = [party.node for party in (one, other) if party.categories.isdisjoint(INSIDERS)]
        opened = bool(outsiders) and all(kind in self.opened_to(node, task_force) for node in outsiders)
        rules = [rule for rule in self.rules if rule.only is not Only.UNUSED] if carried else self.rules
        return decide(rules, Question(one, other, agency, task_force, kind, handling, whole, opened))

    def reached(
        self, sender: str, agency: Agency, task_force: str, kind: str, handling: Handling, carried: str = ""
    ) -> tuple[str, ...]:
        """Whom a message reaches that names nobody: all active nodes that take part and may have it, but its sender."""
        key = (sender, agency, task_force, kind, handling, carried)
        if key not in self._reached:
            taking_part = (name for name in self.nodes if name != sender and self.takes_part(name, task_force))
            found = [name for name in taking_part if self.decide(sender, name, *key[1:5]).allowed]
            if carried:
                asked = agency, task_force, carried, handling
                found = [name for name in found if self.decide(sender, name, *asked, carried=True).allowed]
            _keep(self._reached, key, tuple(sorted(found)))
        return self._reached[key]


def _keep(answers: dict[K, V], key: K, answer: V) -> None:
    # Whoever asks for what there is not must not fill the memory.
    if len(answers) >= _MOST_KEPT:
        answers.clear()
    answers[key] = answer
