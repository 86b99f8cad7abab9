"""The ledger's tree read from the database, and what is made of it: tiles, consistency proofs, earlier roots.

Reads only, and without the ledger's lock: what is committed of a tree never changes. A proof of any size reads a few
hundred hashes, however large the ledger is.
"""

from collections.abc import Collection, Iterable
from functools import cache, partial
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from crypto import merkle
from crypto.errors import TileInvalid
from crypto.merkle import HASH_SIZE, CompactRange, Nodes
from crypto.tiles import HEIGHT, WIDTH, Tile, needed, nodes_of
from hub.database import fetch

# Put together by the database: a row for each hash would take Python ten times as long.
_HASHES: Final = """
    SELECT CASE level
        WHEN 0 THEN (
            SELECT string_agg(leaf.hash, ''::bytea ORDER BY leaf.leaf_index) FROM ledger_leaf AS leaf
            WHERE leaf.leaf_index >= first AND leaf.leaf_index < past)
        ELSE (
            SELECT string_agg(subtree.hash, ''::bytea ORDER BY subtree.place) FROM ledger_subtree AS subtree
            WHERE subtree.level = asked.level AND subtree.place >= first AND subtree.place < past)
        END AS hashes
    FROM unnest($1::smallint[], $2::bigint[], $3::bigint[]) WITH ORDINALITY AS asked (level, first, past, number)
    ORDER BY number
"""


async def read(connection: AsyncConnection, tiles: Iterable[Tile]) -> dict[Tile, bytes]:
    """The hashes of these tiles, one after another. Raises TileInvalid if the ledger is not that large."""
    asked = list(tiles)
    if not asked:
        return {}
    levels, firsts = [tile.level * HEIGHT for tile in asked], [tile.index * WIDTH for tile in asked]
    ends = [first + tile.width for tile, first in zip(asked, firsts, strict=True)]
    found = {}
    for tile, row in zip(asked, await fetch(connection, _HASHES, levels, firsts, ends), strict=True):
        hashes = row["hashes"] or b""
        if len(hashes) != tile.width * HASH_SIZE:
            has = len(hashes) // HASH_SIZE
            raise TileInvalid(f"the ledger has {has} of the {tile.width} hashes of {tile.path()}")
        found[tile] = hashes
    return found


async def consistency(connection: AsyncConnection, olds: Collection[int], size: int) -> dict[int, tuple[bytes, ...]]:
    """For each of these sizes, 1 to `size`: the proof that the tree of `size` leaves continues it.

    Raises TileInvalid if the ledger is not that large.
    """
    makes = {old: partial(merkle.consistency_proof, old, size) for old in olds}
    nodes = await _nodes(connection, size, frozenset().union(*(needed(size, make) for make in makes.values())))
    return {old: tuple(make(nodes)) for old, make in makes.items()}


async def inclusion(connection: AsyncConnection, indices: Collection[int], size: int) -> dict[int, tuple[bytes, ...]]:
    """For each of these leaves: the proof that it is in the tree of `size` leaves.

    Many cost little more than one, if they are neighbours, as when messages come again after a while.
    Raises TileInvalid if the ledger is not that large.
    """
    makes = {index: partial(merkle.inclusion_proof, index, size) for index in indices}
    nodes = cache(await _nodes(connection, size, frozenset().union(*(needed(size, make) for make in makes.values()))))
    return {index: tuple(make(nodes)) for index, make in makes.items()}


async def root_at(connection: AsyncConnection, size: int) -> bytes:
    """The root of the first `size` leaves. Raises TileInvalid if there are fewer."""
    return (await range_at(connection, size)).root()


async def range_at(connection: AsyncConnection, size: int) -> CompactRange:
    """The tree of the first `size` leaves, to append to. Raises TileInvalid if there are fewer."""

    def found(nodes: Nodes) -> CompactRange:
        levels = [level for level in reversed(range(size.bit_length())) if size >> level & 1]
        return CompactRange(size, tuple(nodes(level, (size >> level) - 1) for level in levels))

    return found(await _nodes(connection, size, needed(size, found)))


async def _nodes(connection: AsyncConnection, size: int, tiles: Iterable[Tile]) -> Nodes:
    found = await read(connection, tiles)
    return nodes_of(size, found.__getitem__)
