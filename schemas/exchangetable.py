"""The table of page 8: how much was exchanged in each field, in two years, and by how much that changed. Pure.

The change is in percent of the earlier year, truncated; where that has fewer than ten, a percentage says nothing, and
none is given.
"""

from collections.abc import Iterable, Mapping, Sequence
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


# By year and a field's code: None where it is not known, and none at all where nothing is said of it.
Counts = Mapping[int, Mapping[str, Count | None]]


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
    """A line of the table. Of a year in which it is not known what was exchanged there is None: that is not none.

    `whole` is false of a sum that lacks something.
    """

    code: str
    name: str
    earlier: Count | None
    later: Count | None
    whole: bool = True

    @property
    def change(self) -> Change | None:
        """From the earlier year to the later; None also where one of them is not known, or not wholly."""
        if self.earlier is None or self.later is None or not self.whole:
            return None
        return change(self.earlier.total, self.later.total)


@dataclass(frozen=True, slots=True)
class ExchangeTable:
    """The table of page 8: `rows` for the fields, `total` for all of them of which something is known."""

    earlier: int
    later: int
    rows: tuple[ExchangeRow, ...]
    total: ExchangeRow

    @property
    def has_imported(self) -> bool:
        """Whether any figure of it was imported, in whole or in part."""
        both = (self.total.earlier, self.total.later)
        return any(count is not None and count.imported is not None for count in both)

    @property
    def unknown(self) -> tuple[int, ...]:
        """The years of which nothing is known."""
        both = ((self.earlier, self.total.earlier), (self.later, self.total.later))
        return tuple(year for year, count in both if count is None)

    @property
    def missing(self) -> dict[int, tuple[str, ...]]:
        """By year, the codes of the fields of which nothing is known, though something is of others: its total lacks
        them.
        """
        both = ((self.earlier, [row.earlier for row in self.rows]), (self.later, [row.later for row in self.rows]))
        return {
            year: tuple(row.code for row, count in zip(self.rows, counts, strict=True) if count is None)
            for year, counts in both
            if year not in self.unknown and None in counts
        }


def exchange_table(
    earlier: int, later: int, counts: Counts, fields: Sequence[StatisticalField] = FIELDS
) -> ExchangeTable:
    """The table of two years, from the counts of each year by field; of a year that has no counts, nothing is known.

    A total of a year in which a field is not known is of the others, and has no change: the whole may have been
    another. A row of what was erased only if there is any.
    """
    before, after = counts.get(earlier), counts.get(later)
    rows = [ExchangeRow(one.code, one.name, _of(before, one), _of(after, one)) for one in fields]
    if any(count.total for year in (before, after) if year and (count := year.get(ERASED.code))):
        rows.append(ExchangeRow(ERASED.code, ERASED.name, _of(before, ERASED), _of(after, ERASED)))
    whole = all(row.earlier is not None and row.later is not None for row in rows)
    sums = _sum(row.earlier for row in rows), _sum(row.later for row in rows)
    return ExchangeTable(earlier, later, tuple(rows), ExchangeRow("total", "TOTAL", *sums, whole=whole))


def _of(counts: Mapping[str, Count | None] | None, field: StatisticalField) -> Count | None:
    return None if counts is None else counts.get(field.code, Count())


def _sum(counts: Iterable[Count | None]) -> Count | None:
    known = [count for count in counts if count is not None]
    return sum(known, Count()) if known else None
