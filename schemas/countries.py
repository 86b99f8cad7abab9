"""Countries (ISO 3166-1 alpha-2) and currencies (ISO 4217), as types that know their codes.

The tables are `pycountry`'s, read at first use. Besides what is in force: `CS`, Serbia and Montenegro until 2006, a
member of the Center under that code, and `XK`, which the European Commission uses for Kosovo.
"""

from functools import cache
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, GetJsonSchemaHandler
from pydantic_core import CoreSchema
from typing_extensions import TypeAliasType

ALSO_COUNTRIES: Final = frozenset({"CS", "XK"})


@cache
def country_codes() -> frozenset[str]:
    """All codes that a country field may have."""
    # The tables are a hundred kilobytes, and most commands need none of them.
    import pycountry

    return frozenset(country.alpha_2 for country in pycountry.countries) | ALSO_COUNTRIES


@cache
def currency_codes() -> frozenset[str]:
    """All codes that a currency field may have."""
    import pycountry

    return frozenset(currency.alpha_3 for currency in pycountry.currencies)


def _country(code: str) -> str:
    if code not in country_codes():
        raise ValueError("must be the code of a country (ISO 3166-1 alpha-2)")
    return code


def _currency(code: str) -> str:
    if code not in currency_codes():
        raise ValueError("must be the code of a currency (ISO 4217)")
    return code


class _Codes:
    """Puts the codes into the JSON Schema, when one is made."""

    def __init__(self, codes: Any) -> None:
        self.codes = codes

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "enum": sorted(self.codes())}


# Under names of their own, so that a JSON Schema has the codes once, and not in each field.
Country = TypeAliasType(
    "Country",
    Annotated[
        str,
        Field(pattern=r"^[A-Z]{2}$", description="ISO 3166-1 alpha-2 code"),
        AfterValidator(_country),
        _Codes(country_codes),
    ],
)
Currency = TypeAliasType(
    "Currency",
    Annotated[
        str,
        Field(pattern=r"^[A-Z]{3}$", description="ISO 4217 code"),
        AfterValidator(_currency),
        _Codes(currency_codes),
    ],
)
