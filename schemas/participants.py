"""The participants of the Center: the twelve member states of 2004 and the Centre itself.

Source: pages 3 and 9 of the customer's document, in the order and under the names printed
there. ISO 3166-1 codes are those in force in November 2004: Serbia and Montenegro was `CS`
(formerly-used code CSXX since 2006; successors RS and ME), FYR Macedonia has always been
`MK` (North Macedonia since 2019).
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

NODE_ID: Final = re.compile(r"[a-z]{2,8}")
CENTRE: Final = "seci"


class Category(StrEnum):
    """What a participant is to the Center (DESIGN section 3; pages 3 to 6)."""

    MEMBER = "member"
    OBSERVER_STATE = "observer-state"
    OBSERVER_INSTITUTION = "observer-institution"
    PARTNER = "partner"
    ADVISER = "adviser"
    CENTRE = "centre"


@dataclass(frozen=True, slots=True)
class Successor:
    """The state that stands for a 2004 member today, and since when (ISO 8601 date)."""

    iso: str
    name: str
    since: str


@dataclass(frozen=True, slots=True)
class Participant:
    """A participant; `iso` is the ISO 3166-1 alpha-2 code of November 2004, None for institutions."""

    node: str
    name: str
    category: Category
    iso: str | None
    successors: tuple[Successor, ...] = ()


def _member(iso: str, name: str, *successors: Successor) -> Participant:
    return Participant(iso.lower(), name, Category.MEMBER, iso, successors)


MEMBERS: Final = (
    _member("AL", "Albania"),
    _member("BA", "Bosnia Herzegovina"),
    _member("BG", "Bulgaria"),
    _member("HR", "Croatia"),
    _member("GR", "Greece"),
    _member("HU", "Hungary"),
    _member("MD", "Moldova"),
    _member("MK", "FYRO Macedonia", Successor("MK", "North Macedonia", "2019-02-12")),
    _member("RO", "Romania"),
    _member(
        "CS",
        "Serbia Montenegro",
        Successor("RS", "Serbia", "2006-06-05"),
        Successor("ME", "Montenegro", "2006-06-03"),
    ),
    _member("SI", "Slovenia"),
    _member("TR", "Turkey"),
)
CENTRE_PARTICIPANT: Final = Participant(CENTRE, "SECI Regional Center", Category.CENTRE, None)
PARTICIPANTS: Final = MappingProxyType({p.node: p for p in (*MEMBERS, CENTRE_PARTICIPANT)})
