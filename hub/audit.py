"""The ledger re-computed from what is stored: every leaf, every subtree, every checkpoint's signature."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from crypto import merkle
from crypto.errors import NoteInvalid
from crypto.note import Checkpoint, NoteVerifier, open_note
from crypto.receipt import leaf_of
from hub import tables
from hub.errors import LedgerBroken

CHUNK: Final = 10_000
_NEXT: Final = "stop the hub, keep the database as it is, and compare with a backup and the nodes' checkpoints"


@dataclass(frozen=True, slots=True)
class Audited:
    """What was verified: leaves, checkpoints, and the root (32 bytes) of the newest tree."""

    size: int
    checkpoints: int
    root: bytes


async def audit(
    connection: AsyncConnection, origin: str, verifier: NoteVerifier, progress: Callable[[int], None]
) -> Audited:
    """Verifies everything, in constant memory. Raises LedgerBroken, naming the first leaf or checkpoint at fault."""
    tree = merkle.CompactRange(0, ())
    checked = 0
    async for size, root, note in _checkpoints(connection):
        tree = await _extend(connection, tree, size, progress)
        if tree.size != size or tree.root() != root:
            raise LedgerBroken(f"the leaves up to {size} do not give the root of the checkpoint there", _NEXT)
        _check_note(note, Checkpoint(origin, size, root), verifier)
        checked += 1
    left = await connection.scalar(
        select(tables.ledger_leaf.c.leaf_index).where(tables.ledger_leaf.c.leaf_index >= tree.size)
    )
    if left is not None:
        raise LedgerBroken(f"leaf {left} lies beyond the newest checkpoint ({tree.size})", _NEXT)
    return Audited(tree.size, checked, tree.root())


async def _extend(
    connection: AsyncConnection, tree: merkle.CompactRange, size: int, progress: Callable[[int], None]
) -> merkle.CompactRange:
    leaf, content = tables.ledger_leaf.c, tables.ledger_content.c
    while tree.size < size:
        end = min(size, tree.size + CHUNK)
        query = (
            select(leaf.leaf_index, leaf.hash, content.salt, content.entry)
            .outerjoin_from(tables.ledger_leaf, tables.ledger_content, leaf.leaf_index == content.leaf_index)
            .where(leaf.leaf_index >= tree.size, leaf.leaf_index < end)
            .order_by(leaf.leaf_index)
        )
        rows = (await connection.execute(query)).all()
        for expected, row in enumerate(rows, tree.size):
            if row.leaf_index != expected:
                raise LedgerBroken(f"leaf {expected} is missing", _NEXT)
            if row.entry is None or leaf_of(row.salt, row.entry) != row.hash:
                raise LedgerBroken(f"entry {row.leaf_index} is not what its leaf commits to", _NEXT)
        if len(rows) != end - tree.size:
            raise LedgerBroken(f"leaf {tree.size + len(rows)} is missing", _NEXT)
        tree, completed = tree.append([row.hash for row in rows])
        await _check_subtrees(connection, completed)
        progress(tree.size)
    return tree


async def _check_subtrees(connection: AsyncConnection, completed: dict[tuple[int, int], bytes]) -> None:
    wanted = {place: value for place, value in completed.items() if place[0] and place[0] % 8 == 0}
    tree = tables.ledger_subtree.c
    for (level, index), value in wanted.items():
        stored = await connection.scalar(select(tree.hash).where(tree.level == level, tree.place == index))
        if stored != value:
            raise LedgerBroken(f"subtree {level}/{index} is not that of its leaves", _NEXT)


async def _checkpoints(connection: AsyncConnection) -> AsyncIterator[tuple[int, bytes, str]]:
    table = tables.ledger_checkpoint.c
    last = 0
    while True:
        query = select(table.size, table.root, table.note).where(table.size > last).order_by(table.size).limit(1000)
        rows = (await connection.execute(query)).all()
        if not rows:
            return
        for row in rows:
            yield row.size, row.root, row.note
            last = row.size


def _check_note(note: str, wanted: Checkpoint, verifier: NoteVerifier) -> None:
    try:
        stated = Checkpoint.parse(open_note(note, verifier))
    except NoteInvalid as error:
        raise LedgerBroken(f"the checkpoint at {wanted.size}: {error}", _NEXT) from error
    if stated != wanted:
        raise LedgerBroken(f"the checkpoint at {wanted.size} states another origin, size or root", _NEXT)
