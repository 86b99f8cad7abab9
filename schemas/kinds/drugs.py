"""Kinds of the task force on drugs: what was seized, where, and how much (pages 15 to 17)."""

from datetime import date
from decimal import Decimal
from typing import Annotated

from pydantic import Field

from schemas.countries import Country
from schemas.kinds.common import Body, Line, Text
from schemas.seizures import Substance, Unit


class Seizure(Body):
    """One quantity of one substance. `quantity` is a decimal number, written as a string or number."""

    substance: Substance
    quantity: Annotated[Decimal, Field(gt=0, max_digits=15, decimal_places=6)]
    unit: Unit
    note: Line | None = None


class DrugsSeizure(Body):
    """A seizure of drugs or precursors; the operation it belongs to is in the header."""

    seized_on: date
    country: Country
    place: Line | None = None
    seizures: Annotated[tuple[Seizure, ...], Field(min_length=1, max_length=100)]
    suspects: Annotated[int, Field(ge=0, le=10_000)] | None = None
    text: Text | None = None
