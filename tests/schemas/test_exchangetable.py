"""The table of page 8: every row of it from its two figures, and what becomes of imported and erased ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.local.seedtables import EXCHANGE
from schemas.exchangetable import DOWN, UP, Change, Count, change, exchange_table
from schemas.statistics import FIELDS

FIGURES = {row[0]: (int(row[1]), int(row[2])) for row in EXCHANGE.rows}


@pytest.mark.parametrize("row", EXCHANGE.rows, ids=lambda row: row[0])
def test_every_change_of_page_8_follows_from_its_two_figures(row: tuple[str, ...]) -> None:
    assert str(change(int(row[1]), int(row[2])) or "") == row[3]


def test_the_whole_table_of_page_8_with_its_total() -> None:
    counts = {
        year: {field.code: Count(ledger=FIGURES[field.name][place]) for field in FIELDS}
        for place, year in enumerate((2003, 2004))
    }
    table = exchange_table(2003, 2004, counts)
    rows = [
        (row.name, str(row.earlier.total), str(row.later.total), str(row.change or ""))
        for row in (*table.rows, table.total)
    ]
    assert rows == list(EXCHANGE.rows)


@pytest.mark.parametrize(
    ("earlier", "later", "found"),
    [
        (10, 5, Change(DOWN, 50)),
        (9, 5, Change(DOWN, None)),
        (9, 10, Change(UP, None)),
        (10, 11, Change(UP, 10)),
        (1000, 1001, Change(UP, 0)),
        (1000, 999, Change(DOWN, 0)),
        (100, 0, Change(DOWN, 100)),
        (0, 0, None),
        (79, 79, None),
    ],
)
def test_a_change_is_truncated_and_has_no_percentage_of_a_small_year(
    earlier: int, later: int, found: Change | None
) -> None:
    assert change(earlier, later) == found


@given(st.integers(10, 10**6), st.integers(0, 10**6))
def test_a_percentage_is_never_more_than_the_change(earlier: int, later: int) -> None:
    found = change(earlier, later)
    percent = 0 if found is None or found.percent is None else found.percent
    assert percent * earlier <= abs(later - earlier) * 100 < (percent + 1) * earlier


def test_imported_figures_are_added_and_kept_apart() -> None:
    counts = {2003: {"drugs": Count(imported=40) + Count(ledger=4)}, 2004: {"drugs": Count(ledger=48)}}
    table = exchange_table(2003, 2004, counts)
    drugs = next(row for row in table.rows if row.code == "drugs")
    assert drugs.earlier is not None
    assert (drugs.earlier.total, drugs.earlier.imported, str(drugs.change)) == (44, 40, "↑ 9")
    assert (table.total.earlier, table.total.later) == (Count(4, 40), Count(48))
    assert table.has_imported


def test_that_nothing_was_exchanged_may_be_imported_too() -> None:
    assert not exchange_table(2003, 2004, {2003: {"wmd": Count()}}).has_imported
    assert exchange_table(2003, 2004, {2003: {"wmd": Count(imported=0)}}).has_imported
    assert Count(1) + Count(2) == Count(3)
    assert Count(1) + Count(imported=0) == Count(1, 0)


def test_erased_messages_have_a_row_only_if_there_are_any() -> None:
    assert [row.code for row in exchange_table(2003, 2004, {}).rows] == [field.code for field in FIELDS]
    table = exchange_table(2003, 2004, {2003: {"erased": Count(ledger=3)}})
    assert (table.rows[-1].code, table.rows[-1].earlier, table.total.earlier) == ("erased", Count(3), Count(3))


def test_nothing_is_known_of_a_year_without_counts_and_none_is_not_nothing() -> None:
    table = exchange_table(2003, 2004, {2004: {"drugs": Count(ledger=48)}})
    assert (table.unknown, table.total.earlier, table.total.change) == ((2003,), None, None)
    assert exchange_table(2003, 2004, {2003: {}, 2004: {}}).unknown == ()


def test_a_field_that_is_not_known_is_blank_and_the_total_that_lacks_it_is_compared_with_nothing() -> None:
    known = {2003: {"drugs": Count(imported=44), "wmd": None}, 2004: {"drugs": Count(ledger=48), "wmd": Count(1)}}
    table = exchange_table(2003, 2004, known)
    rows = {row.code: row for row in table.rows}
    assert (rows["wmd"].earlier, rows["wmd"].change, str(rows["drugs"].change)) == (None, None, "↑ 9")
    assert (table.missing, table.unknown) == ({2003: ("wmd",)}, ())
    assert (table.total.earlier, table.total.later, table.total.change) == (Count(0, 44), Count(49), None)
    # Of a year of which nothing is known, no field is told by itself.
    assert exchange_table(2002, 2004, known).missing == {}
