"""A kind of message: its name and version, the model of its body, examples of it, and what holds for its handling."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from schemas.codes import Handling
from schemas.kinds.common import Body

# Whoever names so many recipients or fewer has named them one by one, even if the task force has no others.
FEW_RECIPIENTS: Final = 3


@dataclass(frozen=True, slots=True)
class Rule:
    """What a policy has to know of a kind, whatever a body of it says.

    `handling` are the codes that a message of it may have (none: any), `named` says that its recipients are named
    one by one and are never a whole task force, `personal` that it is about persons.
    """

    handling: tuple[Handling, ...] = ()
    named: bool = False
    personal: bool = False


FREE = Rule()
PERSONAL = Rule(personal=True)


@dataclass(frozen=True, slots=True)
class Kind:
    """One version of a kind. The first of `examples` is the one to begin with."""

    name: str
    version: int
    model: type[Body]
    examples: tuple[Mapping[str, Any], ...]
    rule: Rule = FREE
