"""The participants are the twelve member states of 2004, under the names and codes of then, and the Centre."""

import re

import pytest

from schemas.participants import CENTRE, MEMBERS, NODE_ID, PARTICIPANTS, Category
from tests.schemas.seed import needs_seed, page

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
    assert len(PARTICIPANTS) == 13
    assert PARTICIPANTS[CENTRE].category is Category.CENTRE
    assert PARTICIPANTS[CENTRE].iso is None


def test_the_participants_cannot_be_changed_in_a_running_program() -> None:
    with pytest.raises(TypeError):
        PARTICIPANTS["xx"] = MEMBERS[0]  # type: ignore[index]
