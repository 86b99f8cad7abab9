"""Quantities: made comparable, added up and written as their reports write them; what is counted is never weighed."""

from decimal import Decimal

import pint
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.local.seedtables import OPERATIONS
from schemas.kinds.drugs import Seizure
from schemas.numerals import readings
from schemas.printed import UNIT_WORDS, split_stated
from schemas.quantities import COUNTED, base, convert, total
from schemas.seizures import Substance, Unit

CELLS = [row[1] for one in OPERATIONS if one.table == "seizures" for row in one.rows]
# Of each cell of pages 15 to 17 the amount and its unit; of mass in grams.
GRAMS = {
    "3,3 kilograms": "3300",
    "1574 metric tons": "1574000000",
    "188.9 kg": "188900",
    "0.6 kg": "600",
    "18,6 kg": "18600",
    "25.2 kg": "25200",
    "3.4 gr": "3.4",
    "1.7 gr": "1.7",
    "32 gr": "32",
}


def seizure(stated: str, number: Decimal | None = None) -> Seizure:
    """What is stated, read as the larger number where it may be two."""
    digits, word = split_stated(stated)
    [unit] = [unit for unit, words in UNIT_WORDS.items() if word.lower() in words]
    quantity = max(readings(digits)) if number is None else number
    return Seizure(substance=Substance.OTHER, quantity=quantity, unit=unit, stated=stated)


@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_of_the_document_is_written_again_as_it_is_printed(cell: str) -> None:
    assert total([seizure(cell)]).cell == cell


@pytest.mark.parametrize("cell", CELLS)
def test_half_and_half_is_the_whole_and_written_alike(cell: str) -> None:
    whole = seizure(cell)
    half = whole.quantity / 2
    halves = [whole.model_copy(update={"quantity": half, "stated": None})] * 2
    summed = total([*halves, whole])
    assert (summed.amount, summed.unit) == (2 * whole.quantity, whole.unit)
    assert summed.cell.endswith(split_stated(cell)[1])


@pytest.mark.parametrize(("cell", "grams"), GRAMS.items())
def test_mass_is_compared_in_grams(cell: str, grams: str) -> None:
    one = seizure(cell)
    assert base(one.quantity, one.unit) == (Decimal(grams), Unit.GRAM)


@pytest.mark.parametrize("counted", COUNTED)
def test_what_is_counted_is_never_made_into_mass_nor_into_anything_else(counted: str) -> None:
    assert base(Decimal(7), Unit(counted)) == (7, Unit(counted))
    for other in set(Unit) - {Unit(counted)}:
        with pytest.raises(pint.DimensionalityError):
            convert(Decimal(7), Unit(counted), other)
    with pytest.raises(pint.DimensionalityError):
        total([seizure("63 kg"), seizure("1,800 ampoules")])


@pytest.mark.parametrize(
    ("stated", "cell"),
    [
        (("2 kilograms", "1,3 kilograms"), "3,3 kilograms"),
        (("1,5 kilograms", "500 gr"), "2 kilograms"),
        (("18 kg", "600 gr"), "18.6 kg"),
        (("600 gr", "400 gr", "1 kg"), "2000 gr"),
        (("1000 kg", "829 kg"), "1829 kg"),
        (("150,000 tablets", "100,000 tablets"), "250,000 tablets"),
        (("1500 metric tons", "74 metric tons"), "1574 metric tons"),
        (("0.4 kg", "0.2 kg"), "0.6 kg"),
        (("500 ml", "1 l"), "1.5 l"),
    ],
)
def test_a_sum_is_written_as_most_of_its_parts_are(stated: tuple[str, ...], cell: str) -> None:
    assert total([seizure(one) for one in stated]).cell == cell


def test_what_nobody_has_stated_in_words_is_written_in_ours() -> None:
    plain = Seizure(substance=Substance.HEROIN, quantity=Decimal("18.60"), unit=Unit.KILOGRAM)
    assert total([plain]).cell == "18.6 kg"
    assert total([plain, plain]).base_amount == Decimal("37200")


@given(st.lists(st.decimals(Decimal("0.001"), 10**6, places=3), min_size=1, max_size=6), st.data())
def test_a_sum_is_exact_whatever_units_its_parts_are_in(numbers: list[Decimal], data: st.DataObject) -> None:
    units = data.draw(
        st.lists(st.sampled_from([Unit.GRAM, Unit.KILOGRAM]), min_size=len(numbers), max_size=len(numbers))
    )
    parts = [
        Seizure(substance=Substance.OPIUM, quantity=number, unit=unit)
        for number, unit in zip(numbers, units, strict=True)
    ]
    grams = sum(number * (1000 if unit is Unit.KILOGRAM else 1) for number, unit in zip(numbers, units, strict=True))
    summed = total(parts)
    assert (summed.base_amount, summed.base) == (grams, Unit.GRAM)
    assert summed.amount in readings(split_stated(summed.cell)[0])
