"""The ledger laid out for a static file server: C2SP tlog-tiles, tile by tile and in constant memory.

Format: docs/protocol.md, 10.7. The tree is computed again from its leaves, from the checkpoint on that the folder
publishes, and must come to the root that was signed: what nobody could verify is not published.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from crypto.errors import NoteInvalid, TileInvalid
from crypto.hubkeys import open_checkpoint
from crypto.merkle import CompactRange
from crypto.note import Checkpoint, Note
from crypto.tiles import HEIGHT, WIDTH, Tile, bundle, read_tile, tile_at
from hub import leaves, ledger, rounds, tables, tilestore
from hub.auditwalk import broken
from hub.errors import Fault, LedgerEmpty
from hub.ledger import Head, Ledger
from hub.lockstore import behind, forked
from hub.tilefolder import TileFolder

Rows = dict[int, list[bytes]]
"""Of each level of tiles, the hashes of the last tile, if that is not full."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The checkpoint to publish, whether a quorum has cosigned it, and how many entries the ledger has."""

    head: Head
    witnessed: bool
    newest: int


@dataclass(frozen=True, slots=True)
class Tiled:
    """What is published now: entries, root (32 bytes), cosignatures; and how many bundles of entries are left out."""

    size: int
    root: bytes
    cosignatures: int
    left_out: int


async def choose(connection: AsyncConnection, log: Ledger, published: Checkpoint | None) -> Chosen:
    """The newest checkpoint that a quorum has cosigned; the newest one if there is none.

    While more than that is published already, what is published: it goes no further before a quorum does. The lock
    store is certain of it by now: no other may be shown to anybody. Takes its turn to write until the transaction ends.
    Raises LedgerEmpty; LedgerBroken for a note that is not the log's; as `ledger.check`.
    """
    await ledger.take_turn(connection)
    newest = await ledger.check(connection, log)
    size = newest.range.size
    if not size:
        raise LedgerEmpty("the ledger has no entry yet", "provision the hub first: seci-hub provision")
    witnessed = await rounds.witnessed(connection, log)
    if witnessed is None:
        return Chosen(_signed(newest, log), witnessed=False, newest=size)
    if published is not None and published.size > witnessed.range.size:
        # Else each run would publish what no witness has seen yet, as often as the witnesses catch up with the last.
        kept = newest if published.size >= size else await ledger.covering(connection, published.size - 1)
        return Chosen(_signed(kept, log), witnessed=False, newest=size)
    return Chosen(_signed(witnessed, log), witnessed=True, newest=size)


def _signed(head: Head, log: Ledger) -> Head:
    try:
        if open_checkpoint(head.note, log.keys) == log.checkpoint(head.range):
            return head
        words = "of another tree"
    except NoteInvalid:
        words = "not signed by us"
    size = head.range.size
    words = f"the checkpoint of {size} entries is {words}"
    raise broken(Fault.CHECKPOINT_CHANGED, tables.ledger_checkpoint.name, size - 1, words)


async def write(
    connection: AsyncConnection, folder: TileFolder, head: Head, progress: Callable[[int, int], None]
) -> Tiled:
    """Publishes this checkpoint in the folder, with all that is new under it. Workers may be at work meanwhile.

    `progress` is told how many entries of how many are done. Raises FileUnwritable; LedgerBehind, LedgerForked for a
    folder whose checkpoint is not of this ledger; LedgerBroken for rows that do not fit.
    """
    size, note = head.range.size, await rounds.cosigned(connection, head.range.size, head.note)
    tree, rows = await _published(connection, folder.published, size)
    first = tree.size
    for index in range(first // WIDTH, -(-size // WIDTH)):
        tree = await _go_on(connection, folder, tree, rows, tile_at(0, index, size))
        progress(tree.size, size)
    for level, row in rows.items():
        if row:
            _put(folder, Tile(level, (size >> HEIGHT * level) // WIDTH, len(row)), row)
    if tree.root() != head.range.root():
        words = f"one of the entries {first} to {size - 1} was changed: the root is not the one that was signed"
        raise broken(Fault.ENTRY_CHANGED, tables.ledger_leaf.name, first, words)
    left_out = await _left_out(connection, size)
    folder.finish(size, note)
    # The log's own lines have its name.
    signatures, own = Note.parse(note).signatures, Note.parse(head.note).signatures[0].name
    return Tiled(size, tree.root(), sum(signature.name != own for signature in signatures), left_out)


async def _published(connection: AsyncConnection, known: Checkpoint | None, size: int) -> tuple[CompactRange, Rows]:
    """The tree that the folder publishes, to append to."""
    rows: Rows = defaultdict(list)
    if known is None:
        return CompactRange(0, ()), rows
    if known.size > size:
        raise behind(size, known.size)
    level = 0
    while count := known.size >> HEIGHT * level:
        if count % WIDTH:
            rows[level] = await _row(connection, tile_at(level, count // WIDTH, known.size))
        level += 1
    found = await tilestore.range_at(connection, known.size)
    if found.root() != known.root:
        raise forked(known.size)
    return found, rows


async def _row(connection: AsyncConnection, tile: Tile) -> list[bytes]:
    try:
        return read_tile((await tilestore.read(connection, [tile]))[tile], tile)
    except TileInvalid as error:
        table = tables.ledger_subtree if tile.level else tables.ledger_leaf
        raise broken(Fault.ROW_MISSING, table.name, tile.index * WIDTH << HEIGHT * tile.level, str(error)) from error


async def _go_on(
    connection: AsyncConnection, folder: TileFolder, tree: CompactRange, rows: Rows, tile: Tile
) -> CompactRange:
    """Puts the bundle of this tile's entries, and each tile that the new ones among them fill. The tree with these."""
    start = tile.index * WIDTH
    found = await leaves.read(connection, start, start + tile.width)
    commitments = [leaf.commitment for leaf in found if leaf.commitment is not None]
    if len(commitments) == tile.width:
        folder.put(tile.entries_path(), bundle(commitments))
    tree, completed = tree.append([leaf.hash for leaf in found[tree.size - start :]])
    for (height, place), value in completed.items():
        level, between = divmod(height, HEIGHT)
        if not between:
            rows[level].append(value)
            if len(rows[level]) == WIDTH:
                _put(folder, Tile(level, place // WIDTH), rows.pop(level))
    return tree


def _put(folder: TileFolder, tile: Tile, hashes: list[bytes]) -> None:
    folder.put(tile.path(), b"".join(hashes))


async def _left_out(connection: AsyncConnection, size: int) -> int:
    """How many bundles have an entry of which no commitment was kept when it was erased."""
    table = tables.erasure.c
    number = func.count((table.leaf_index // WIDTH).distinct())
    return await connection.scalar(select(number).where(table.commitment.is_(None), table.leaf_index < size)) or 0
