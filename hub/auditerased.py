"""The audit of what was erased: each erasure's entry against the table `erasure`, and that against what is missing.

What counts is the entry, which is under the signed root; the table only says where to look for it.
"""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ARRAY, BigInteger, any_, func, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from hub import tables
from hub.auditwalk import broken
from hub.errors import Fault, LedgerBroken
from schemas.control import ControlRefused, Entry, Event

_TABLE: Final = tables.erasure.name


async def named(connection: AsyncConnection, start: int, end: int) -> dict[int, bytes | None]:
    """Of the entries from `start` to `end`, those that an erasure names, with the commitments that are kept of them."""
    table, content = tables.erasure.c, tables.ledger_content.c
    query = select(table.leaf_index, table.erased_by, table.commitment)
    query = query.where(table.leaf_index >= start, table.leaf_index < end)
    rows = (await connection.execute(query)).all()
    if not rows:
        return {}
    wanted = content.leaf_index == any_(literal(sorted({row.erased_by for row in rows}), ARRAY(BigInteger)))
    entries = await connection.execute(select(content.leaf_index, content.entry).where(wanted))
    says = {row.leaf_index: _named_by(row.entry) for row in entries}
    # An erasure is about what was there before it.
    return {
        row.leaf_index: row.commitment
        for row in rows
        if row.leaf_index in says.get(row.erased_by, ()) and row.leaf_index < row.erased_by
    }


async def hold_against(connection: AsyncConnection, rows: Sequence[Any], start: int) -> None:
    """Raises LedgerBroken if the table does not say what these entries, from `start` on, say is erased."""
    says = {
        index: _named_by(row.entry)
        for index, row in enumerate(rows, start)
        if row is not None and row.entry is not None and row.event == Event.ERASED
    }
    if not says:
        return
    table = tables.erasure.c
    query = select(table.erased_by, func.array_agg(table.leaf_index).label("indices"))
    wanted = table.erased_by == any_(literal(list(says), ARRAY(BigInteger)))
    found = {
        row.erased_by: set(row.indices)
        for row in await connection.execute(query.where(wanted).group_by(table.erased_by))
    }
    for by, indices in says.items():
        lacking, extra = indices - found.get(by, set()), found.get(by, set()) - indices
        if lacking:
            words = f"entry {by} says that entry {min(lacking)} is erased, and the table does not"
            raise broken(Fault.ROW_MISSING, _TABLE, min(lacking), words)
        if extra:
            raise _added(min(extra), by)


async def see_outside(connection: AsyncConnection, size: int) -> None:
    """Raises LedgerBroken for a row that no erasure's entry stands behind."""
    table, content = tables.erasure.c, tables.ledger_content.c
    joined = tables.erasure.outerjoin(tables.ledger_content, content.leaf_index == table.erased_by)
    query = select(table.leaf_index, table.erased_by).select_from(joined)
    none = or_(content.event.is_(None), content.event != str(Event.ERASED), table.erased_by >= size)
    row = (await connection.execute(query.where(none).order_by(table.leaf_index).limit(1))).first()
    if row is not None:
        raise _added(row.leaf_index, row.erased_by)


def _added(index: int, by: int) -> LedgerBroken:
    words = f"the table says that entry {by} erased entry {index}, and entry {by} does not say so"
    return broken(Fault.ROW_ADDED, _TABLE, index, words)


def _named_by(entry: bytes) -> set[int]:
    try:
        found = Entry.from_bytes(entry)
    except ControlRefused:
        return set()
    return set(found.erased or ()) if found.event is Event.ERASED else set()
