"""Who may say what to whom: a table of rules, of which the first that fits a message decides. Pure.

The table stands in the roster (`schemas.roster`), signed by the hub, so that the sending node, the hub and the
receiving node decide alike. A roster without one means the default table, `policy.toml` beside this module. Who takes
part in a task force, and with it which question is asked here, says `schemas.access`.
"""

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from schemas.codes import TASK_FORCES, Agency, Handling, lineage
from schemas.control import Wire
from schemas.header import Code, KindName, NodeId
from schemas.participants import Category
from schemas.personal import PERSONAL_KINDS
from schemas.refusals import RefusalCode
from schemas.usage import USED_BY, users_of

# In a rule's kinds: all that hold data of persons. No kind is called so.
PERSONAL: Final = "personal"
MOST_RULES: Final = 200


class Effect(StrEnum):
    """What a rule says of what fits it."""

    ALLOW = "allow"
    REFUSE = "refuse"


class Only(StrEnum):
    """What a rule asks beside its lists.

    `unused`: the task force does not use the kind (`schemas.usage`). `whole`: the message goes to each other member
    of the task force, and these are more than `FEW_RECIPIENTS`. `opened`: a coordinator has opened the kind to the one
    of the two who is no member state.
    """

    UNUSED = "unused"
    WHOLE = "whole"
    OPENED = "opened"


# A node's id, or a category: then it is whoever is in it.
Who = Annotated[str, Field(pattern=r"^[a-z]{2,8}$")] | Category
RuleId = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
KindPattern = Annotated[str, Field(pattern=r"^[a-z_.*?]{1,40}$")]


class PolicyRule(Wire):
    """One line of the table. A list that is left out fits anything; with `mutual` it holds in both directions.

    `task_forces` fit their sub-projects too, `kinds` are names, globs (`drugs.*`) or `personal`; `agencies` are the
    sender's, as the header says.
    """

    id: RuleId
    effect: Effect
    words: Annotated[str, Field(min_length=1, max_length=300)]
    senders: Annotated[tuple[Who, ...], Field(min_length=1, max_length=64, fail_fast=True)] | None = None
    recipients: Annotated[tuple[Who, ...], Field(min_length=1, max_length=64, fail_fast=True)] | None = None
    mutual: Literal[1] | None = None
    agencies: Annotated[tuple[Agency, ...], Field(min_length=1, max_length=8, fail_fast=True)] | None = None
    task_forces: Annotated[tuple[Code, ...], Field(min_length=1, max_length=64, fail_fast=True)] | None = None
    kinds: Annotated[tuple[KindPattern, ...], Field(min_length=1, max_length=64, fail_fast=True)] | None = None
    handling: Annotated[tuple[Handling, ...], Field(min_length=1, max_length=8, fail_fast=True)] | None = None
    only: Only | None = None


class Coordinator(Wire):
    """Who coordinates a task force (pages 11 and 19): may admit and suspend its members, and open kinds to others."""

    task_force: Code
    node: NodeId


class Opening(Wire):
    """What a coordinator has opened to an observer, institution or partner in its task force."""

    task_force: Code
    node: NodeId
    kinds: Annotated[tuple[KindName, ...], Field(min_length=1, max_length=100, fail_fast=True)]


class Suspension(Wire):
    """A member that the coordinator has suspended from its task force; and from those under it, if it is in none by
    name.
    """

    task_force: Code
    node: NodeId


class Policy(Wire):
    """All that a roster says beside its nodes. What is None is as this program has it by default."""

    rules: Annotated[tuple[PolicyRule, ...], Field(max_length=MOST_RULES, fail_fast=True)] | None = None
    coordinators: Annotated[tuple[Coordinator, ...], Field(fail_fast=True)] | None = None
    opened: Annotated[tuple[Opening, ...], Field(fail_fast=True)] | None = None
    suspended: Annotated[tuple[Suspension, ...], Field(fail_fast=True)] | None = None

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        for name, found in (
            ("rules", [rule.id for rule in self.rules or ()]),
            ("coordinators", [item.task_force for item in self.coordinators or ()]),
            ("opened", [(item.task_force, item.node) for item in self.opened or ()]),
            ("suspended", [(item.task_force, item.node) for item in self.suspended or ()]),
        ):
            if len(set(found)) != len(found):
                raise ValueError(f"{name}: one stands there twice")
        return self

    @property
    def table(self) -> tuple[PolicyRule, ...]:
        """The rules in force, the first to be asked first."""
        return default_rules() if self.rules is None else self.rules

    def written_out(self) -> Self:
        """The same with the program's own rules and coordinators said, so that another program need not know them."""
        leaders = tuple(Coordinator(task_force=code, node=node) for code, node in sorted(self.leaders.items()))
        return self.model_copy(update={"rules": self.table, "coordinators": leaders})

    @property
    def leaders(self) -> dict[str, str]:
        """The coordinator of each task force that has one."""
        if self.coordinators is None:
            return {code: found.coordinator for code, found in TASK_FORCES.items() if found.coordinator is not None}
        return {item.task_force: item.node for item in self.coordinators}


@cache
def default_rules() -> tuple[PolicyRule, ...]:
    """The table of a roster that has none: `policy.toml`."""
    read: dict[str, Any] = tomllib.loads(files("schemas").joinpath("policy.toml").read_text(encoding="utf-8"))
    return tuple(PolicyRule.model_validate(line) for line in read["rule"])


@dataclass(frozen=True, slots=True)
class Party:
    """Who sends or receives: its node's id, and all that it is (`schemas.participants`)."""

    node: str
    categories: frozenset[Category]


@dataclass(frozen=True, slots=True)
class Question:
    """A message to one recipient. `whole` and `opened` as in `Only`."""

    sender: Party
    recipient: Party
    agency: Agency
    task_force: str
    kind: str
    handling: Handling
    whole: bool = False
    opened: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer: `rule` is the line that decided, `number` its place from 1 on; None and 0 where none fits."""

    allowed: bool
    words: str
    rule: PolicyRule | None = None
    number: int = 0
    code: RefusalCode | None = None


def decide(rules: Sequence[PolicyRule], question: Question) -> Decision:
    """The first rule that fits decides; if none does, it is refused."""
    for number, rule in enumerate(rules, 1):
        if fits(rule, question):
            return _decided(rule, number, question)
    return Decision(False, "no rule allows it", code=RefusalCode.POLICY_REFUSED)


def fits(rule: PolicyRule, question: Question) -> bool:
    """Whether a rule is about this."""
    return (
        _fits_parties(rule, question)
        and (rule.agencies is None or question.agency in rule.agencies)
        and (rule.task_forces is None or not set(ancestry(question.task_force)).isdisjoint(rule.task_forces))
        and (rule.kinds is None or any(_fits_kind(pattern, question.kind) for pattern in rule.kinds))
        and (rule.handling is None or question.handling in rule.handling)
        and _fits_only(rule.only, question)
    )


def ancestry(task_force: str) -> tuple[str, ...]:
    """`lineage`, and of a task force that this program does not know, itself."""
    return lineage(task_force) if task_force in TASK_FORCES else (task_force,)


def _fits_parties(rule: PolicyRule, question: Question) -> bool:
    pair = question.sender, question.recipient
    ways = (pair, pair[::-1]) if rule.mutual else (pair,)
    return any(_is_among(one, rule.senders) and _is_among(other, rule.recipients) for one, other in ways)


def _is_among(party: Party, named: Iterable[str] | None) -> bool:
    return named is None or any(name == party.node or name in party.categories for name in named)


def _fits_kind(pattern: str, kind: str) -> bool:
    return kind in PERSONAL_KINDS if pattern == PERSONAL else fnmatchcase(kind, pattern)


def _fits_only(only: Only | None, question: Question) -> bool:
    match only:
        case Only.UNUSED:
            return question.task_force in USED_BY and question.kind not in USED_BY[question.task_force]
        case Only.WHOLE:
            return question.whole
        case Only.OPENED:
            return question.opened
    return True


def _decided(rule: PolicyRule, number: int, question: Question) -> Decision:
    words = f"rule {number}, {rule.id}: {rule.words}"
    if rule.effect is Effect.ALLOW:
        return Decision(True, words, rule, number)
    code = RefusalCode.POLICY_REFUSED
    if rule.only is Only.UNUSED:
        code, users = RefusalCode.KIND_NOT_OF_TASK_FORCE, ", ".join(users_of(question.kind)) or "none"
        words += f"; {question.task_force} does not use {question.kind}, used by {users}"
    return Decision(False, words, rule, number, code)
