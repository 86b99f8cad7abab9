"""The policy at the hub: its rules as rows that people read, what a change does to it, and what would be decided. Pure.

What is in force stands in the newest roster, which is signed; the rows are written with it and never read back.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from hub.errors import PolicyRefused
from schemas.access import Access
from schemas.codes import TASK_FORCES, Agency, Handling
from schemas.participants import PARTICIPANTS, Category, category_of
from schemas.policy import PERSONAL, Coordinator, Decision, Policy, PolicyRule, default_rules
from schemas.refusals import RefusalCode
from schemas.registry import RULES
from schemas.roster import NodeState, Roster, RosterNode

_LISTED: Final = "seci-hub policy list"


def rule_rows(roster: Roster) -> list[tuple[object, ...]]:
    """The rows of `policy_rule` for the rules of a roster."""
    rules = (roster.policy or Policy()).table
    return [
        (
            *(roster.version, number, rule.id, str(rule.effect), rule.words),
            *(_texts(rule.senders), _texts(rule.recipients), bool(rule.mutual)),
            *map(_texts, (rule.agencies, rule.task_forces, rule.kinds, rule.handling)),
            None if rule.only is None else str(rule.only),
        )
        for number, rule in enumerate(rules, 1)
    ]


def _texts(values: Sequence[str] | None) -> list[str] | None:
    return None if values is None else [str(value) for value in values]


def with_rule(policy: Policy, rule: PolicyRule, before: str | None, nodes: Sequence[RosterNode]) -> Policy:
    """The policy with a new rule before the one named, or before all. Raises PolicyRefused."""
    _check_names(rule, nodes)
    rules = policy.table
    if any(rule.id == known.id for known in rules):
        raise PolicyRefused(f"there is a rule {rule.id} already", f"remove it first, or give another id; see {_LISTED}")
    place = 0 if before is None else _place(rules, before)
    return _with(policy, (*rules[:place], rule, *rules[place:]))


def without_rule(policy: Policy, id: str) -> Policy:
    """The policy without that rule. Raises PolicyRefused."""
    place = _place(policy.table, id)
    return _with(policy, policy.table[:place] + policy.table[place + 1 :])


def with_coordinator(policy: Policy, task_force: str, node: str | None, nodes: Sequence[RosterNode]) -> Policy:
    """The policy with that coordinator, or none, of a task force. Raises PolicyRefused."""
    leaders = policy.leaders
    if node is not None and node not in {found.node for found in nodes}:
        raise PolicyRefused(f"{node} is not in the roster", "enrol it first; see `seci-hub status`")
    if leaders.get(task_force) == node:
        raise PolicyRefused(f"{task_force} has {node or 'no coordinator'} already", "nothing to do")
    leaders = {code: found for code, found in leaders.items() if code != task_force}
    if node is not None:
        leaders[task_force] = node
    listed = tuple(Coordinator(task_force=code, node=found) for code, found in sorted(leaders.items()))
    return policy.model_copy(update={"coordinators": listed})


def differences(rules: Sequence[PolicyRule]) -> Iterator[tuple[str, PolicyRule]]:
    """What differs from the default table: `added`, `removed`, `changed` or `moved`, and the rule."""
    ours, usual = {rule.id: rule for rule in rules}, {rule.id: rule for rule in default_rules()}
    for id, rule in usual.items():
        if id not in ours:
            yield "removed", rule
    common = [id for id in usual if id in ours]
    order = [id for id in ours if id in usual]
    for id, rule in ours.items():
        if id not in usual:
            yield "added", rule
        elif rule != usual[id]:
            yield "changed", rule
        elif common.index(id) != order.index(id):
            yield "moved", rule


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be explained. Without an agency it is the first that the roster names for the sender."""

    sender: str
    recipient: str
    task_force: str
    kind: str
    handling: Handling
    agency: Agency | None = None


def imagined(nodes: Sequence[RosterNode], names: Sequence[str]) -> tuple[RosterNode, ...]:
    """Of these names those that are not in the roster, as they would be enrolled. Raises PolicyRefused."""
    known = {node.node for node in nodes}
    missing = tuple(dict.fromkeys(name for name in names if name not in known))
    for name in missing:
        if name not in PARTICIPANTS:
            raise PolicyRefused(f"{name} is neither in the roster nor a participant", "name a node, for example bg")
    return tuple(
        RosterNode(
            node=name,
            name=PARTICIPANTS[name].name,
            category=category_of(name),
            agencies=(Agency.POLICE, Agency.CUSTOMS),
            task_forces=tuple(sorted(TASK_FORCES)),
            keys=(),
        )
        for name in missing
    )


def explain(access: Access, asked: Asked) -> Decision:
    """What hub and nodes decide of a message to this one recipient, all of whose names are known to `access`."""
    if (standing := access.nodes[asked.sender].standing) is not None:
        return _refused(RefusalCode.SENDER_SUSPENDED, f"{asked.sender} is {standing.state}")
    if (standing := access.nodes[asked.recipient].standing) is not None:
        suspended = standing.state is NodeState.SUSPENDED
        code = RefusalCode.RECIPIENT_SUSPENDED if suspended else RefusalCode.RECIPIENT_REVOKED
        return _refused(code, f"{asked.recipient} is {standing.state}")
    sender, agencies = asked.sender, access.nodes[asked.sender].agencies
    agency = asked.agency or (agencies[0] if agencies else Agency.POLICE)
    if agency not in agencies:
        return _refused(RefusalCode.AGENCY_NOT_OF_SENDER, f"{sender} has no agency {agency}")
    if not access.takes_part(sender, asked.task_force):
        return _refused(RefusalCode.NOT_A_MEMBER, access.outside(sender, asked.task_force))
    if not access.takes_part(asked.recipient, asked.task_force):
        return _refused(RefusalCode.RECIPIENT_NOT_A_MEMBER, access.outside(asked.recipient, asked.task_force))
    return access.decide(sender, asked.recipient, agency, asked.task_force, asked.kind, asked.handling)


def _refused(code: RefusalCode, words: str) -> Decision:
    return Decision(False, f"before any rule: {words}", code=code)


def _with(policy: Policy, rules: tuple[PolicyRule, ...]) -> Policy:
    return policy.model_copy(update={"rules": rules})


def _place(rules: Sequence[PolicyRule], id: str) -> int:
    found = [number for number, rule in enumerate(rules) if rule.id == id]
    if not found:
        raise PolicyRefused(f"there is no rule {id!r}", f"name one of {_LISTED}")
    return found[0]


def _check_names(rule: PolicyRule, nodes: Sequence[RosterNode]) -> None:
    # A rule that names nobody by a slip of the hand fits nothing, and nobody notices.
    known = {*Category, *PARTICIPANTS, *(node.node for node in nodes)}
    for name in (*(rule.senders or ()), *(rule.recipients or ())):
        if name not in known:
            raise PolicyRefused(f"{name} is no node and no category", f"categories are {', '.join(Category)}")
    for pattern in rule.kinds or ():
        if pattern != PERSONAL and not any(fnmatchcase(kind, pattern) for kind in RULES):
            raise PolicyRefused(f"no kind is called {pattern!r}", f"name a kind, a pattern as drugs.*, or {PERSONAL}")
    for code in rule.task_forces or ():
        if code not in TASK_FORCES:
            raise PolicyRefused(f"there is no task force {code!r}", f"known are {', '.join(TASK_FORCES)}")
