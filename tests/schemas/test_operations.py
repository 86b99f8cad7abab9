"""What a report of an operation may say: each thing once, in the form that its indicator has, and one thing only."""

import json
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from schemas.kinds.drugs import Seizure
from schemas.kinds.operations import AMOUNTS, INDICATOR_NAMES, Amount, Indicator, OperationPlan, OperationReport, Result
from schemas.printed import SUBSTANCE_NAMES, UNIT_WORDS, split_stated
from schemas.registry import BodyInvalid, body_bytes
from schemas.seizures import Substance, Unit
from tests.schemas.seed import needs_seed, page

REPORT: dict[str, Any] = {
    "name": "MIRAGE",
    "year": 2004,
    "country": "RO",
    "agency": "police",
    "begins": "2004-06-01",
    "ends": "2004-06-10",
    "results": [{"indicator": "victims-identified", "count": 601}],
}


@pytest.mark.parametrize(
    ("stated", "quantity", "unit"),
    [
        ("3,3 kilograms", "3.3", "kg"),
        ("1574 metric tons", "1574", "t"),
        ("3.4 gr", "3.4", "g"),
        ("250,000 tablets", "250000", "tablets"),
        ("1,250 kg", "1250", "kg"),
        ("1,250 kg", "1.25", "kg"),
        ("2,566 Dosages", "2566", "dosages"),
    ],
)
def test_a_quantity_may_be_stated_as_the_report_writes_it(stated: str, quantity: str, unit: Unit) -> None:
    seizure = Seizure(substance=Substance.OTHER, quantity=Decimal(quantity), unit=unit, stated=stated)
    assert seizure.stated == stated


@pytest.mark.parametrize("stated", ["3,4 kilograms", "3,3 gr", "3,3", "kg", "about 3,3 kg", "3,3 stone", "33 kg"])
def test_what_is_stated_must_be_the_same_quantity(stated: str) -> None:
    with pytest.raises(ValidationError, match=r"stated: |is no number"):
        Seizure(substance=Substance.OPIUM, quantity=Decimal("3.3"), unit=Unit.KILOGRAM, stated=stated)


def test_an_amount_is_stated_as_the_report_writes_it() -> None:
    assert Amount(value=Decimal("891.5"), currency="EUR", stated="891,5").stated == "891,5"
    with pytest.raises(ValidationError, match="stated: must be the number"):
        Amount(value=Decimal("891.5"), currency="EUR", stated="8915")


@pytest.mark.parametrize(
    ("result", "wrong"),
    [
        ({"indicator": "vehicles-seized"}, "count"),
        ({"indicator": "vehicles-seized", "count": 1, "amount": {"value": 1, "currency": "EUR"}}, "count"),
        ({"indicator": "vehicles-seized", "amount": {"value": 1, "currency": "EUR"}}, "count"),
        ({"indicator": "vehicles-value", "count": 1}, "amount"),
        ({"indicator": "other", "count": 1}, "name"),
        ({"indicator": "vehicles-seized", "count": 1, "name": "cars"}, "name"),
    ],
)
def test_a_result_has_what_its_indicator_has(result: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ValidationError, match=f"{wrong}: "):
        Result.model_validate(result)


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"results": []}, "results: must be there, or else seizures"),
        ({"results": REPORT["results"] * 2}, "results: must name each indicator once"),
        ({"ends": "2004-05-31"}, "ends: must not be before begins"),
    ],
)
def test_a_report_says_something_once(change: dict[str, Any], wrong: str) -> None:
    assert OperationReport.model_validate(REPORT).results[0].count == 601
    with pytest.raises(ValidationError, match=wrong):
        OperationReport.model_validate(REPORT | change)


@pytest.mark.parametrize("written", ["mirage", " Mirage ", "MIRAGE"])
def test_a_name_is_known_however_it_is_written(written: str) -> None:
    body = body_bytes("operation.report", 1, REPORT | {"name": written})
    assert json.loads(body)["name"] == "MIRAGE"


def test_what_was_found_in_a_field_that_another_contradicts_is_told() -> None:
    seizure = {"substance": "opium", "quantity": "3.3", "unit": "kg", "stated": "33 kg"}
    for change, found in (({"seizures": [seizure]}, "string"), ({"results": []}, "array")):
        with pytest.raises(BodyInvalid) as caught:
            body_bytes("operation.report", 1, REPORT | change)
        assert [error.found for error in caught.value.errors] == [found]


def test_a_plan_ends_after_it_begins() -> None:
    plan = {"objective": "o", "countries": ["RO"], "agencies": ["police"]}
    plan |= {name: REPORT[name] for name in ("name", "year", "begins", "ends")}
    assert OperationPlan.model_validate(plan).name == "MIRAGE"
    with pytest.raises(ValidationError, match="ends: must not be before begins"):
        OperationPlan.model_validate(plan | {"ends": "2004-05-31"})


def test_everything_has_a_name_and_every_unit_words() -> None:
    assert set(SUBSTANCE_NAMES) == set(Substance)
    assert set(INDICATOR_NAMES) == set(Indicator)
    assert set(Indicator) > AMOUNTS
    assert set(UNIT_WORDS) == set(Unit)
    words = [word for of_unit in UNIT_WORDS.values() for word in of_unit]
    assert len(words) == len(set(words))
    assert [split_stated(f"1 {word}") for word in words] == [("1", word) for word in words]


@needs_seed
def test_substances_and_indicators_have_the_names_that_are_printed() -> None:
    pages = " ".join(page(number) for number in (12, 13, 15, 16, 17, 18))
    names = [name for code, name in SUBSTANCE_NAMES.items() if code is not Substance.OTHER]
    names += [name for code, name in INDICATOR_NAMES.items() if code is not Indicator.OTHER]
    assert [name for name in names if name not in pages] == []
