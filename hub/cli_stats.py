"""`seci-hub stats`: how much was exchanged in each field, from the ledger; figures of years before it are imported."""

import csv
import hashlib
import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from sqlalchemy.ext.asyncio import AsyncConnection

from hub import figures, statistics
from hub.chart import chart
from hub.errors import FiguresRefused, FileUnwritable
from hub.roles import Action
from hub.settings import Settings
from hub.shell import AsJson, Home, acting, answer, say, with_database
from hub.statistics import Origin
from schemas.exchangetable import Count, ExchangeRow, ExchangeTable, exchange_table

_FIRST_YEAR: Final = 1999
_MARK: Final = "*"
_SOURCE_SIZE: Final = 200
stats_app: Final = typer.Typer(no_args_is_help=True, help="How much was exchanged, by field and year.")


@stats_app.command()
def exchange(
    home: Home,
    year: Annotated[int, typer.Option(min=_FIRST_YEAR + 1, max=2999, help="The later year.")],
    compare: Annotated[
        int | None, typer.Option(min=_FIRST_YEAR, max=2999, help="The earlier year; if not given, the one before.")
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    svg: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a chart, too.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show how many messages were accepted in each field in two years, by the hub's time (UTC), and the change.

    The change is in percent, truncated; where the earlier year has fewer than ten there is none. A figure with * has
    an imported part, of the time before the system. Exit code 6 if an entry of the ledger does not read.
    """
    earlier = year - 1 if compare is None else compare
    if earlier >= year:
        raise typer.BadParameter("--compare must be a year before --year")
    if as_csv and as_json:
        raise typer.BadParameter("--csv or --json, not both")
    settings = Settings.load(home)
    acting(settings, Action.LOOK)

    async def work(connection: AsyncConnection) -> tuple[ExchangeTable, list[dict[str, Any]]]:
        counts = await statistics.counts(connection, (earlier, year))
        return exchange_table(earlier, year, counts), await statistics.imported(connection, (earlier, year))

    table, imported = with_database(settings, work)
    if svg is not None:
        _write(svg, chart(table))
    text = _csv(table).rstrip("\n") if as_csv else "\n".join(_lines(table))
    answer(_described(table, imported), as_json, text)
    if svg is not None:
        say(f"the chart is in {svg}")


@stats_app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="CSV with year,field,count, or JSON: a list of such objects.")],
    home: Home,
    source: Annotated[str, typer.Option(help="What they are taken from, for example: Annual report 2003.")] = "",
    as_json: AsJson = False,
) -> None:
    """Import figures of years before the system: all of the file or nothing. They are marked wherever they are shown.

    A figure for a field and year that has one already counts instead of it; the older one stays on record.
    """
    settings = Settings.load(home)
    data = _read(file)
    found = figures.read(data)
    now = datetime.now(UTC).year
    if ahead := sorted({figure.year for figure in found if figure.year > now}):
        raise FiguresRefused(f"the file of figures: {ahead[0]} has not begun", "correct it; nothing was imported")
    digest, taken_from = hashlib.sha256(data).digest(), (source.strip() or file.name)[:_SOURCE_SIZE]
    actor = acting(settings, Action.STATS_IMPORT, {"source": taken_from, "digest": digest.hex()})
    origin = Origin(actor.name, taken_from, digest)
    years = sorted({figure.year for figure in found})

    async def work(connection: AsyncConnection) -> dict[int, int]:
        await statistics.add(connection, found, origin)
        return {year: (await statistics.accepted(connection, year)).total() for year in years}

    own = {year: number for year, number in with_database(settings, work).items() if number}
    result = {"ok": True, "imported": len(found), "years": years, "source": origin.source}
    answer(result | {"digest": origin.digest.hex()}, as_json, f"{len(found)} figures imported, of {_words(years)}")
    if own:
        say(f"the ledger has messages of {_words(list(own))}, too: the imported figures are added to them")


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise FiguresRefused(f"{file} does not read: {error.strerror}", "name the file with the figures") from error


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise FileUnwritable(f"{file} cannot be written: {error.strerror}", "name another with --svg") from error


def _words(years: list[int]) -> str:
    return ", ".join(map(str, years))


def _lines(table: ExchangeTable) -> list[str]:
    rows = (*table.rows, table.total)
    width = max(len(row.name) for row in rows)
    lines = [f"{'TF Field':{width}}  {table.earlier:>7} {table.later:>7}   Comparison"]
    lines += [
        f"{row.name:{width}}  {_cell(row.earlier):>8}{_cell(row.later):>8}  {row.change or ''}".rstrip() for row in rows
    ]
    if table.has_imported:
        lines.append(f"{_MARK} imported in whole or in part: of the time before the system")
    return lines


def _cell(count: Count) -> str:
    # The mark has a place of its own, so that figures stand under each other.
    return f"{count.total}{' ' if count.imported is None else _MARK}"


def _csv(table: ExchangeTable) -> str:
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    years = (table.earlier, table.later)
    out.writerow(["field", "name", *years, "comparison", *(f"imported in {year}" for year in years)])
    for row in (*table.rows, table.total):
        figures_ = (row.earlier.total, row.later.total)
        out.writerow([row.code, row.name, *figures_, row.change or "", row.earlier.imported, row.later.imported])
    return text.getvalue()


def _described(table: ExchangeTable, imported: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "year": table.later,
        "compare": table.earlier,
        "rows": [_row(table, row) for row in table.rows],
        "total": _row(table, table.total),
        "imported": imported,
    }


def _row(table: ExchangeTable, row: ExchangeRow) -> dict[str, Any]:
    counts = {str(table.earlier): row.earlier, str(table.later): row.later}
    return {
        "field": row.code,
        "name": row.name,
        "counts": {
            year: {"total": count.total, "ledger": count.ledger, "imported": count.imported}
            for year, count in counts.items()
        },
        "comparison": str(row.change or ""),
        "percent": None if row.change is None else row.change.percent,
    }
