"""Who may do what at the hub, and what takes two: one table and the questions to it. Pure.

An action of a new command is a line in `Action` and one in `RULES`; nothing else decides on it.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final

# As many security officers there always are, once there were: one to ask and one to confirm.
TWO: Final = 2


class Role(StrEnum):
    """What an operator is there for."""

    OPERATOR = "operator"
    """The daily work: looks, decides on the quarantine, invites, admits."""
    OFFICER = "security-officer"
    """That too, and membership, keys, policy, operators; confirms what takes two."""
    AUDITOR = "auditor"
    """Reads, exports, verifies; changes nothing."""


class Action(StrEnum):
    """What a command does, as the ledger names it."""

    LOOK = "look"
    CONSULT = "consult"
    EXPORT = "export"
    RELEASE = "quarantine.release"
    DISCARD = "quarantine.discard"
    STATS_IMPORT = "stats.import"
    RETENTION = "retention"
    ERASE = "erase"
    PROVISION = "provision"
    INVITE = "invite"
    ENROL = "enrol"
    APPROVE = "enrolment.approve"
    ADMIT = "enrolment.confirm"
    REJECT = "enrolment.reject"
    SUSPEND = "suspend"
    UNSUSPEND = "unsuspend"
    REVOKE = "revoke"
    REMOVE = "remove"
    GIVE_BACK = "held.return"
    KEYS = "keys"
    POLICY = "policy"
    OPERATOR_ADD = "operator.add"
    OPERATOR_ROLE = "operator.role"
    OPERATOR_DISABLE = "operator.disable"
    OPERATOR_ENABLE = "operator.enable"
    OPERATOR_CREDENTIALS = "operator.credentials"
    OWN_CREDENTIALS = "own.credentials"
    RECOVER = "operator.recover"
    FOUR_EYES = "four-eyes"
    ASK = "ask"
    CONFIRM = "confirm"
    REFUSE = "refuse"
    LOGIN = "login"
    LOGOUT = "logout"
    LOCKED = "locked"


class Leaf(Enum):
    """How an action gets into the ledger."""

    NONE = "none"
    """Not at all: it tells counts and proofs."""
    ENTRY = "entry"
    """As an entry `operator`."""
    OWN = "own"
    """By an entry of an event of its own, which names the operator."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may; how it is put on record; whether it takes two unless the operators decided otherwise."""

    roles: frozenset[Role]
    leaf: Leaf = Leaf.ENTRY
    dangerous: bool = False

    @property
    def changes(self) -> bool:
        """Whether more than the record of it is changed: auditors do none of that."""
        return Role.AUDITOR not in self.roles


_ALL: Final = frozenset(Role)
_DAILY: Final = frozenset({Role.OPERATOR, Role.OFFICER})
_SECURITY: Final = frozenset({Role.OFFICER})
_NOBODY: Final[frozenset[Role]] = frozenset()

RULES: Final[Mapping[Action, Rule]] = {
    Action.LOOK: Rule(_ALL, Leaf.NONE),
    Action.CONSULT: Rule(_ALL),
    Action.EXPORT: Rule(_ALL),
    Action.RELEASE: Rule(_DAILY, Leaf.OWN),
    Action.DISCARD: Rule(_DAILY, Leaf.OWN),
    Action.STATS_IMPORT: Rule(_DAILY, Leaf.OWN),
    Action.RETENTION: Rule(_DAILY, Leaf.OWN),
    Action.ERASE: Rule(_DAILY, Leaf.OWN, dangerous=True),
    Action.PROVISION: Rule(_DAILY),
    Action.INVITE: Rule(_DAILY),
    Action.ENROL: Rule(_DAILY, dangerous=True),
    # If to enrol takes two, these are the two (`hub.joining`).
    Action.APPROVE: Rule(_DAILY),
    Action.ADMIT: Rule(_SECURITY),
    Action.REJECT: Rule(_DAILY),
    Action.SUSPEND: Rule(_SECURITY, Leaf.OWN),
    Action.UNSUSPEND: Rule(_SECURITY, Leaf.OWN, dangerous=True),
    Action.REVOKE: Rule(_SECURITY, Leaf.OWN, dangerous=True),
    Action.REMOVE: Rule(_SECURITY, Leaf.OWN, dangerous=True),
    Action.GIVE_BACK: Rule(_SECURITY),
    Action.KEYS: Rule(_SECURITY, dangerous=True),
    Action.POLICY: Rule(_SECURITY, dangerous=True),
    Action.OPERATOR_ADD: Rule(_SECURITY, dangerous=True),
    Action.OPERATOR_ROLE: Rule(_SECURITY, dangerous=True),
    Action.OPERATOR_DISABLE: Rule(_SECURITY),
    Action.OPERATOR_ENABLE: Rule(_SECURITY, dangerous=True),
    Action.OPERATOR_CREDENTIALS: Rule(_SECURITY, dangerous=True),
    Action.OWN_CREDENTIALS: Rule(_ALL),
    Action.RECOVER: Rule(_NOBODY),
    Action.FOUR_EYES: Rule(_SECURITY, dangerous=True),
    Action.ASK: Rule(_DAILY),
    Action.CONFIRM: Rule(_SECURITY),
    Action.REFUSE: Rule(_SECURITY),
    Action.LOGIN: Rule(_ALL),
    Action.LOGOUT: Rule(_ALL),
    Action.LOCKED: Rule(_ALL),
}
# What takes two while nobody decided otherwise, and what may be made to.
DANGEROUS: Final = frozenset(action for action, rule in RULES.items() if rule.dangerous)
_OF_TWO: Final = (Action.ASK, Action.CONFIRM, Action.REFUSE, Action.APPROVE, Action.ADMIT)
# Who could do these alone would be both: they take two as long as anything does.
_OF_THE_TWO: Final = frozenset(
    {
        *(Action.OPERATOR_ADD, Action.OPERATOR_ROLE, Action.OPERATOR_ENABLE, Action.OPERATOR_CREDENTIALS),
        Action.FOUR_EYES,
    }
)
MAY_TAKE_TWO: Final = frozenset(
    action for action, rule in RULES.items() if rule.roles and rule.changes and action not in _OF_TWO
)


def allows(role: Role, action: Action) -> bool:
    """Whether an operator of that role may."""
    return role in RULES[action].roles


def of_two(decided: Iterable[Action]) -> frozenset[Action]:
    """What takes two, once these were decided: that decision itself, and whatever makes a second person, too."""
    chosen = frozenset(decided)
    return chosen | _OF_THE_TWO if chosen else chosen


def takes_two(action: Action, chosen: Collection[Action], officers: int, *, adds_officer: bool = False) -> bool:
    """Whether a second person must confirm it, `chosen` being what takes two (`of_two`).

    Who is the only one of the security `officers` there ever were may add the second alone: there is nobody to confirm.
    """
    if adds_officer and officers < TWO:
        return False
    return action in chosen
