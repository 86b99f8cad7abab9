"""Partial dates: a year, a month or a day, kept as written; and countries and currencies by their codes."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from schemas.countries import Country, Currency, country_codes
from schemas.dates import Moment, PartialDate, earliest, moment, overlap
from schemas.participants import MEMBERS, OBSERVER_STATES

PARTIAL = TypeAdapter[str](PartialDate)
MOMENT = TypeAdapter[str](Moment)
days = st.dates(date(1800, 1, 1), date(2099, 12, 31))


@given(days, st.sampled_from([4, 7, 10]))
def test_a_date_is_kept_as_far_as_it_is_known(day: date, known: int) -> None:
    text = day.isoformat()[:known]
    assert PARTIAL.validate_python(text) == MOMENT.validate_python(text) == text
    assert earliest(text) <= day
    assert overlap(text, day.isoformat())
    assert overlap(day.isoformat(), text)
    assert moment(text) is None


def test_different_dates_do_not_overlap() -> None:
    assert not overlap("1974-08", "1974-09-12")
    assert not overlap("1974", "1975")
    assert earliest("1974") == date(1974, 1, 1)
    assert earliest("1974-08") == date(1974, 8, 1)


@given(st.datetimes(datetime(1800, 1, 1), datetime(2099, 1, 1)))  # noqa: DTZ001
def test_a_moment_has_its_offset(at: datetime) -> None:
    text = at.replace(tzinfo=UTC, microsecond=0).isoformat()
    assert MOMENT.validate_python(text) == text
    assert moment(text) == at.replace(tzinfo=UTC, microsecond=0)
    assert earliest(text) == at.date()
    with pytest.raises(ValidationError):
        MOMENT.validate_python(text.removesuffix("+00:00"))
    with pytest.raises(ValidationError):
        PARTIAL.validate_python(text)


@pytest.mark.parametrize(
    "text", ["", "74", "1974-8", "1974-00", "1974-08-32", "1974-02-30", "1974-08-12 ", "12/08/1974"]
)
def test_other_ways_of_writing_are_refused(text: str) -> None:
    for adapter in (PARTIAL, MOMENT):
        with pytest.raises(ValidationError):
            adapter.validate_python(text)


def test_countries_are_those_of_the_standard_and_the_participants() -> None:
    adapter = TypeAdapter[str](Country)
    for state in (*MEMBERS, *OBSERVER_STATES):
        assert adapter.validate_python(state.iso) == state.iso
    assert {successor.iso for member in MEMBERS for successor in member.successors} <= country_codes()
    assert {"CS", "XK"} <= country_codes()
    for wrong in ("YU", "EU", "UK", "ro", "ROU", ""):
        with pytest.raises(ValidationError):
            adapter.validate_python(wrong)


def test_currencies_are_those_of_the_standard() -> None:
    adapter = TypeAdapter[str](Currency)
    assert [adapter.validate_python(code) for code in ("EUR", "RON", "TRY")] == ["EUR", "RON", "TRY"]
    with pytest.raises(ValidationError):
        adapter.validate_python("LEI")
