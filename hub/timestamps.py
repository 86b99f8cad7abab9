"""Timestamps by a TSA as the database has them: what each covers, and how the newest checkpoints stand."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from hub import reading, tables
from hub.watch import iso

# Intervals after which a checkpoint without a timestamp is something to look at.
LATE: Final = 3


@dataclass(frozen=True, slots=True)
class Noted:
    """A checkpoint as it was signed: what a timestamp is of."""

    size: int
    note: str


async def newest(connection: AsyncConnection) -> Noted | None:
    """The newest checkpoint, if there is one."""
    row = tables.ledger_checkpoint.c
    found = (await connection.execute(select(row.size, row.note).order_by(row.size.desc()).limit(1))).first()
    return None if found is None else Noted(found.size, found.note)


async def listing(connection: AsyncConnection, limit: int, entry: int | None = None) -> Sequence[Any]:
    """Rows of `timestamps` with the checkpoint's `note`, newest first; those that cover `entry`, earliest first."""
    table, row = tables.timestamps.c, tables.ledger_checkpoint.c
    query = select(tables.timestamps, row.note).join_from(
        tables.timestamps, tables.ledger_checkpoint, table.size == row.size
    )
    if entry is None:
        query = query.order_by(table.size.desc(), table.place.desc())
    else:
        query = query.where(table.size > entry).order_by(table.said, table.place)
    return (await connection.execute(query.limit(limit))).all()


async def standing(connection: AsyncConnection) -> dict[str, Any]:
    """The newest timestamp, for how long the oldest checkpoint has none (s), and the code of what failed last."""
    rows = await listing(connection, 1)
    table = tables.timestamp_progress.c
    failures, code = (await connection.execute(select(table.failures, table.code))).one()
    return {
        "newest": described(rows[0]) if rows else None,
        "unstamped_s": await reading.unstamped_s(connection),
        "failures": failures if code is not None else 0,
        "code": code,
    }


def described(row: Any) -> dict[str, Any]:
    """A row of `listing` for a reader: without the bytes."""
    return {"size": row.size, "place": row.place, "at": iso(row.said), "tsa": row.tsa, "kept": iso(row.at)}
