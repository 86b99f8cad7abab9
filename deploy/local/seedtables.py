"""The tables of the customer's document, as they are transcribed in `tests/vectors/seed_tables.toml`: texts only."""

import tomllib
from dataclasses import dataclass
from typing import Any, Final

from deploy.local.instance import REPOSITORY

FILE: Final = REPOSITORY / "tests" / "vectors" / "seed_tables.toml"


@dataclass(frozen=True, slots=True)
class Printed:
    """A table as printed; `name`, `year` and `table` say of which operation and what, empty for page 8."""

    page: int
    heading: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    name: str = ""
    year: int = 0
    table: str = ""


_READ: Final[dict[str, Any]] = tomllib.loads(FILE.read_text(encoding="utf-8"))


def _printed(read: dict[str, Any]) -> Printed:
    rows = tuple(tuple(row) for row in read["rows"])
    return Printed(**{**read, "heading": tuple(read["heading"]), "rows": rows})


EXCHANGE: Final = _printed(_READ["exchange"])
OPERATIONS: Final = tuple(_printed(read) for read in _READ["operation"])
