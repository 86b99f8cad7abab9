"""Codes of the Center's language: agencies, priorities, handling, evaluation, task forces.

Task forces are those of page 10 of the customer's document (`seed.txt`), under the
names printed there. SALW, WMD and Terrorist Groups stand under the Anti-Terrorism
task force (pages 10 and 19). The coordinators are those of pages 11 and 19. `MEANINGS`
has the published meaning of handling, evaluation and TLP codes, in words of ours.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Agency(StrEnum):
    """The kind of national authority a liaison officer belongs to (pages 7 and 20)."""

    POLICE = "police"
    CUSTOMS = "customs"
    JUDICIAL = "judicial"


class Priority(StrEnum):
    """The lane a message travels in. Urgent messages have queues of their own."""

    NORMAL = "normal"
    URGENT = "urgent"


class Handling(StrEnum):
    """Handling codes of European police practice (EU manual on law enforcement information exchange)."""

    H0 = "H0"
    H1 = "H1"
    H2 = "H2"
    H3 = "H3"


class SourceEvaluation(StrEnum):
    """How reliable the source is: the letter of the 4x4 system (the same manual; Europol Regulation, article 29)."""

    A = "A"
    B = "B"
    C = "C"
    X = "X"


class InformationEvaluation(StrEnum):
    """How sure the information is: the number of the 4x4 system (the same manual; Europol Regulation, article 29)."""

    CERTAIN = "1"
    KNOWN_TO_SOURCE = "2"
    CORROBORATED = "3"
    UNCONFIRMED = "4"


class Tlp(StrEnum):
    """Labels of the Traffic Light Protocol, version 2.0 (FIRST, 2022), as they stand in a text."""

    RED = "TLP:RED"
    AMBER_STRICT = "TLP:AMBER+STRICT"
    AMBER = "TLP:AMBER"
    GREEN = "TLP:GREEN"
    CLEAR = "TLP:CLEAR"


MEANINGS: Final[Mapping[Handling | SourceEvaluation | InformationEvaluation | Tlp, str]] = MappingProxyType(
    {
        Handling.H0: "only for preventing and combating crime, under the applicable law",
        Handling.H1: "not to be disclosed in judicial proceedings without the provider's permission",
        Handling.H2: "not to be disseminated without the provider's permission",
        Handling.H3: "other restrictions, stated in words",
        SourceEvaluation.A: "authentic, trustworthy and competent without doubt, or reliable in all instances",
        SourceEvaluation.B: "reliable in most instances",
        SourceEvaluation.C: "unreliable in most instances",
        SourceEvaluation.X: "its reliability cannot be assessed",
        InformationEvaluation.CERTAIN: "its accuracy is not in doubt",
        InformationEvaluation.KNOWN_TO_SOURCE: "known personally to the source, not to the official who passes it on",
        InformationEvaluation.CORROBORATED: "not known personally to the source, but borne out by what is recorded",
        InformationEvaluation.UNCONFIRMED: "not known personally to the source, and not borne out by anything",
        Tlp.RED: "for the individual recipients only, and nobody else",
        Tlp.AMBER_STRICT: "for the recipient's organisation only, as far as each needs to know",
        Tlp.AMBER: "for the recipient's organisation and its clients, as far as each needs to know",
        Tlp.GREEN: "for the recipient's community, not in public",
        Tlp.CLEAR: "may be disclosed without limit",
    }
)


def is_weaker(handling: Handling, than: Handling) -> bool:
    """Whether a handling code protects less than another: H0 least; H3 most, for only people can read what it says."""
    order = tuple(Handling)
    return order.index(handling) < order.index(than)


@dataclass(frozen=True, slots=True)
class TaskForce:
    """A task force of page 10. `parent` is the code of the task force it is a sub-project of."""

    code: str
    name: str
    parent: str | None = None
    coordinator: str | None = None


_TASK_FORCES: Final = (
    TaskForce("trafficking", "Combating Trafficking in Human Beings and Illegal Migration", coordinator="ro"),
    TaskForce("drugs", "Combating Trafficking in Drugs"),
    TaskForce("financial", "Combating Financial and Computer Crime"),
    TaskForce("fraud", "Anti-Fraud Anti-Smuggling"),
    TaskForce("vehicles", "Stolen Vehicles"),
    TaskForce("terrorism", "Anti-Terrorism"),
    TaskForce("salw", "Small Arms and Light Weapons", parent="terrorism", coordinator="al"),
    TaskForce("wmd", "Weapons of Mass Destruction", parent="terrorism", coordinator="ro"),
    TaskForce("terrorist-groups", "Terrorist Groups", parent="terrorism", coordinator="tr"),
    # None of page 10: what page 8 counts as such is exchanged too, and a message needs somewhere to go.
    TaskForce("other", "Other"),
)
TASK_FORCES: Final = MappingProxyType({task_force.code: task_force for task_force in _TASK_FORCES})


def lineage(task_force: str) -> tuple[str, ...]:
    """The task force and those it stands under, nearest first. Raises KeyError for an unknown code."""
    found = TASK_FORCES[task_force]
    return (found.code,) if found.parent is None else (found.code, *lineage(found.parent))
