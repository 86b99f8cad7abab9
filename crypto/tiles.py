"""How a log is laid out for others to read: tiles of hashes and bundles of entries (C2SP tlog-tiles).

A tile holds 256 hashes in a row of one tile level L, which is level 8 * L of the tree; what lies
between is computed from them. Only perfect subtrees stand in tiles, so a tile that is full never
changes. An entry is what the leaf hash is taken of: here the commitment of 32 bytes (see
`crypto.receipt`), which says nothing about its content and stays when that is erased.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, Self

from crypto import merkle
from crypto.errors import TileInvalid
from crypto.merkle import HASH_SIZE, Nodes

HEIGHT: Final = 8
WIDTH: Final = 1 << HEIGHT
MAX_LEVEL: Final = 63
COMMITMENT_SIZE: Final = 32
_LENGTH: Final = COMMITMENT_SIZE.to_bytes(2)
_PATH: Final = re.compile(
    r"tile/(?P<level>entries|0|[1-9][0-9]?)/(?P<index>(?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/(?P<width>[1-9][0-9]{0,2}))?"
)


@dataclass(frozen=True, slots=True, order=True)
class Tile:
    """The first `width` hashes of the tile at (level, index)."""

    level: int
    index: int
    width: int = WIDTH

    def path(self) -> str:
        """Where the tile is served, such as `tile/0/x001/x234/067` or `tile/1/000.p/17`."""
        return f"tile/{self.level}/{_place(self)}"

    def stands_in(self, size: int) -> bool:
        """Whether the tree of `size` leaves has all of these hashes."""
        return self.index * WIDTH + self.width <= size >> HEIGHT * self.level

    def entries_path(self) -> str:
        """Where the entries under a tile of level 0 are served, such as `tile/entries/000.p/17`."""
        return f"tile/entries/{_place(self)}"

    @classmethod
    def parse(cls, path: str) -> tuple[Self, bool]:
        """The tile of a path, and whether the path is that of its entries. Raises TileInvalid."""
        found = _PATH.fullmatch(path)
        if found is None:
            raise TileInvalid("not the path of a tile: tile/<level>/<index>[.p/<width>] or tile/entries/...")
        entries = found["level"] == "entries"
        tile = cls(
            0 if entries else int(found["level"]),
            int(re.sub("[x/]", "", found["index"])),
            int(found["width"] or WIDTH),
        )
        # What is written back the same way is the one path of its tile: no leading zeros, no width of 256.
        same = path == (tile.entries_path() if entries else tile.path())
        if tile.level > MAX_LEVEL or tile.width > WIDTH or not same:
            raise TileInvalid("the path of the tile is not in its one form")
        return tile, entries


def tiles_of(size: int) -> Iterator[Tile]:
    """Every tile of a tree, the partial ones included, from the leaves up. A tree of 1 000 000 has 3924."""
    return new_tiles(0, size)


def new_tiles(size1: int, size2: int) -> Iterator[Tile]:
    """The tiles of the tree of `size2` leaves that the one of `size1` has not or has narrower."""
    level = 0
    while count := size2 >> HEIGHT * level:
        before = size1 >> HEIGHT * level
        for index in range(before // WIDTH, -(-count // WIDTH)):
            tile = tile_at(level, index, size2)
            if tile.index * WIDTH + tile.width > before:
                yield tile
        level += 1


def tile_at(level: int, index: int, size: int) -> Tile:
    """The tile at a place in the tree of `size` leaves, as wide as it is there. Raises TileInvalid if it is empty."""
    width = min(WIDTH, (size >> HEIGHT * level) - index * WIDTH)
    if width < 1:
        raise TileInvalid(f"a tree of {size} leaves has no tile {index} at level {level}")
    return Tile(level, index, width)


def tile_bytes(tile: Tile, nodes: Nodes) -> bytes:
    """The tile's hashes, one after another, taken from the tree."""
    first = tile.index * WIDTH
    return b"".join(nodes(tile.level * HEIGHT, place) for place in range(first, first + tile.width))


def read_tile(data: bytes, tile: Tile) -> list[bytes]:
    """The hashes of a tile's bytes. A wider tile than asked for will do. Raises TileInvalid."""
    if len(data) % HASH_SIZE or not tile.width <= len(data) // HASH_SIZE <= WIDTH:
        raise TileInvalid(f"{tile.path()} has {tile.width * HASH_SIZE} bytes, not {len(data)}")
    return [data[start : start + HASH_SIZE] for start in range(0, tile.width * HASH_SIZE, HASH_SIZE)]


def nodes_of(size: int, read: Callable[[Tile], bytes]) -> Nodes:
    """The perfect subtrees of the tree of `size` leaves, out of its tiles; `read` gets each at most once.

    What is read is not verified: a proof made of it is, against a root. Raises TileInvalid.
    """

    @cache
    def hashes(level: int, index: int) -> list[bytes]:
        tile = tile_at(level, index, size)
        return read_tile(read(tile), tile)

    def node(level: int, place: int) -> bytes:
        height = level % HEIGHT
        first = place << height
        below = hashes(level // HEIGHT, first // WIDTH)[first % WIDTH :][: 1 << height]
        if len(below) != 1 << height:
            raise TileInvalid(f"a tree of {size} leaves has no subtree {place} at level {level}")
        while len(below) > 1:
            below = list(map(merkle.node_hash, below[::2], below[1::2]))
        return below[0]

    return node


def needed(size: int, proof: Callable[[Nodes], object]) -> frozenset[Tile]:
    """The tiles of the tree of `size` leaves that making a proof reads. Raises TileInvalid, and what `proof` does."""
    found = set()

    def node(level: int, place: int) -> bytes:
        found.add(tile_at(level // HEIGHT, (place << level % HEIGHT) // WIDTH, size))
        return bytes(HASH_SIZE)

    proof(node)
    return frozenset(found)


def bundle(commitments: Sequence[bytes]) -> bytes:
    """The entries under a tile of level 0: each after its length in two bytes. Raises TileInvalid."""
    if not 0 < len(commitments) <= WIDTH or any(len(item) != COMMITMENT_SIZE for item in commitments):
        raise TileInvalid(f"a bundle has 1 to {WIDTH} commitments of {COMMITMENT_SIZE} bytes")
    return b"".join(_LENGTH + item for item in commitments)


def read_bundle(data: bytes, tile: Tile) -> list[bytes]:
    """The commitments under a tile of level 0. A wider bundle than asked for will do. Raises TileInvalid."""
    step = len(_LENGTH) + COMMITMENT_SIZE
    items = [data[start : start + step] for start in range(0, len(data), step)]
    if not tile.width <= len(items) <= WIDTH or any(len(i) != step or not i.startswith(_LENGTH) for i in items):
        raise TileInvalid(f"{tile.entries_path()} has {tile.width} commitments, each after its length")
    return [item[len(_LENGTH) :] for item in items[: tile.width]]


def _place(tile: Tile) -> str:
    digits = str(tile.index)
    groups = digits.zfill(-(-len(digits) // 3) * 3)
    *high, last = (groups[start : start + 3] for start in range(0, len(groups), 3))
    suffix = "" if tile.width == WIDTH else f".p/{tile.width}"
    return "".join(f"x{group}/" for group in high) + last + suffix
