"""The participants of the Center as of November 2004: members, observers, partners, advisers, and the Centre itself.

Source: pages 3 to 6 and 9 of the customer's document, in the order and under the names printed
there. ISO 3166-1 codes are those in force in November 2004: Serbia and Montenegro was `CS`
(formerly-used code CSXX since 2006; successors RS and ME), FYR Macedonia has always been
`MK` (North Macedonia since 2019).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from schemas.codes import Agency

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


class Instrument(StrEnum):
    """What a partnership rests on (page 5)."""

    MEMORANDUM = "memorandum of understanding"
    AGREEMENT = "agreement"
    COMMUNICATION_AGREEMENT = "agreement on communication connectivity for exchange of information"
    COOPERATION_AGREEMENT = "agreement on cooperation"


@dataclass(frozen=True, slots=True)
class Participant:
    """A participant; `iso` is the ISO 3166-1 alpha-2 code of November 2004, None for institutions.

    `categories` are all that it is, since an observer may be a partner too; `short` is the abbreviation printed with
    the name; a partner has an `instrument`, an adviser the `matters` it advises on. `reports_of` is the country of
    which an institution is the police.
    """

    node: str
    name: str
    categories: tuple[Category, ...]
    iso: str | None
    successors: tuple[Successor, ...] = ()
    short: str | None = None
    instrument: Instrument | None = None
    matters: Agency | None = None
    reports_of: str | None = None

    @property
    def category(self) -> Category:
        """The first of its categories, for a roster, which has room for one."""
        return self.categories[0]


def _member(iso: str, name: str, *successors: Successor) -> Participant:
    return Participant(iso.lower(), name, (Category.MEMBER,), iso, successors)


def _observer_state(iso: str, name: str) -> Participant:
    return Participant(iso.lower(), name, (Category.OBSERVER_STATE,), iso)


def _institution(
    node: str,
    short: str | None,
    name: str,
    *categories: Category,
    instrument: Instrument | None = None,
    matters: Agency | None = None,
    reports_of: str | None = None,
) -> Participant:
    return Participant(
        node, name, categories, None, short=short, instrument=instrument, matters=matters, reports_of=reports_of
    )


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
# Page 4.
OBSERVER_STATES: Final = (
    _observer_state("AT", "Austria"),
    _observer_state("AZ", "Azerbaijan"),
    _observer_state("BE", "Belgium"),
    _observer_state("CA", "Canada"),
    _observer_state("FR", "France"),
    _observer_state("GE", "Georgia"),
    _observer_state("DE", "Germany"),
    _observer_state("IT", "Italy"),
    _observer_state("NL", "the Netherlands"),
    _observer_state("PT", "Portugal"),
    _observer_state("ES", "Spain"),
    _observer_state("UA", "Ukraine"),
    _observer_state("GB", "United Kingdom"),
    _observer_state("US", "United States of America"),
)
# Pages 4 to 6. Four observers are partners, and INTERPOL is a partner and an adviser.
INSTITUTIONS: Final = (
    _institution(
        "iom",
        "IOM",
        "International Organization for Migration",
        Category.OBSERVER_INSTITUTION,
        Category.PARTNER,
        instrument=Instrument.MEMORANDUM,
    ),
    _institution(
        "eulec",
        "EULEC",
        "European Institute for Law Enforcement Cooperation",
        Category.OBSERVER_INSTITUTION,
        Category.PARTNER,
        instrument=Instrument.MEMORANDUM,
    ),
    _institution(
        "icmpd",
        "ICMPD",
        "International Center for Migration Policy Development",
        Category.OBSERVER_INSTITUTION,
        Category.PARTNER,
        instrument=Instrument.MEMORANDUM,
    ),
    _institution(
        "unmik",
        "UNMiK",
        "United Nations Police Mission in Kosovo",
        Category.OBSERVER_INSTITUTION,
        # As the European Commission codes it; ISO 3166-1 leaves it to its users.
        reports_of="XK",
    ),
    _institution(
        "spoc",
        "SPOC",
        "Stability Pact Organized Crime Secretariat",
        Category.OBSERVER_INSTITUTION,
        Category.PARTNER,
        instrument=Instrument.MEMORANDUM,
    ),
    _institution("cei", "CEI", "Central European Initiative", Category.PARTNER, instrument=Instrument.AGREEMENT),
    _institution(
        "interpol",
        "INTERPOL",
        "ICPO INTERPOL",
        Category.PARTNER,
        Category.ADVISER,
        instrument=Instrument.COMMUNICATION_AGREEMENT,
        matters=Agency.POLICE,
    ),
    _institution(
        "seesac",
        "SEESAC",
        "South Eastern Europe Clearinghouse for the Control of Small Arms and Light Weapons",
        Category.PARTNER,
        instrument=Instrument.COOPERATION_AGREEMENT,
    ),
    _institution("wco", None, "World Customs Organization", Category.ADVISER, matters=Agency.CUSTOMS),
)
CENTRE_PARTICIPANT: Final = Participant(CENTRE, "SECI Regional Center", (Category.CENTRE,), None)
PARTICIPANTS: Final = MappingProxyType(
    {p.node: p for p in (*MEMBERS, *OBSERVER_STATES, *INSTITUTIONS, CENTRE_PARTICIPANT)}
)


def in_category(category: Category) -> tuple[Participant, ...]:
    """All participants that are this, whatever else they are, in the document's order."""
    return tuple(found for found in PARTICIPANTS.values() if category in found.categories)


def speaks_for(node: str, country: str) -> bool:
    """Whether this node's reports may be of this country (ISO 3166-1 alpha-2): its own, or any if it is the Centre's.

    A state that has succeeded another reports of that one, too, and under the old name's node each of its successors.
    The United Nations' mission, page 4, reports of Kosovo (`XK`).
    """
    if node == CENTRE:
        return True
    known = PARTICIPANTS.get(node)
    own = known.reports_of if known is not None and known.reports_of is not None else node.upper()
    succeeded = {(member.iso, successor.iso) for member in MEMBERS for successor in member.successors}
    return own == country or not succeeded.isdisjoint({(own, country), (country, own)})


# By a successor's code: the state before it, and the day from which on it is one itself.
_BEFORE: Final[Mapping[str, tuple[str, date]]] = MappingProxyType(
    {
        successor.iso: (member.iso, date.fromisoformat(successor.since))
        for member in MEMBERS
        for successor in member.successors
        if member.iso is not None and successor.iso != member.iso
    }
)


def state_then(country: str, on: date) -> str:
    """The state that a country (ISO 3166-1 alpha-2) was on a day: itself, or the one that it has succeeded."""
    before, since = _BEFORE.get(country, (country, date.min))
    return before if on < since else country


def answers_for(reporting: str, asked: str, on: date) -> bool:
    """Whether what one country reports of a day is what another was asked for: the same, or the state that both were.

    Who has succeeded a state reports today of what was done under its name. Two successors are never each other.
    """
    state = state_then(reporting, on)
    return reporting == asked or (state in (reporting, asked) and state == state_then(asked, on))


def category_of(node: str) -> Category:
    """What a node that joins is to the Center: a member's successor a member, who is not in the document a partner."""
    known = PARTICIPANTS.get(node)
    if known is not None:
        return known.category
    successors = {successor.iso.lower() for member in MEMBERS for successor in member.successors}
    return Category.MEMBER if node in successors else Category.PARTNER


def categories_of(node: str, listed: Category) -> frozenset[Category]:
    """All that a node is, which its roster lists under one category: the document's, if they agree with it."""
    known = PARTICIPANTS.get(node)
    return frozenset(known.categories) if known is not None and listed in known.categories else frozenset({listed})
