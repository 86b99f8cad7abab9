"""Dates as far as they are known: a year, a year and month, or a day; and moments. ISO 8601, kept as written."""

from datetime import date, datetime
from typing import Annotated, Final

from pydantic import AfterValidator, Field

_PARTIAL: Final = r"(18|19|20)[0-9]{2}(-(0[1-9]|1[0-2])(-(0[1-9]|[12][0-9]|3[01]))?)?"
_CLOCK: Final = r"T([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])"
_DAY_SIZE: Final = len("2004-11-15")


def _exists(text: str) -> str:
    # The pattern has taken care of the rest: only the month's length is left.
    if len(text) >= _DAY_SIZE:
        try:
            date.fromisoformat(text[:_DAY_SIZE])
        except ValueError:
            raise ValueError("must be a day that there is") from None
    return text


PartialDate = Annotated[
    str,
    Field(
        pattern=f"^{_PARTIAL}$",
        description="a date as far as it is known: 1974, 1974-08 or 1974-08-12",
        examples=["1974", "1974-08", "1974-08-12"],
    ),
    AfterValidator(_exists),
]
Moment = Annotated[
    str,
    Field(
        pattern=f"^{_PARTIAL}$|^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}{_CLOCK}$",
        description="a date as far as it is known, or a time with its offset: 2004-11-15T03:00+02:00",
        examples=["2004-11", "2004-11-15T03:00+02:00"],
    ),
    AfterValidator(_exists),
]


def earliest(partial: str) -> date:
    """The first day that a partial date or moment may mean, in the zone it is written in."""
    return date.fromisoformat((partial[:_DAY_SIZE] + "-01-01")[:_DAY_SIZE])


def overlap(one: str, other: str) -> bool:
    """Whether two partial dates may be the same day: one says no more than the other, or the same."""
    return one.startswith(other) or other.startswith(one)


def moment(text: str) -> datetime | None:
    """The moment, if its time was stated; None where only the date is known."""
    return datetime.fromisoformat(text) if len(text) > _DAY_SIZE else None
