"""Kinds of the task force on drugs: what was seized, where, and how much (pages 15 to 17)."""

from datetime import date
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from schemas import numerals
from schemas.kinds.common import Body, Country, Line, Text


class Substance(StrEnum):
    """The drug types of the Center's tables, pages 15 to 17, and precursors named there."""

    HEROIN = "heroin"
    MARIJUANA = "marijuana"
    AMPHETAMINES = "amphetamines"
    HASHISH = "hashish"
    COCAINE = "cocaine"
    OPIUM = "opium"
    MDMA = "mdma"
    SEDATIVES = "sedatives"
    STEROIDS = "steroids"
    HERBAL_CANNABIS = "herbal-cannabis"
    PSEUDOEPHEDRINE = "pseudoephedrine"
    TOLUOL = "toluol"
    OTHER = "other"


class Unit(StrEnum):
    """Units of seizure, as the tables print them."""

    GRAM = "g"
    KILOGRAM = "kg"
    METRIC_TON = "t"
    LITRE = "l"
    TABLET = "tablets"
    AMPOULE = "ampoules"
    DOSAGE = "dosages"


# What each is called in those tables.
SUBSTANCE_NAMES: Final = MappingProxyType(
    {
        Substance.HEROIN: "Heroin",
        Substance.MARIJUANA: "Marijuana",
        Substance.AMPHETAMINES: "Amphetamines",
        Substance.HASHISH: "Hashish",
        Substance.COCAINE: "Cocaine",
        Substance.OPIUM: "Opium",
        Substance.MDMA: "MDMA",
        Substance.SEDATIVES: "Sedatives",
        Substance.STEROIDS: "Steroids",
        Substance.HERBAL_CANNABIS: "Herbal cannabis",
        Substance.PSEUDOEPHEDRINE: "Pseudoephedrine",
        Substance.TOLUOL: "Precursors (Toluol)",
        Substance.OTHER: "Other",
    }
)
# How people write each unit; the first is what we write where nobody has said how.
UNIT_WORDS: Final = MappingProxyType(
    {
        Unit.GRAM: ("g", "gr", "gram", "grams", "gramme", "grammes"),
        Unit.KILOGRAM: ("kg", "kilogram", "kilograms", "kilogramme", "kilogrammes", "kilo", "kilos"),
        Unit.METRIC_TON: ("t", "metric ton", "metric tons", "tonne", "tonnes"),
        Unit.LITRE: ("l", "litre", "litres", "liter", "liters"),
        Unit.TABLET: ("tablets", "tablet"),
        Unit.AMPOULE: ("ampoules", "ampoule"),
        Unit.DOSAGE: ("dosages", "dosage"),
    }
)


def split_stated(stated: str) -> tuple[str, str]:
    """The number and the unit's word of a quantity as written, `3,3 kilograms`."""
    last = max((place for place, letter in enumerate(stated) if letter.isdigit()), default=-1)
    return stated[: last + 1].strip(), stated[last + 1 :].strip()


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


class DrugsSeizure(Body):
    """A seizure of drugs or precursors; the operation it belongs to is in the header."""

    seized_on: date
    country: Country
    place: Line | None = None
    seizures: Annotated[tuple[Seizure, ...], Field(min_length=1, max_length=100)]
    suspects: Annotated[int, Field(ge=0, le=10_000)] | None = None
    text: Text | None = None
