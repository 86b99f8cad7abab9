"""The ledger's leaves as they are handed out, each with what there is of its entry, and held against that."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from crypto import merkle
from crypto.receipt import commitment_of
from hub import tables
from hub.auditwalk import broken
from hub.errors import Fault


@dataclass(frozen=True, slots=True)
class Leaf:
    """A leaf hash, its commitment, and salt and entry unless these are erased.

    There is no commitment of what was erased before it was kept.
    """

    hash: bytes
    commitment: bytes | None
    salt: bytes | None
    entry: bytes | None


async def read(connection: AsyncConnection, start: int, end: int) -> list[Leaf]:
    """The leaves from `start` to `end`. Raises LedgerBroken for rows that are missing or do not fit."""
    found: list[Leaf] = []
    for index, row in enumerate(await _rows(connection, start, end), start):
        if row.leaf_index != index:
            break
        found.append(_leaf(row))
    if start + len(found) != end:
        index = start + len(found)
        raise broken(Fault.ROW_MISSING, tables.ledger_leaf.name, index, f"the leaf of entry {index} is missing")
    return found


def _leaf(row: Any) -> Leaf:
    index, erased = row.leaf_index, row.entry is None
    if erased and row.erased_by is None:
        words = f"the content of entry {index} is missing, and no erasure names it"
        raise broken(Fault.ROW_MISSING, tables.ledger_content.name, index, words)
    commitment = row.commitment if erased else commitment_of(row.salt, row.entry)
    if commitment is not None and merkle.leaf_hash(commitment) != row.hash:
        words = f"leaf and {'commitment of the erased' if erased else 'content of'} entry {index} do not fit"
        raise broken(Fault.ENTRY_CHANGED, tables.ledger_leaf.name, index, words)
    return Leaf(row.hash, commitment, row.salt, row.entry)


async def _rows(connection: AsyncConnection, start: int, end: int) -> Any:
    # Each by its own range: PostgreSQL does not conclude it from the join, and would read all of a table.
    leaf, content, erasure = (
        select(table).where(table.c.leaf_index >= start, table.c.leaf_index < end).subquery()
        for table in (tables.ledger_leaf, tables.ledger_content, tables.erasure)
    )
    columns = (leaf.c.leaf_index, leaf.c.hash, content.c.salt, content.c.entry)
    joined = leaf.outerjoin(content, leaf.c.leaf_index == content.c.leaf_index)
    joined = joined.outerjoin(erasure, leaf.c.leaf_index == erasure.c.leaf_index)
    query = select(*columns, erasure.c.erased_by, erasure.c.commitment).select_from(joined)
    return await connection.execute(query.order_by(leaf.c.leaf_index))
