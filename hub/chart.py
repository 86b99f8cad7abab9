"""The table of page 8 as a chart: SVG, two bars for each field, what is imported drawn lighter. Pure."""

from collections.abc import Iterator
from typing import Final
from xml.sax.saxutils import escape

from schemas.exchangetable import Count, ExchangeRow, ExchangeTable

_WIDTH: Final = 760
_LABELS: Final = 240
_BARS: Final = 400
_BAR: Final = 14
_ROW: Final = 40
_TOP: Final = 70
_COLOURS: Final = ("#8aa4c8", "#1f3f77")
_IMPORTED: Final = 'fill-opacity="0.45" stroke="#444444" stroke-dasharray="2 2"'


def chart(table: ExchangeTable, running: int | None = None) -> str:
    """The SVG document. It names no font file and loads nothing. `running` is a year that is not over yet."""
    height = _TOP + _ROW * len(table.rows) + 30
    most = max((count.total for row in table.rows for count in (row.earlier, row.later) if count), default=0) or 1
    title = escape(f"Information exchange {table.earlier} and {table.later}")
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="12" role="img">',
        f"<title>{title}</title>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="10" y="24" font-size="16">{title}</text>',
        *_legend(table, running),
    ]
    for place, row in enumerate(table.rows):
        lines += _row(row, _TOP + _ROW * place, most)
    total = table.total
    lacking = " (not all fields are known)" if table.missing else ""
    lines.append(
        f'<text x="10" y="{height - 12}">{escape(total.name)} {_figure(total.earlier)} / {_figure(total.later)} '
        f"{escape(str(total.change or ''))}{lacking}</text>"
    )
    return "\n".join([*lines, "</svg>", ""])


def _figure(count: Count | None) -> str:
    return "-" if count is None else str(count.total)


def _legend(table: ExchangeTable, running: int | None) -> Iterator[str]:
    for place, (year, colour) in enumerate(zip((table.earlier, table.later), _COLOURS, strict=True)):
        x = _LABELS + 130 * place
        yield f'<rect x="{x}" y="36" width="12" height="12" fill="{colour}"/>'
        yield f'<text x="{x + 18}" y="47">{year}{" (so far)" if year == running else ""}</text>'
    if table.has_imported:
        yield f'<rect x="{_LABELS + 260}" y="36" width="12" height="12" fill="{_COLOURS[0]}" {_IMPORTED}/>'
        yield f'<text x="{_LABELS + 278}" y="47">imported: of before the system</text>'


def _row(row: ExchangeRow, top: int, most: int) -> Iterator[str]:
    yield f'<text x="10" y="{top + 19}">{escape(row.name)}</text>'
    for place, (count, colour) in enumerate(zip((row.earlier, row.later), _COLOURS, strict=True)):
        y = top + (_BAR + 2) * place
        if count is not None:
            yield from _bar(count, y, colour, most)
        change = f"  {row.change}" if place and row.change else ""
        x = _LABELS + (0 if count is None else round(_BARS * count.total / most)) + 6
        yield f'<text x="{x}" y="{y + 11}">{_figure(count)}{escape(change)}</text>'


def _bar(count: Count, y: int, colour: str, most: int) -> Iterator[str]:
    own, all_ = (round(_BARS * number / most) for number in (count.ledger, count.total))
    if count.ledger:
        yield f'<rect x="{_LABELS}" y="{y}" width="{own}" height="{_BAR}" fill="{colour}"/>'
    if count.imported:
        yield (f'<rect x="{_LABELS + own}" y="{y}" width="{all_ - own}" height="{_BAR}" fill="{colour}" {_IMPORTED}/>')
