"""Files with figures of years before the system: what is read of them, and what is said of bad ones."""

import json

import pytest

from hub.errors import FiguresRefused
from hub.figures import Figure, read

AHEAD = {"year": 2027, "field": "drugs", "count": 1}
FIGURES = (Figure(year=2003, field="drugs", count=44), Figure(year=2003, field="wmd", count=0))


@pytest.mark.parametrize(
    "text",
    [
        "year,field,count\n2003,drugs,44\n2003,wmd,0\n",
        "\ufeffyear,field,count\r\n2003,Anti-Drug,44\r\n2003, Weapons of Mass Destruction ,0\r\n",
        json.dumps([{"year": 2003, "field": "drugs", "count": 44}, {"year": 2003, "field": "WMD", "count": 0}]),
    ],
)
def test_a_file_is_csv_or_json_and_names_fields_by_code_or_as_printed(text: str) -> None:
    assert read(text.encode(), 2026) == FIGURES


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "its first line must be year,field,count"),
        ("field,year,count\n", "its first line must be year,field,count"),
        ("year,field,count\n", "there is no figure in it"),
        ('{"year": 2003}', "its JSON is no list"),
        ("[", "it does not read"),
        ('year,field,count\n2003,"drugs,4\n', "it does not read"),
    ],
)
def test_a_file_that_is_none_of_figures_is_refused(text: str, said: str) -> None:
    with pytest.raises(FiguresRefused, match=said):
        read(text.encode(), 2026)


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(FiguresRefused, match="does not read"):
        read(b"year,field,count\n\xff\xfe", 2026)


def test_what_json_calls_true_is_no_figure() -> None:
    with pytest.raises(FiguresRefused) as told:
        read(b'[{"year": 2003, "field": "drugs", "count": true}]', 2026)
    assert [(one["found"], one["wanted"]) for one in told.value.fields] == [("true", "must be a whole number")]


@pytest.mark.parametrize(
    ("lines", "field", "found", "wanted"),
    [
        ("2003,drugs,44\n2003,tea,1\n", "line 3, field", "tea", "must be a field of the table: "),
        ("2003,drugs,-1\n", "line 2, count", "-1", "must be at least"),
        ("2003,drugs,some\n", "line 2, count", "some", "must be a whole number"),
        ("1998,drugs,4\n", "line 2, year", "1998", "must be at least"),
        ("2003,drugs\n", "line 2, count", "nothing", "is required"),
        ("2003,drugs,4,5\n", "line 2, more", '["5"]', "is not a known field"),
        ("2003,drugs,4\n\n2003,Anti-Drug,5\n", "line 4", "drugs of 2003", "once, and is in line 2 already"),
        ("2003,drugs,4\n2027,drugs,5\n", "line 3, year", "2027", "must not be after 2026"),
        ("2003,\x1b[2J,4\n", "line 2, field", r"'\x1b[2J'", "must be a field"),
    ],
)
def test_what_is_wrong_is_named_field_by_field_and_line_by_line(
    lines: str, field: str, found: str, wanted: str
) -> None:
    with pytest.raises(FiguresRefused) as refused:
        read(f"year,field,count\n{lines}".encode(), 2026)
    [fault] = refused.value.fields
    assert (fault["field"], fault["found"], wanted in fault["wanted"]) == (field, found, True)


def test_everything_that_is_wrong_is_named_at_once() -> None:
    with pytest.raises(FiguresRefused, match="6 things are wrong") as refused:
        read(json.dumps([1, {"year": 2003, "field": "tea"}, AHEAD, AHEAD]).encode(), 2026)
    told = [fault["field"] for fault in refused.value.fields]
    assert told == ["figure 1", "figure 2, field", "figure 2, count", "figure 3, year", "figure 4, year", "figure 4"]


def test_what_is_wrong_is_told_in_the_order_of_the_file() -> None:
    lines = "2027,drugs,5\n2003,tea,1\n2003,wmd,1\n2003,wmd,2\n2003,salw,x\n"
    with pytest.raises(FiguresRefused) as refused:
        read(f"year,field,count\n{lines}".encode(), 2026)
    assert [fault["field"] for fault in refused.value.fields] == [
        *("line 2, year", "line 3, field", "line 5", "line 6, count"),
    ]
