"""Files with figures of years before the system: what is read of them, and what is said of bad ones."""

import json

import pytest

from hub.errors import FiguresRefused
from hub.figures import Figure, read

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
    assert read(text.encode()) == FIGURES


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "its first line must be year,field,count"),
        ("field,year,count\n", "its first line must be year,field,count"),
        ("year,field,count\n", "there is no figure in it"),
        (
            "year,field,count\n2003,drugs,44\n2003,tea,1\n",
            "line 3: field .*must be a field of the table: ",
        ),
        ("year,field,count\n2003,drugs,-1\n", "line 2: count must be at least"),
        ("year,field,count\n2003,drugs,some\n", "line 2: count "),
        ("year,field,count\n1998,drugs,4\n", "line 2: year must be at least"),
        ("year,field,count\n2003,drugs\n", "line 2: count is required"),
        ("year,field,count\n2003,drugs,4,5\n", "line 2: more is not a known field"),
        ("year,field,count\n2003,drugs,4\n2003,Anti-Drug,5\n", "drugs of 2003 stands in it more than once"),
        ('{"year": 2003}', "its JSON is no list"),
        ("[1]", "figure 1: it "),
        ("[", "it does not read"),
        ('year,field,count\n2003,"drugs,4\n', "it does not read"),
        ("year,field,count\n" + "2003,tea,1\n" * 9, "and 4 more"),
    ],
)
def test_what_is_wrong_is_named_by_its_line_and_nothing_is_taken(text: str, said: str) -> None:
    with pytest.raises(FiguresRefused, match=said):
        read(text.encode())


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(FiguresRefused, match="does not read"):
        read(b"year,field,count\n\xff\xfe")
