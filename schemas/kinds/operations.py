"""Kinds of joint operations: the plan, and what each country's police and customs report (pages 12, 13, 15 to 18).

What a report says is added up over countries, agencies and periods; `schemas/tally.py` does that.
"""

from datetime import date
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any, Final, Self

from pydantic import BeforeValidator, Field, model_validator

from schemas import numerals
from schemas.codes import Agency
from schemas.countries import Country, Currency
from schemas.kinds.common import Body, Line, Message, Text
from schemas.kinds.drugs import Seizure
from schemas.kinds.kind import Kind
from schemas.seizures import Substance


def _as_known(name: Any) -> Any:
    # Capital letters and blanks do not tell operations apart, and are no reason to send an officer's report back.
    return " ".join(name.split()).upper() if isinstance(name, str) else name


# With the year behind it, as it stands in a header.
OperationName = Annotated[
    str,
    Field(pattern=r"^[A-Z0-9]+([ -][A-Z0-9]+)*$", max_length=50, examples=["MIRAGE"]),
    BeforeValidator(_as_known),
]
Year = Annotated[int, Field(ge=1999, le=2999, description="Of the operation; the Center's first year is 1999.")]


class Indicator(StrEnum):
    """What operations are measured by, pages 12, 13 and 18."""

    REQUESTS_INITIATED = "requests-initiated"
    INVESTIGATORS_EXCHANGED = "investigators-exchanged"
    VICTIMS_IDENTIFIED = "victims-identified"
    VICTIMS_ASSISTED = "victims-assisted"
    VICTIMS_REPATRIATED = "victims-repatriated"
    TRAFFICKERS_IDENTIFIED = "traffickers-identified"
    TRAFFICKERS_CHARGED = "traffickers-charged"
    VEHICLES_SEIZED = "vehicles-seized"
    INVESTIGATIONS_INITIATED = "investigations-initiated"
    OFFENDERS_IDENTIFIED = "offenders-identified"
    OFFENDERS_ARRESTED = "offenders-arrested"
    VEHICLES_VALUE = "vehicles-value"
    OTHER = "other"


# What each is called on those pages; an amount's currency stands in brackets.
INDICATOR_NAMES: Final = MappingProxyType(
    {
        Indicator.REQUESTS_INITIATED: "requests initiated",
        Indicator.INVESTIGATORS_EXCHANGED: "investigators exchanged",
        Indicator.VICTIMS_IDENTIFIED: "victims identified",
        Indicator.VICTIMS_ASSISTED: "victims assisted",
        Indicator.VICTIMS_REPATRIATED: "victims repatriated",
        Indicator.TRAFFICKERS_IDENTIFIED: "traffickers identified",
        Indicator.TRAFFICKERS_CHARGED: "traffickers charged",
        Indicator.VEHICLES_SEIZED: "Vehicles seized",
        Indicator.INVESTIGATIONS_INITIATED: "Investigations initiated",
        Indicator.OFFENDERS_IDENTIFIED: "Offenders identified",
        Indicator.OFFENDERS_ARRESTED: "Offenders arrested",
        Indicator.VEHICLES_VALUE: "Value of vehicles seized",
        Indicator.OTHER: "Other",
    }
)
AMOUNTS: Final = frozenset({Indicator.VEHICLES_VALUE})


class Amount(Body):
    """A sum of money. `stated` is its number as the report writes it, `891,5`: tables show it so."""

    value: Annotated[Decimal, Field(ge=0, max_digits=18, decimal_places=4)]
    currency: Currency
    stated: Annotated[str, Field(min_length=1, max_length=30)] | None = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if self.stated is not None and self.value not in numerals.readings(self.stated):
            raise ValueError("stated: must be the number in `value`, for example `891,5`")
        return self


class Result(Body):
    """What was reached by one indicator: a count, or an amount where it is measured in money.

    `name` says what an indicator `other` is.
    """

    indicator: Indicator
    name: Line | None = None
    count: Annotated[int, Field(ge=0, le=10**9)] | None = None
    amount: Amount | None = None

    @model_validator(mode="after")
    def _is_of_its_indicator(self) -> Self:
        if (self.count is None) == (self.amount is None):
            raise ValueError("count: must be there, or else amount, and not both")
        if self.indicator is Indicator.OTHER:
            if self.name is None:
                raise ValueError("name: must say what an indicator `other` is")
        elif self.name is not None:
            raise ValueError("name: must be left out but for an indicator `other`")
        elif (self.amount is not None) != (self.indicator in AMOUNTS):
            raise ValueError(f"{'amount' if self.indicator in AMOUNTS else 'count'}: is what {self.indicator} has")
        return self


class OperationPlan(Message):
    """What an operation is for, when it is, who takes part, and what is to be reported, in the order of its tables."""

    name: OperationName
    year: Year
    begins: date
    ends: date
    objective: Text
    countries: Annotated[tuple[Country, ...], Field(min_length=1, max_length=50)]
    agencies: Annotated[tuple[Agency, ...], Field(min_length=1, max_length=3)]
    indicators: Annotated[tuple[Indicator, ...], Field(max_length=50)] = ()
    substances: Annotated[tuple[Substance, ...], Field(max_length=50)] = ()
    report_by: date | None = None
    text: Text | None = None

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Self:
        if self.ends < self.begins:
            raise ValueError("ends: must not be before begins")
        return self


class OperationReport(Message):
    """What one agency of one country reached in a period of an operation. Reports of several periods are added up.

    Who has reported something wrong sends a correction, not another report.
    """

    name: OperationName
    year: Year
    country: Country
    agency: Agency
    begins: date
    ends: date
    results: Annotated[tuple[Result, ...], Field(max_length=50)] = ()
    seizures: Annotated[tuple[Seizure, ...], Field(max_length=100)] = ()
    text: Text | None = None

    @model_validator(mode="after")
    def _reports_something_once(self) -> Self:
        if self.ends < self.begins:
            raise ValueError("ends: must not be before begins")
        if not self.results and not self.seizures:
            raise ValueError("results: must be there, or else seizures")
        named = [(item.indicator, item.name) for item in self.results]
        if len(set(named)) != len(named):
            raise ValueError("results: must name each indicator once")
        return self


KINDS: Final = (
    Kind(
        "operation.plan",
        1,
        OperationPlan,
        examples=(
            {
                "name": "MIRAGE",
                "year": 2004,
                "begins": "2004-05-17",
                "ends": "2004-05-26",
                "objective": "Victims are found and helped; who traffics in them is charged.",
                "countries": ["AL", "BA", "BG", "HR", "GR", "HU", "MD", "MK", "RO", "SI", "TR"],
                "agencies": ["police"],
                "indicators": ["requests-initiated", "victims-identified", "traffickers-charged"],
                "report_by": "2004-06-15",
                "text": "Contact: Ştefan Ionescu, Bucureşti; for Θεσσαλονίκη Νίκος Παππάς, for Бургас Георги Петков.",
            },
        ),
    ),
    Kind(
        "operation.report",
        1,
        OperationReport,
        examples=(
            {
                "name": "CONTAINMENT",
                "year": 2002,
                "country": "TR",
                "agency": "customs",
                "begins": "2002-09-02",
                "ends": "2002-09-27",
                "seizures": [
                    {
                        "substance": "opium",
                        "quantity": "3.3",
                        "unit": "kg",
                        "stated": "3,3 kilograms",
                        "reference": "TR-59/2002",
                    },
                    {"substance": "amphetamines", "quantity": "250000", "unit": "tablets", "stated": "250,000 tablets"},
                ],
                "text": "At Kapıkule, on the way from Капитан Андреево; ask Mehmet Çelik, at Ορμένιο Νίκος Παππάς.",
            },
            {
                "name": "ROAD SHOW",
                "year": 2003,
                "country": "HR",
                "agency": "police",
                "begins": "2003-10-06",
                "ends": "2003-10-17",
                "results": [
                    {"indicator": "vehicles-seized", "count": 108},
                    {"indicator": "vehicles-value", "amount": {"value": "891.5", "currency": "EUR", "stated": "891,5"}},
                    {"indicator": "other", "name": "false plates found", "count": 3},
                ],
            },
        ),
    ),
)
