"""How much was exchanged: what the ledger has of a year, and figures of years before the system.

An exchange is a message that was accepted, of whatever kind, in the year in which the hub accepted it (UTC). That
figures were imported is an entry of the ledger, `operator`: who, of which years, from what source, the file's SHA-256.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import func, insert, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncConnection

from hub import ledger, tables
from hub.auditwalk import broken
from hub.errors import Fault, FiguresPresent
from hub.figures import Figure
from hub.ledger import DETAIL_SIZE, Ledger
from hub.watch import iso
from schemas.control import ControlRefused, Entry, Event
from schemas.entries import EntryReader
from schemas.exchangetable import ERASED, Count
from schemas.participants import CENTRE
from schemas.statistics import FIELDS, field_of

# Entries that a new ledger begins with may have been dated by other clocks.
_FIRST: Final = 100


@dataclass(frozen=True, slots=True)
class Origin:
    """Where imported figures come from: who imported them, what they were taken from, and the file's SHA-256."""

    operator: str
    source: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did: how many figures are new or other, what they replace, and the entry that says so.

    `unchanged` stood as they are, and nothing was written of them; if all did there is no entry.
    """

    count: int
    replaced: tuple[dict[str, Any], ...]
    unchanged: int
    entry: int | None


async def counts(connection: AsyncConnection, years: Iterable[int]) -> dict[int, dict[str, Count | None]]:
    """The exchanges of these years by field, the imported ones among them; without those of which nothing is known.

    That is a year before the ledger began of which nothing was imported. Of a year that it has not wholly and of
    which some fields were imported, those that were not, and of which it has nothing, are not known: None.
    """
    found: dict[int, dict[str, Count | None]] = {}
    begun = await _begun(connection)
    for year in set(years):
        figures = await imported(connection, [year])
        if not figures and (begun is None or begun >= _begin(year + 1)):
            continue
        fields: dict[str, Count] = {}
        for task_force, number in (await accepted(connection, year)).items():
            code = (field_of(task_force) if task_force else ERASED).code
            fields[code] = fields.get(code, Count()) + Count(ledger=number)
        for figure in figures:
            fields[figure["field"]] = fields.get(figure["field"], Count()) + Count(imported=figure["count"])
        unknown = figures and (begun is None or begun > _begin(year))
        found[year] = {**(dict.fromkeys((one.code for one in FIELDS), None) if unknown else {}), **fields}
    return found


async def accepted(connection: AsyncConnection, year: int) -> Counter[str]:
    """How many messages of each task force were accepted in a year; of erased ones it is empty.

    Of what entries say, not of the tables beside them: it is these that `ledger verify` computes again. Raises
    LedgerBroken for one that does not read.
    """
    begin, end = _begin(year), _begin(year + 1)
    content, message = tables.ledger_content.c, tables.message.c
    query = select(content.leaf_index, content.entry).where(content.event == str(Event.ACCEPTED))
    reader, found = EntryReader(), Counter[str]()
    async for row in await connection.stream(query.where(content.at >= begin, content.at < end)):
        try:
            found[str(reader.read(row.entry)["task_force"])] += 1
        except (ControlRefused, KeyError) as error:
            name, index = tables.ledger_content.name, row.leaf_index
            raise broken(Fault.CONTENT_CHANGED, name, index, f"entry {index} does not read as accepted") from error
    # What is left of an erased one stands beside the ledger only.
    erased = select(func.count()).where(message.task_force == "", message.at >= begin, message.at < end)
    if number := int(await connection.scalar(erased) or 0):
        found[""] = number
    return found


async def _begun(connection: AsyncConnection) -> int | None:
    """The time of the earliest of the first entries that are not erased, in ms; None of an empty ledger."""
    content = tables.ledger_content.c
    first = select(content.at).order_by(content.leaf_index).limit(_FIRST).subquery()
    found: int | None = await connection.scalar(select(func.min(first.c.at)))
    return found


async def imported(
    connection: AsyncConnection, years: Sequence[int] | None = None, *, replaced: bool = False
) -> list[dict[str, Any]]:
    """The imported figures of these years, or all, with where they come from: those that count, or `replaced` ones too.

    Of one field and year the newest comes first.
    """
    table = tables.imported_statistic.c
    query = select(tables.imported_statistic).order_by(table.year, table.field, table.place.desc())
    if years is not None:
        query = query.where(table.year.in_(years))
    if not replaced:
        query = query.ext(distinct_on(table.year, table.field))
    known: set[tuple[int, str]] = set()
    found = []
    # By name: a row of SQLAlchemy has a method `count` of its own.
    for row in (await connection.execute(query)).mappings():
        described = {name: row[name] for name in ("year", "field", "count", "operator", "source")}
        described |= {"at": iso(row["at"]), "digest": row["digest"].hex()}
        found.append(described | {"replaced": (row["year"], row["field"]) in known})
        known.add((row["year"], row["field"]))
    return found


async def add(
    connection: AsyncConnection, log: Ledger, figures: Sequence[Figure], origin: Origin, *, replace: bool
) -> Imported:
    """Adds figures, and an entry that says so, in the caller's transaction.

    Those that stand as they are stay as they are. Raises FiguresPresent if others are there and `replace` is not said.
    """
    turn = await ledger.take_turn(connection)
    years = sorted({figure.year for figure in figures})
    there = {(one["year"], one["field"]): one for one in await imported(connection, years)}
    changed = [figure for figure in figures if _stands(there, figure) != figure.count]
    replaced = [(there[key], figure) for figure in changed if (key := (figure.year, figure.field)) in there]
    if replaced and not replace:
        raise FiguresPresent(
            f"{len(replaced)} of the figures are imported already, and are others",
            "look at what is named, and repeat the command with --replace; nothing was imported",
            [_difference(old, new) for old, new in replaced],
        )
    if not changed:
        return Imported(0, (), len(figures), None)
    about = {"at": turn.at, "operator": origin.operator, "source": origin.source, "digest": origin.digest}
    await connection.execute(insert(tables.imported_statistic), [figure.model_dump() | about for figure in changed])
    said = f"{origin.operator}: stats import {','.join(map(str, years))} {origin.source}"[:DETAIL_SIZE]
    entry = Entry(event=Event.OPERATOR, at=turn.at, node=CENTRE, evidence=origin.digest, detail=said)
    appended = await ledger.append(connection, log, turn, [entry])
    olds = tuple(old for old, _ in replaced)
    return Imported(len(changed), olds, len(figures) - len(changed), appended.receipts[0].index)


def _stands(there: Mapping[tuple[int, str], dict[str, Any]], figure: Figure) -> int | None:
    old = there.get((figure.year, figure.field))
    return None if old is None else old["count"]


def _difference(old: Mapping[str, Any], new: Figure) -> dict[str, str]:
    found = f"{old['count']}, from {old['source']}, imported by {old['operator']} at {old['at']}"
    return {"field": f"{new.field} of {new.year}", "found": found, "wanted": f"would be {new.count}"}


def _begin(year: int) -> int:
    return int(datetime(year, 1, 1, tzinfo=UTC).timestamp() * 1000)
