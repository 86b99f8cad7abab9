"""Kinds of the task force on drugs: what was seized, where, and how much (pages 15 to 17)."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from schemas import numerals
from schemas.countries import Country
from schemas.entities import Facts
from schemas.kinds.common import Body, Line, Text
from schemas.kinds.kind import Kind
from schemas.printed import UNIT_WORDS, split_stated
from schemas.seizures import Substance, Unit


class Seizure(Body):
    """One quantity of one substance. `quantity` is a decimal number, written as a string or number.

    `stated` is the same as the report writes it, `3,3 kilograms`: tables show it so. `reference` is the number that the
    seizure has on file; police and customs who give the same one mean the same seizure.
    """

    substance: Substance
    quantity: Annotated[Decimal, Field(gt=0, max_digits=15, decimal_places=6)]
    unit: Unit
    stated: Annotated[str, Field(min_length=1, max_length=60)] | None = None
    reference: Line | None = None
    note: Line | None = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if self.stated is not None:
            number, word = split_stated(self.stated)
            if word.lower() not in UNIT_WORDS[self.unit] or self.quantity not in numerals.readings(number):
                raise ValueError("stated: must say the same quantity and unit, for example `3,3 kilograms`")
        return self


class DrugsSeizure(Facts):
    """A seizure of drugs or precursors; the operation it belongs to is in the header."""

    seized_on: date
    country: Country
    place: Line | None = None
    seizures: Annotated[tuple[Seizure, ...], Field(min_length=1, max_length=100)]
    suspects: Annotated[int, Field(ge=0, le=10_000)] | None = None
    text: Text | None = None


KINDS: Final = (
    Kind(
        "drugs.seizure",
        1,
        DrugsSeizure,
        examples=(
            {
                "seized_on": "2003-10-15",
                "country": "RO",
                "place": "Giurgiu",
                "seizures": [
                    {"substance": "heroin", "quantity": "124", "unit": "kg"},
                    {"substance": "cocaine", "quantity": "0.6", "unit": "kg", "note": "in a spare wheel"},
                    {"substance": "opium", "quantity": "3.3", "unit": "kg", "stated": "3,3 kilograms"},
                    {"substance": "mdma", "quantity": "6838", "unit": "tablets"},
                ],
                "suspects": 3,
                "text": "In a bus from Istanbul; driver Γεώργιος Παπαδόπουλος, with Ştefan Zăvoianu and Иван Стоянов.",
            },
        ),
    ),
)
