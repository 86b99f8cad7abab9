"""The statistical fields are those of page 8, and every task force counts under one of them."""

import re

import pytest

from schemas.codes import TASK_FORCES
from schemas.statistics import FIELDS, OTHER, field_of
from tests.schemas.seed import needs_seed, page


@needs_seed
def test_fields_have_the_names_and_the_order_of_page_8() -> None:
    table = page(8).split("Comparison ")[1].split(" TOTAL")[0]
    # A row is a name, two numbers, and what has changed.
    assert re.findall(r"([A-Z][A-Za-z -]+?) \d+ \d+", table) == [field.name for field in FIELDS]


@pytest.mark.parametrize("task_force", TASK_FORCES)
def test_a_task_force_counts_under_one_field(task_force: str) -> None:
    assert [field for field in FIELDS if task_force in field.task_forces] == [field_of(task_force)]


def test_a_sub_project_counts_under_its_own_field_where_it_has_one() -> None:
    assert field_of("salw").code == "salw"
    assert field_of("terrorist-groups").code == "terrorism"


@pytest.mark.parametrize("task_force", ["piracy", "other", None])
def test_what_has_no_field_counts_under_other(task_force: str | None) -> None:
    assert field_of(task_force) is OTHER
