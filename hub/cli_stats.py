"""`seci-hub stats`: how much was exchanged in each field, from the ledger; figures of years before it are imported."""

import csv
import hashlib
import io
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from sqlalchemy.ext.asyncio import AsyncConnection

from hub import figures, statistics
from hub.chart import chart
from hub.errors import FiguresRefused, FiguresUnknown, FileUnwritable
from hub.roles import Action
from hub.settings import Settings
from hub.setup import ledger_of
from hub.shell import AsJson, Home, acting, answer, say, with_database
from hub.statistics import Imported, Origin
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
    an imported part, of the time before the system. What is not known has - and no change: a year that was before the
    ledger began, or a field of it that was not imported, as others were. Exit code 3 then, but 4 if nothing is known
    of the later year; 6 if an entry of the ledger does not read.
    """
    now, earlier = _this_year(), year - 1 if compare is None else compare
    _check_years(earlier, year, now)
    if as_csv and as_json:
        raise typer.BadParameter("--csv or --json, not both")
    settings = Settings.load(home)
    acting(settings, Action.LOOK)

    async def work(connection: AsyncConnection) -> tuple[ExchangeTable, list[dict[str, Any]]]:
        counts = await statistics.counts(connection, (earlier, year))
        return exchange_table(earlier, year, counts), await statistics.imported(connection, (earlier, year))

    table, imported = with_database(settings, work)
    if year in table.unknown:
        raise FiguresUnknown(
            f"there are no figures of {year}: it was before this ledger began, and none were imported",
            "import them: seci-hub stats import FILE --source SOURCE; which there are: seci-hub stats imported",
        )
    running = year if year == now else None
    if svg is not None:
        _write(svg, chart(table, running))
    text = _csv(table).rstrip("\n") if as_csv else "\n".join(_lines(table, running))
    answer(_described(table, imported, running), as_json, text)
    for line in _notes(table, running) if as_csv else ():
        say(line)
    if svg is not None:
        say(f"the chart is in {svg}")
    if table.unknown:
        say(f"there are no figures of {earlier}: it was before this ledger began, and none were imported")
    if table.unknown or table.missing:
        raise typer.Exit(3)


def _check_years(earlier: int, later: int, now: int) -> None:
    if earlier >= later:
        raise typer.BadParameter("--compare must be a year before --year")
    if later > now:
        raise typer.BadParameter(f"--year {later} has not begun; this is {now}")


def _this_year() -> int:
    return datetime.fromtimestamp(time.time(), UTC).year


@stats_app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="CSV with year,field,count, or JSON: a list of such objects.")],
    home: Home,
    source: Annotated[str, typer.Option(help="What they are taken from, for example: Annual report 2003.")],
    replace: Annotated[bool, typer.Option("--replace", help="Also figures that are imported already.")] = False,
    as_json: AsJson = False,
) -> None:
    """Import figures of years before the system: all of the file or nothing. They are marked wherever they are shown.

    That it was done, by whom and from what source is an entry of the ledger. Exit code 4 if other figures of a field
    and year are there: with --replace the new ones count instead, and the older stay on record.
    """
    settings = Settings.load(home)
    log, data = ledger_of(settings), _read(file)
    found = figures.read(data, _this_year())
    digest, taken_from = hashlib.sha256(data).digest(), _said("--source", source, _SOURCE_SIZE)
    actor = acting(settings, Action.STATS_IMPORT, {"source": taken_from, "digest": digest.hex(), "replace": replace})
    origin = Origin(actor.name, taken_from, digest)
    years = sorted({figure.year for figure in found})

    async def work(connection: AsyncConnection) -> tuple[Imported, dict[int, int]]:
        done = await statistics.add(connection, log, found, origin, replace=replace)
        return done, {year: (await statistics.accepted(connection, year)).total() for year in years}

    done, own = with_database(settings, work, log, actor)
    result = {"ok": True, "imported": done.count, "replaced": list(done.replaced), "unchanged": done.unchanged}
    result |= {"years": years, "source": origin.source, "digest": origin.digest.hex(), "entry": done.entry}
    answer(result, as_json, "\n".join(_import_lines(done, years)))
    if ours := [year for year, number in own.items() if number]:
        say(f"the ledger has messages of {_words(ours)}, too: the imported figures are added to them")


def _import_lines(done: Imported, years: list[int]) -> Iterator[str]:
    if done.entry is None:
        yield f"nothing to import: all {done.unchanged} figures are there already"
        return
    same = f"; {done.unchanged} were there already" if done.unchanged else ""
    yield f"{done.count} figures imported, of {_words(years)}, as entry {done.entry} says{same}"
    for old in done.replaced:
        yield f"replaced: {old['field']} of {old['year']}, {old['count']} from {old['source']}"


def _said(option: str, text: str, most: int) -> str:
    """What goes into the ledger, for ever, in one line."""
    said = " ".join(text.split())
    if not said or len(said) > most or not said.isprintable():
        raise typer.BadParameter(f"{option} must say something, in at most {most} printable letters")
    return said


@stats_app.command("imported")
def imported_(
    home: Home,
    year: Annotated[int | None, typer.Option(min=_FIRST_YEAR, max=2999, help="Of this year only.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Also figures that were replaced.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the imported figures: who imported them, when, and from what source."""
    years, settings = None if year is None else [year], Settings.load(home)
    acting(settings, Action.LOOK)
    found = with_database(settings, lambda connection: statistics.imported(connection, years, replaced=every))
    head = f"{'year':4}  {'field':11}  {'count':>7}  {'imported at':24}  {'by':12}  source"
    lines = [
        f"{one['year']:4}  {one['field']:11}  {one['count']:>7}  {one['at']:24}  {one['operator']:12}  {one['source']}"
        + (" (replaced)" if one["replaced"] else "")
        for one in found
    ]
    answer({"imported": found}, as_json, "\n".join([head, *lines] if lines else ["no figures are imported"]))


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


def _lines(table: ExchangeTable, running: int | None) -> list[str]:
    rows = (*table.rows, table.total)
    width = max(len(row.name) for row in rows)
    lines = [f"{'TF Field':{width}}  {table.earlier:>7} {table.later:>7}   Comparison"]
    lines += [
        f"{row.name:{width}}  {_cell(row.earlier):>8}{_cell(row.later):>8}  {row.change or ''}".rstrip() for row in rows
    ]
    if table.has_imported:
        lines.append(f"{_MARK} imported in whole or in part: of the time before the system")
    return [*lines, *_notes(table, running)]


def _notes(table: ExchangeTable, running: int | None) -> Iterator[str]:
    names = {row.code: row.name for row in table.rows}
    for year, codes in table.missing.items():
        fields = ", ".join(names[code] for code in codes)
        yield f"not imported of {year}, so not known and not in its TOTAL: {fields}"
    if running:
        yield f"{running} is not over: its figures are those up to now"


def _cell(count: Count | None) -> str:
    # The mark has a place of its own, so that figures stand under each other.
    return "- " if count is None else f"{count.total}{' ' if count.imported is None else _MARK}"


def _csv(table: ExchangeTable) -> str:
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    years = (table.earlier, table.later)
    out.writerow(["field", "name", *years, "comparison", *(f"imported in {year}" for year in years)])
    for row in (*table.rows, table.total):
        both = (row.earlier, row.later)
        totals = [None if count is None else count.total for count in both]
        parts = [None if count is None else count.imported for count in both]
        out.writerow([row.code, row.name, *totals, row.change or "", *parts])
    return text.getvalue()


def _described(table: ExchangeTable, imported: list[dict[str, Any]], running: int | None) -> dict[str, Any]:
    return {
        "year": table.later,
        "compare": table.earlier,
        "running": running,
        "unknown": list(table.unknown),
        "missing": {str(year): list(codes) for year, codes in table.missing.items()},
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
            year: count and {"total": count.total, "ledger": count.ledger, "imported": count.imported}
            for year, count in counts.items()
        },
        "comparison": str(row.change or ""),
        "percent": None if row.change is None else row.change.percent,
    }
