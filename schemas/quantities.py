"""Quantities of seizures: made comparable with `pint`, added up, and written as their reports write them.

Mass is mass, whatever it is stated in. Tablets, ampoules and dosages are dimensions of their own: nobody knows what
one weighs, so none is ever made into mass, nor into another.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any, Final

from schemas.kinds.drugs import Seizure
from schemas.numerals import Form, common, readings, write
from schemas.printed import UNIT_WORDS, split_stated
from schemas.seizures import Unit

COUNTED: Final = ("tablets", "ampoules", "dosages", "plants", "pieces", "packs", "cartons")
# Not pint's own definitions: there are units enough in which to mistype a word.
_DEFINITIONS: Final = (
    "g = [mass]",
    "mg = 0.001 * g",
    "kg = 1000 * g",
    "t = 1000 * kg",
    "l = [volume]",
    "ml = 0.001 * l",
    "m3 = 1000 * l",
    *(f"{counted} = [{counted}]" for counted in COUNTED),
)


@dataclass(frozen=True, slots=True)
class Total:
    """A sum: its amount in the unit that it is written in, the same in `base`, and its cell in a table."""

    amount: Decimal
    unit: Unit
    base_amount: Decimal
    base: Unit
    cell: str


def base(quantity: Decimal, unit: Unit) -> tuple[Decimal, Unit]:
    """The quantity in the unit that all of its dimension are compared in: grams, litres, or what is counted."""
    found = _registry().Quantity(quantity, str(unit)).to_root_units()
    return found.magnitude, Unit(str(found.units))


def convert(quantity: Decimal, unit: Unit, wanted: Unit) -> Decimal:
    """The quantity in another unit. Raises pint.DimensionalityError: what is counted has no mass."""
    found: Decimal = _registry().Quantity(quantity, str(unit)).to(str(wanted)).magnitude
    return found


def total(seizures: Sequence[Seizure]) -> Total:
    """The sum of seizures, at least one. Raises pint.DimensionalityError unless they are of one dimension.

    It is written in the unit that most of them are stated in, of as many the larger one.
    """
    counted = Counter(item.unit for item in seizures)
    unit = max(counted, key=lambda one: (counted[one], base(Decimal(1), one)[0]))
    amount = sum((convert(item.quantity, item.unit, unit) for item in seizures), Decimal(0))
    return Total(amount, unit, *base(amount, unit), _cell(amount, unit, seizures))


def _cell(amount: Decimal, unit: Unit, seizures: Sequence[Seizure]) -> str:
    words: Counter[str] = Counter()
    forms: list[Form] = []
    for item in seizures:
        if item.stated is None:
            continue
        number, word = split_stated(item.stated)
        forms.append(readings(number)[item.quantity])
        if item.unit is unit:
            words[word] += 1
    word = words.most_common(1)[0][0] if words else UNIT_WORDS[unit][0]
    return f"{write(amount, common(forms))} {word}"


@cache
def _registry() -> Any:
    # It takes as long to load as all the rest, and few who know of seizures add them up.
    import pint

    found: pint.UnitRegistry[Any] = pint.UnitRegistry(None, non_int_type=Decimal)
    for line in _DEFINITIONS:
        found.define(line)
    return found
