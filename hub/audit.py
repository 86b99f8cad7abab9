"""The ledger re-computed from what is stored: every row of its tables, in one snapshot and in constant memory.

Whoever changes rows behind the hub's back cannot sign. So the notes' signatures tell what was changed: the tree of the
stored leaves and that of the stored contents are both computed, and the one whose root was signed is the true one.

Three things cannot be seen from here. A checkpoint taken out of the middle leaves no gap, for the next one covers the
same entries. `ledger_checkpoint.at` is signed by nobody. Who has the hub's key can write another history altogether:
only the lock store and the nodes, who keep what they were given, know the true one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import BigInteger, and_, func, literal, not_, or_, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from crypto.note import Checkpoint
from hub import auditerased as erasures
from hub import tables
from hub.auditwalk import Subtrees, Walk, broken
from hub.batch import STRIDE
from hub.errors import Fault, LockStoreUnusable
from hub.ledger import Ledger
from hub.lockstore import Kept, forked

CHUNK: Final = 10_000
_SNAPSHOT: Final = text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
_HIGHEST: Final = 62


@dataclass(frozen=True, slots=True)
class Audited:
    """What was verified: leaves, checkpoints, the root (32 bytes) of the newest tree; and how many are erased."""

    size: int
    checkpoints: int
    root: bytes
    erased: int


async def audit(connection: AsyncConnection, ledger: Ledger, progress: Callable[[int, int], None]) -> Audited:
    """Verifies everything, in a transaction that has done nothing yet; the hub may be at work meanwhile.

    `progress` is told how many entries of how many are done. Raises LedgerBroken, naming the first entry at fault;
    LedgerBehind, LedgerForked, LockStoreUnusable if the rows hold, but not beside the lock store.
    """
    # Before the snapshot: what the lock store knows to be committed by now must be in it.
    kept = _kept(ledger)
    await connection.execute(_SNAPSHOT)
    size = await connection.scalar(select(func.max(tables.ledger_checkpoint.c.size))) or 0
    walk = Walk(ledger.origin, ledger.keys)
    for start in range(0, size, CHUNK):
        end = min(size, start + CHUNK)
        found = await _entries(connection, start, end)
        erased = await erasures.named(connection, start, end)
        checkpoints, subtrees = await _checkpoints(connection, start, end), await _subtrees(connection, start, end)
        walk.go_on(found, checkpoints, subtrees, erased)
        await erasures.hold_against(connection, found, start)
        progress(end, size)
    await _see_outside(connection, size, kept)
    await erasures.see_outside(connection, size)
    if isinstance(kept, LockStoreUnusable):
        raise kept
    await _hold_against(connection, kept, ledger.checkpoint(walk.tree))
    return Audited(size, walk.checkpoints, walk.tree.root(), walk.erased)


def _kept(ledger: Ledger) -> Kept | LockStoreUnusable:
    try:
        return ledger.store.read()
    except LockStoreUnusable as error:
        # The rows can be verified all the same.
        return error


async def _entries(connection: AsyncConnection, start: int, end: int) -> list[Any]:
    """Of each place the leaf, the content, or both; None where there is neither."""
    leaf, content = (
        select(table).where(table.c.leaf_index >= start, table.c.leaf_index < end).subquery()
        for table in (tables.ledger_leaf, tables.ledger_content)
    )
    index = func.coalesce(leaf.c.leaf_index, content.c.leaf_index).label("place")
    columns = (leaf.c.hash, content.c.event, content.c.at, content.c.salt, content.c.entry)
    joined = leaf.join(content, leaf.c.leaf_index == content.c.leaf_index, full=True)
    rows = {row.place: row for row in await connection.execute(select(index, *columns).select_from(joined))}
    return [rows.get(place) for place in range(start, end)]


async def _checkpoints(connection: AsyncConnection, start: int, end: int) -> Sequence[Any]:
    table = tables.ledger_checkpoint.c
    query = select(table.size, table.root, table.frontier, table.note).order_by(table.size)
    return (await connection.execute(query.where(table.size > start, table.size <= end))).all()


async def _subtrees(connection: AsyncConnection, start: int, end: int) -> Subtrees:
    """Those that the entries from `start` to `end` complete."""
    table, found = tables.ledger_subtree.c, {}
    level = STRIDE
    while end >> level:
        query = select(table.place, table.hash).where(
            table.level == level, table.place >= start >> level, table.place < end >> level
        )
        found.update({(level, row.place): row.hash for row in await connection.execute(query)})
        level += STRIDE
    return found


async def _see_outside(connection: AsyncConnection, size: int, kept: Kept | LockStoreUnusable) -> None:
    """Raises LedgerBroken for rows that belong to no entry under the newest checkpoint."""
    checkpoint, subtree = tables.ledger_checkpoint, tables.ledger_subtree
    for table in (tables.ledger_leaf, tables.ledger_content):
        column = table.c.leaf_index
        index = await connection.scalar(select(func.min(column)).where(or_(column < 0, column >= size)))
        if index is None:
            continue
        if index >= size and isinstance(kept, Kept) and kept.certain.size > size:
            words = f"the checkpoint of {kept.certain.size} entries, which the lock store names, is missing"
            raise broken(Fault.ROW_MISSING, checkpoint.name, kept.certain.size - 1, words)
        raise broken(Fault.ROW_ADDED, table.name, index, f"entry {index} lies outside the newest checkpoint's {size}")
    low = await connection.scalar(select(func.min(checkpoint.c.size)).where(checkpoint.c.size <= 0))
    if low is not None:
        raise broken(Fault.ROW_ADDED, checkpoint.name, low - 1, f"a checkpoint of {low} entries is none")
    level, place = subtree.c.level, subtree.c.place
    sound = and_(level > 0, level <= _HIGHEST, level % STRIDE == 0)
    inside = and_(sound, place >= 0, place < literal(size, BigInteger).bitwise_rshift(level))
    extra = (await connection.execute(select(level, place).where(not_(inside)).order_by(level, place).limit(1))).first()
    if extra is not None:
        words = f"subtree {extra.level}/{extra.place} is none of a tree of {size} leaves"
        raise broken(Fault.ROW_ADDED, subtree.name, extra.place << max(0, extra.level), words)


async def _hold_against(connection: AsyncConnection, kept: Kept, head: Checkpoint) -> None:
    if not kept.is_ahead(head):
        return
    known, table = kept.certain, tables.ledger_checkpoint
    root = await connection.scalar(select(table.c.root).where(table.c.size == known.size))
    if root is None and known.size:
        words = f"the checkpoint of {known.size} entries, which the lock store names, is missing"
        raise broken(Fault.ROW_MISSING, table.name, known.size - 1, words)
    if known.size and root != known.root:
        raise forked(known.size)
