"""The chart of the exchange: a picture that every program reads, with the table's figures in it."""

from dataclasses import replace
from xml.etree import ElementTree as Xml

from hub.chart import chart
from schemas.exchangetable import Count, exchange_table
from schemas.statistics import FIELDS

SVG = "{http://www.w3.org/2000/svg}"
FIGURES = {2003: (137, 44, 134, 16, 22, 1, 5, 0, 79), 2004: (143, 48, 146, 31, 36, 16, 5, 1, 89)}
COUNTS = {
    year: {field.code: Count(ledger=number) for field, number in zip(FIELDS, numbers, strict=True)}
    for year, numbers in FIGURES.items()
}


def _texts(svg: str) -> list[str]:
    return [str(item.text) for item in Xml.fromstring(svg).iter(f"{SVG}text")]  # noqa: S314 ours


def _widths(svg: str, opacity: str | None = None) -> list[float]:
    bars = [item for item in Xml.fromstring(svg).iter(f"{SVG}rect") if item.get("height") == "14"]  # noqa: S314 ours
    return [float(bar.attrib["width"]) for bar in bars if bar.get("fill-opacity") == opacity]


def test_every_figure_and_change_stands_in_it_and_bars_are_as_long_as_the_figures() -> None:
    svg = chart(exchange_table(2003, 2004, COUNTS))
    texts = _texts(svg)
    assert {"137", "143  ↑ 4", "5", "TOTAL 438 / 515 ↑ 17", *(field.name for field in FIELDS)} <= set(texts)
    widths = _widths(svg)
    # None is drawn of what is none.
    numbers = [number for pair in zip(*FIGURES.values(), strict=True) for number in pair if number]
    assert widths == [round(400 * number / 146) for number in numbers]
    assert not [text for text in texts if "imported" in text]


def test_what_is_imported_is_drawn_lighter_and_told() -> None:
    counts = {2003: {"drugs": Count(imported=44)}, 2004: {"drugs": Count(ledger=40, imported=8)}}
    svg = chart(exchange_table(2003, 2004, counts))
    assert _widths(svg, "0.45") == [round(400 * 44 / 48), 400 - round(400 * 40 / 48)]
    assert "imported: of before the system" in _texts(svg)


def test_an_empty_table_and_strange_names_make_a_picture_too() -> None:
    assert "TOTAL - / 0 " in _texts(chart(exchange_table(2003, 2004, {2004: {}})))
    assert {"2003", "2004 (so far)"} <= set(_texts(chart(exchange_table(2003, 2004, {}), 2004)))
    strange = (replace(FIELDS[0], name='<Drugs> & "more"'),)
    assert '<Drugs> & "more"' in _texts(chart(exchange_table(2003, 2004, {}, strange)))


def test_a_total_that_lacks_a_field_says_so() -> None:
    known = {2003: {"drugs": Count(imported=44), "wmd": None}, 2004: {"drugs": Count(ledger=48)}}
    assert "TOTAL 44 / 48  (not all fields are known)" in _texts(chart(exchange_table(2003, 2004, known)))
