"""Retention: which entries the rules in hub.json say are to be erased by now, found and erased in batches.

Each batch is a transaction of its own, with an erasure of its own in the ledger. So it may be killed anywhere; the
next run finds what is left.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import ARRAY, BigInteger, Text, any_, cast, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from hub import erasure, ledger, tables
from hub.erasure import DAY_MS, Candidate
from hub.ledger import Ledger
from hub.pen import writing
from hub.quarantine import Decision
from hub.settings import RetentionRule
from schemas.control import MOST_ERASED, ControlRefused, Entry, Event

# Entries that are looked at at once; the ledger is locked while those that are due are erased.
BATCH: Final = MOST_ERASED
REASON: Final = "retention"


@dataclass(slots=True)
class Swept:
    """What was found to be due, by event and kind; and the entries that say that it was erased."""

    due: Counter[tuple[str, str | None]] = field(default_factory=Counter)
    erased_by: list[int] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Of all events and kinds."""
        return self.due.total()


def keep_days(rules: Iterable[RetentionRule], event: Event, kind: str | None) -> int | None:
    """For how long such an entry is kept; None: for ever. A rule for the kind goes before one for all kinds."""
    found = {rule.kind: rule.keep_days for rule in rules if rule.event is event}
    return found.get(kind, found.get(None))


def is_due(found: Candidate, rules: Iterable[RetentionRule], now: int) -> bool:
    """Whether the rules say that it is to be erased, and nothing speaks against it. `now` in ms."""
    days = keep_days(rules, found.entry.event, found.kind)
    return days is not None and found.entry.at + days * DAY_MS <= now and erasure.obstacle(found, now) is None


async def sweep(
    engine: AsyncEngine,
    rules: Sequence[RetentionRule],
    progress: Callable[[int, int], None],
    erasing: tuple[Ledger, Decision] | None,
) -> Swept:
    """Goes through the ledger once, and erases what is due; without `erasing` it only counts.

    `progress` is told how many entries of how many are done. Raises as `erasure.erase`, but for
    what somebody else erases meanwhile.
    """
    done, after = Swept(), -1
    async with engine.connect() as connection:
        size, now = (await connection.execute(select(func.coalesce(_SIZE, 0), _NOW))).one()
    while True:
        async with engine.connect() as connection:
            rows = await _old(connection, rules, after, now)
            due = await _due(connection, rows, rules, now)
        if due and erasing is not None:
            due = await _erase(engine, *erasing, [item.index for item in due], rules, done)
        done.due.update((str(item.entry.event), item.kind) for item in due)
        if len(rows) < BATCH:
            progress(size, size)
            return done
        after = rows[-1].leaf_index
        progress(after + 1, size)


_SIZE: Final = select(func.max(tables.ledger_checkpoint.c.size)).scalar_subquery()
_NOW: Final = cast(func.extract("epoch", func.clock_timestamp()) * 1000, BigInteger)


async def _old(connection: AsyncConnection, rules: Sequence[RetentionRule], after: int, now: int) -> Sequence[Any]:
    """The next entries behind `after` that are older than any rule for their event asks."""
    table = tables.ledger_content.c
    oldest = now - min(rule.keep_days for rule in rules) * DAY_MS
    events = literal(sorted({str(rule.event) for rule in rules}), ARRAY(Text))
    query = select(table.leaf_index, table.entry).where(
        table.leaf_index > after, table.at <= oldest, table.event == any_(events)
    )
    return (await connection.execute(query.order_by(table.leaf_index).limit(BATCH))).all()


async def _due(
    connection: AsyncConnection, rows: Sequence[Any], rules: Sequence[RetentionRule], now: int
) -> list[Candidate]:
    entries = {}
    for row in rows:
        try:
            entries[row.leaf_index] = Entry.from_bytes(row.entry)
        except ControlRefused:
            # It was changed behind our back: `erasure.candidates` says which, `seci-hub ledger verify` more.
            return await erasure.candidates(connection, [row.leaf_index])
    return [item for item in await erasure.described(connection, entries) if is_due(item, rules, now)]


async def _erase(
    engine: AsyncEngine,
    log: Ledger,
    decision: Decision,
    indices: Sequence[int],
    rules: Sequence[RetentionRule],
    done: Swept,
) -> list[Candidate]:
    async with writing(engine, log) as connection:
        turn = await ledger.take_turn(connection)
        # Another run, or an operator, may have been there before us.
        table = tables.ledger_content.c
        query = select(table.leaf_index).where(table.leaf_index == any_(literal(list(indices), ARRAY(BigInteger))))
        there = sorted((await connection.execute(query)).scalars())
        found = [item for item in await erasure.candidates(connection, there) if is_due(item, rules, turn.at)]
        by = await erasure.record(connection, log, turn, found, decision) if found else None
    if by is not None:
        done.erased_by.append(by)
    return found
