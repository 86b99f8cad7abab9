"""The codes are the Center's own: the task forces of page 10, under the names printed there."""

import pytest

from schemas.codes import (
    MEANINGS,
    TASK_FORCES,
    Agency,
    Handling,
    InformationEvaluation,
    Priority,
    SourceEvaluation,
    Tlp,
    lineage,
)
from schemas.participants import PARTICIPANTS
from tests.schemas.seed import bullets, needs_seed, page

# Page 10, in its order. SALW and WMD are written out on page 8.
PRINTED = {
    "trafficking": "TF on Combating Trafficking in Human Beings and Illegal Migration",
    "drugs": "TF on Combating Trafficking in Drugs",
    "financial": "TF on Combating Financial and Computer Crime",
    "fraud": "Anti-Fraud Anti-Smuggling TF",
    "vehicles": "TF on Stolen Vehicles",
    "terrorism": "Anti-Terrorism TF",
    "salw": "SALW",
    "wmd": "WMD",
    "terrorist-groups": "Terrorist Groups",
}
WRITTEN_OUT = {"SALW": "Small Arms and Light Weapons", "WMD": "Weapons of Mass Destruction"}
UNDER_TERRORISM = ["salw", "wmd", "terrorist-groups"]
COORDINATORS = {"trafficking": "ro", "salw": "al", "wmd": "ro", "terrorist-groups": "tr"}


def test_there_are_the_nine_task_forces_of_page_10_in_its_order_and_what_page_8_calls_other() -> None:
    assert list(TASK_FORCES) == [*PRINTED, "other"]


@pytest.mark.parametrize("code", PRINTED)
def test_a_task_force_has_the_name_that_is_printed(code: str) -> None:
    printed = PRINTED[code].removeprefix("TF on ").removesuffix(" TF")
    assert TASK_FORCES[code].name == WRITTEN_OUT.get(printed, printed)


def test_three_sub_projects_stand_under_anti_terrorism_and_no_other_under_any() -> None:
    assert {code: found.parent for code, found in TASK_FORCES.items() if found.parent} == dict.fromkeys(
        UNDER_TERRORISM, "terrorism"
    )


def test_coordinators_are_those_of_pages_11_and_19() -> None:
    assert {code: found.coordinator for code, found in TASK_FORCES.items() if found.coordinator} == COORDINATORS
    assert set(COORDINATORS.values()) <= set(PARTICIPANTS)


@needs_seed
def test_the_names_here_are_those_of_the_document() -> None:
    assert bullets(10) == list(PRINTED.values())
    assert all(name in page(8) for name in WRITTEN_OUT.values())


@needs_seed
def test_the_document_names_the_coordinators_so() -> None:
    assert "Coordinated by Romania" in page(11)
    assert page(19).endswith("which are led by Albania, Romania and Turkey, respectively")
    order = [page(19).index(mark) for mark in ("(SALW)", "(WMS)", "TF on Anti-Terrorism")]
    assert order == sorted(order)


def test_lineage_goes_from_a_task_force_to_those_it_stands_under() -> None:
    assert lineage("salw") == ("salw", "terrorism")
    assert lineage("drugs") == ("drugs",)
    with pytest.raises(KeyError):
        lineage("piracy")


def test_the_task_forces_cannot_be_changed_in_a_running_program() -> None:
    with pytest.raises(TypeError):
        TASK_FORCES["piracy"] = TASK_FORCES["drugs"]  # type: ignore[index]


def test_the_codes_on_the_wire_are_stable() -> None:
    assert [code.value for code in Agency] == ["police", "customs", "judicial"]
    assert [code.value for code in Priority] == ["normal", "urgent"]
    assert [code.value for code in Handling] == ["H0", "H1", "H2", "H3"]
    assert [code.value for code in SourceEvaluation] == ["A", "B", "C", "X"]
    assert [code.value for code in InformationEvaluation] == ["1", "2", "3", "4"]
    assert [code.value for code in Tlp] == ["TLP:RED", "TLP:AMBER+STRICT", "TLP:AMBER", "TLP:GREEN", "TLP:CLEAR"]


def test_every_code_that_restricts_or_judges_has_a_meaning_of_its_own() -> None:
    codes = [*Handling, *SourceEvaluation, *InformationEvaluation, *Tlp]
    assert list(MEANINGS) == codes
    assert len(set(MEANINGS.values())) == len(codes)
