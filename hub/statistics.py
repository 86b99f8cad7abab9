"""How much was exchanged: what the ledger has of a year, and figures of years before the system.

An exchange is a message that was accepted, of whatever kind, in the year in which the hub accepted it (UTC).
"""

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from hub import tables
from hub.auditwalk import broken
from hub.errors import Fault
from hub.figures import Figure
from hub.watch import iso
from schemas.control import ControlRefused, Event
from schemas.entries import EntryReader
from schemas.exchangetable import ERASED, Count
from schemas.statistics import field_of


@dataclass(frozen=True, slots=True)
class Origin:
    """Where imported figures come from: who imported them, what they were taken from, and the file's SHA-256."""

    operator: str
    source: str
    digest: bytes


async def counts(connection: AsyncConnection, years: Iterable[int]) -> dict[int, dict[str, Count]]:
    """The exchanges of these years by field, the imported ones among them."""
    found: dict[int, dict[str, Count]] = {}
    for year in set(years):
        fields = found.setdefault(year, {})
        for task_force, number in (await accepted(connection, year)).items():
            code = (field_of(task_force) if task_force else ERASED).code
            fields[code] = fields.get(code, Count()) + Count(ledger=number)
        for figure in await imported(connection, [year]):
            fields[figure["field"]] = fields.get(figure["field"], Count()) + Count(imported=figure["count"])
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


async def imported(connection: AsyncConnection, years: Sequence[int]) -> list[dict[str, Any]]:
    """The imported figures of these years that count, with where they come from."""
    table = tables.imported_statistic.c
    query = (
        select(tables.imported_statistic)
        .where(table.year.in_(years))
        .distinct(table.year, table.field)
        .order_by(table.year, table.field, table.place.desc())
    )
    # By name: a row of SQLAlchemy has a method `count` of its own.
    return [
        {
            **{name: row[name] for name in ("year", "field", "count", "operator", "source")},
            "at": iso(row["at"]),
            "digest": row["digest"].hex(),
        }
        for row in (await connection.execute(query)).mappings()
    ]


async def add(connection: AsyncConnection, figures: Sequence[Figure], origin: Origin) -> None:
    """Adds figures, in the caller's transaction: they count instead of older ones of the same field and year."""
    now = time.time_ns() // 1_000_000
    rows = [
        {
            **figure.model_dump(),
            "at": now,
            "operator": origin.operator,
            "source": origin.source,
            "digest": origin.digest,
        }
        for figure in figures
    ]
    await connection.execute(insert(tables.imported_statistic), rows)


def _begin(year: int) -> int:
    return int(datetime(year, 1, 1, tzinfo=UTC).timestamp() * 1000)
