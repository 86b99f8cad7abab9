"""The participants are those of pages 3 to 6, under the names and codes of November 2004, and the Centre."""

import re
from datetime import date

import pytest

from schemas.codes import Agency
from schemas.participants import (
    CENTRE,
    INSTITUTIONS,
    MEMBERS,
    NODE_ID,
    OBSERVER_STATES,
    PARTICIPANTS,
    Category,
    Instrument,
    answers_for,
    in_category,
    speaks_for,
)
from tests.schemas.seed import bullets, needs_seed, page

# Page 3, in its order, with the ISO 3166-1 code of November 2004.
MEMBER_STATES = {
    "Albania": "AL",
    "Bosnia Herzegovina": "BA",
    "Bulgaria": "BG",
    "Croatia": "HR",
    "Greece": "GR",
    "Hungary": "HU",
    "Moldova": "MD",
    "FYRO Macedonia": "MK",
    "Romania": "RO",
    "Serbia Montenegro": "CS",
    "Slovenia": "SI",
    "Turkey": "TR",
}


def test_the_members_are_the_twelve_of_page_3_in_its_order_with_their_codes_of_2004() -> None:
    assert {member.name: member.iso for member in MEMBERS} == MEMBER_STATES
    assert [member.name for member in MEMBERS] == list(MEMBER_STATES)
    assert all(member.category is Category.MEMBER for member in MEMBERS)


@needs_seed
def test_the_names_here_are_those_of_the_document() -> None:
    assert page(3) == "12 Member countries " + " ".join(MEMBER_STATES)


@needs_seed
def test_every_member_has_a_national_focal_point_on_page_9() -> None:
    points = set(re.findall(r"NFP (.+?)(?= NFP| SECI|$)", page(9)))
    assert points == {name.replace("FYRO", "FYR") for name in MEMBER_STATES}
    assert "SECI Regional Center" in page(9)


def test_the_states_that_are_no_more_or_were_renamed_have_successors() -> None:
    assert {member.node: [(s.iso, s.since) for s in member.successors] for member in MEMBERS if member.successors} == {
        "mk": [("MK", "2019-02-12")],
        "cs": [("RS", "2006-06-05"), ("ME", "2006-06-03")],
    }


def test_a_node_is_named_by_its_state_s_code() -> None:
    assert all(member.node == (member.iso or "").lower() for member in MEMBERS)
    assert all(NODE_ID.fullmatch(node) for node in PARTICIPANTS)


def test_the_centre_is_a_participant_like_any_other_and_no_state() -> None:
    assert len(PARTICIPANTS) == len(MEMBERS) + len(OBSERVER_STATES) + len(INSTITUTIONS) + 1
    assert PARTICIPANTS[CENTRE].category is Category.CENTRE
    assert PARTICIPANTS[CENTRE].iso is None


def test_an_observer_may_be_a_partner_too_and_a_roster_names_its_first_category() -> None:
    both = [found.node for found in in_category(Category.OBSERVER_INSTITUTION) if Category.PARTNER in found.categories]
    assert both == ["iom", "eulec", "icmpd", "spoc"]
    assert PARTICIPANTS["iom"].category is Category.OBSERVER_INSTITUTION
    assert PARTICIPANTS["interpol"].categories == (Category.PARTNER, Category.ADVISER)
    assert in_category(Category.MEMBER) == MEMBERS


def test_partners_and_nobody_else_have_an_instrument_and_advisers_their_matters() -> None:
    with_instrument = {found.node: found.instrument for found in PARTICIPANTS.values() if found.instrument}
    assert with_instrument == {
        **dict.fromkeys(("iom", "eulec", "icmpd", "spoc"), Instrument.MEMORANDUM),
        "cei": Instrument.AGREEMENT,
        "interpol": Instrument.COMMUNICATION_AGREEMENT,
        "seesac": Instrument.COOPERATION_AGREEMENT,
    }
    assert set(with_instrument) == {found.node for found in in_category(Category.PARTNER)}
    assert {found.node: found.matters for found in in_category(Category.ADVISER)} == {
        "interpol": Agency.POLICE,
        "wco": Agency.CUSTOMS,
    }


@needs_seed
def test_observers_stand_on_page_4_in_its_order() -> None:
    states, institutions = page(4).split("International Institutions")
    assert states.split("Countries")[1].strip("\N{BULLET} ") == ", ".join(state.name for state in OBSERVER_STATES)
    printed = re.findall(r"([^,]+?) \((\w+)\)", institutions)
    listed = in_category(Category.OBSERVER_INSTITUTION)
    assert [(name.strip("\N{BULLET} ").removeprefix("the "), short) for name, short in printed] == [
        (i.name, i.short) for i in listed
    ]


@needs_seed
def test_partners_stand_on_page_5_and_advisers_on_page_6() -> None:
    assert all(f"{partner.short}" in page(5) for partner in in_category(Category.PARTNER))
    agreements = [line for line in bullets(5) if line.startswith("Agreement")]
    assert [line.split(" with ")[0].lower() for line in agreements] == [
        Instrument.AGREEMENT,
        Instrument.COMMUNICATION_AGREEMENT,
        Instrument.COOPERATION_AGREEMENT,
    ]
    assert bullets(6) == [
        f"{PARTICIPANTS['interpol'].name} for Police-related matters",
        f"{PARTICIPANTS['wco'].name} for Customs related issues",
    ]


def test_the_participants_cannot_be_changed_in_a_running_program() -> None:
    with pytest.raises(TypeError):
        PARTICIPANTS["xx"] = MEMBERS[0]  # type: ignore[index]


@pytest.mark.parametrize(
    ("node", "country", "may"),
    [
        ("bg", "BG", True),
        ("bg", "RO", False),
        ("seci", "RO", True),
        ("cs", "ME", True),
        ("rs", "CS", True),
        ("rs", "RS", True),
        ("rs", "ME", False),
        ("interpol", "RO", False),
        ("unmik", "XK", True),
        ("unmik", "CS", False),
        ("cs", "XK", False),
    ],
)
def test_who_may_report_of_which_country(node: str, country: str, may: bool) -> None:
    assert speaks_for(node, country) == may


@pytest.mark.parametrize(
    ("reporting", "asked", "on", "is_it"),
    [
        ("RS", "CS", "2003-10-13", True),
        ("ME", "CS", "2003-10-13", True),
        ("CS", "RS", "2003-10-13", True),
        ("RS", "ME", "2003-10-13", False),
        ("RS", "RS", "2003-10-13", True),
        # Montenegro was a state two days before Serbia was one.
        ("ME", "CS", "2006-06-02", True),
        ("ME", "CS", "2006-06-03", False),
        ("CS", "ME", "2006-06-03", False),
        ("RS", "CS", "2006-06-04", True),
        ("RS", "CS", "2006-06-05", False),
        ("MK", "MK", "2003-10-13", True),
        ("RO", "CS", "2003-10-13", False),
        ("XK", "CS", "2003-10-13", False),
    ],
)
def test_a_successor_answers_for_the_state_that_it_was_a_part_of_and_until_then(
    reporting: str, asked: str, on: str, is_it: bool
) -> None:
    assert answers_for(reporting, asked, date.fromisoformat(on)) is is_it
