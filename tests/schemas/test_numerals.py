"""Numbers as people write them, those of the customer's pages among them."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.numerals import Form, NumeralInvalid, common, readings, write

ONE_READING = {
    "584": "584",
    "1829": "1829",
    "1574": "1574",
    "3,3": "3.3",
    "18,6": "18.6",
    "188.9": "188.9",
    "0.6": "0.6",
    "891,5": "891.5",
    "1.234,5": "1234.5",
    "1 574": "1574",
    "1'574.25": "1574.25",
    "0,600": "0.6",
    "1,234,567": "1234567",
}


@pytest.mark.parametrize(("text", "number"), ONE_READING.items())
def test_a_number_is_read_as_it_is_meant_and_written_as_it_was(text: str, number: str) -> None:
    [(found, form)] = readings(text).items()
    assert found == Decimal(number)
    assert write(found, common([form])).rstrip("0") == text.rstrip("0")


@pytest.mark.parametrize("text", ["250,000", "6,838", "1,800", "2,566", "1.574"])
def test_three_digits_behind_a_mark_may_be_thousands_or_thousandths(text: str) -> None:
    digits = text.replace(",", "").replace(".", "")
    found = readings(text)
    assert set(found) == {Decimal(digits), Decimal(text.replace(",", "."))}
    assert write(Decimal(digits), common([found[Decimal(digits)]])) == text


@pytest.mark.parametrize("text", ["", "a", "1,2,3", "1.2.3", "1,23,456", "12,34.5", "-1", "1,", ",5", "1e3", "٣"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(NumeralInvalid):
        readings(text)


def test_a_sum_is_written_as_most_of_its_parts_are() -> None:
    comma, dot, grouped = Form(",", None), Form(".", None), Form(None, ",")
    assert common([]) == Form(".", "")
    assert common([comma, comma, dot]) == Form(",", "")
    assert common([dot, comma]) == Form(".", "")
    assert common([Form(), grouped]) == Form(".", ",")
    # One comma cannot be both.
    assert common([comma, grouped]) == Form(",", "")


@given(
    st.decimals(0, 10**12, places=3),
    st.sampled_from([Form(",", "."), Form(".", ","), Form(",", " "), Form(".", ""), Form(",", "")]),
)
def test_what_is_written_reads_as_the_same_number(number: Decimal, form: Form) -> None:
    assert number in readings(write(number, form))
