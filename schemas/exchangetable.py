"""The table of page 8: how much was exchanged in each field, in two years, and by how much that changed. Pure.

The change is in percent of the earlier year, truncated; where that has fewer than ten, a percentage says nothing, and
none is given.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from schemas.statistics import FIELDS, StatisticalField

# Below this an earlier year is too small for a percentage.
SMALLEST: Final = 10
UP: Final = "\N{UPWARDS ARROW}"
DOWN: Final = "\N{DOWNWARDS ARROW}"


# What is left of erased entries: that there was a message, and when.
ERASED: Final = StatisticalField("erased", "Erased since", ())


@dataclass(frozen=True, slots=True)
class Count:
    """A year's exchanges in a field: what the ledger has, and what was imported of the time before the system.

    `imported` is None where nothing was: that none was exchanged may be imported, too.
    """

    ledger: int = 0
    imported: int | None = None

    @property
    def total(self) -> int:
        """Both."""
        return self.ledger + (self.imported or 0)

    def __add__(self, other: "Count") -> "Count":
        imported = [count for count in (self.imported, other.imported) if count is not None]
        return Count(self.ledger + other.ledger, sum(imported) if imported else None)


@dataclass(frozen=True, slots=True)
class Change:
    """Upwards or downwards, and by how many percent of the earlier year, truncated; None where that is too small."""

    arrow: str
    percent: int | None

    def __str__(self) -> str:
        return self.arrow if self.percent is None else f"{self.arrow} {self.percent}"


def change(earlier: int, later: int) -> Change | None:
    """What the column `Comparison` says; None where nothing changed."""
    if earlier == later:
        return None
    percent = abs(later - earlier) * 100 // earlier if earlier >= SMALLEST else None
    return Change(UP if later > earlier else DOWN, percent)


@dataclass(frozen=True, slots=True)
class ExchangeRow:
    """A line of the table."""

    code: str
    name: str
    earlier: Count
    later: Count

    @property
    def change(self) -> Change | None:
        """From the earlier year to the later."""
        return change(self.earlier.total, self.later.total)


@dataclass(frozen=True, slots=True)
class ExchangeTable:
    """The table of page 8: `rows` for the fields, `total` for all of them."""

    earlier: int
    later: int
    rows: tuple[ExchangeRow, ...]
    total: ExchangeRow

    @property
    def has_imported(self) -> bool:
        """Whether any figure of it was imported, in whole or in part."""
        return self.total.earlier.imported is not None or self.total.later.imported is not None


def exchange_table(
    earlier: int, later: int, counts: Mapping[int, Mapping[str, Count]], fields: Sequence[StatisticalField] = FIELDS
) -> ExchangeTable:
    """The table of two years, from the counts of each year by field. A row of what was erased only if there is any."""

    def count(year: int, code: str) -> Count:
        return counts.get(year, {}).get(code, Count())

    rows = [ExchangeRow(one.code, one.name, count(earlier, one.code), count(later, one.code)) for one in fields]
    erased = ExchangeRow(ERASED.code, ERASED.name, count(earlier, ERASED.code), count(later, ERASED.code))
    if erased.earlier.total or erased.later.total:
        rows.append(erased)
    before, after = (sum(side, Count()) for side in zip(*((row.earlier, row.later) for row in rows), strict=True))
    return ExchangeTable(earlier, later, tuple(rows), ExchangeRow("total", "TOTAL", before, after))
