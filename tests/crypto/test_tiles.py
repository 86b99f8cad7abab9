"""Tiles and bundles: their paths, which there are, and that proofs made of them are those of the tree."""

from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto import merkle
from crypto.errors import ProofInvalid, TileInvalid
from crypto.merkle import CompactRange, Nodes
from crypto.tiles import (
    WIDTH,
    Tile,
    bundle,
    needed,
    new_tiles,
    nodes_of,
    read_bundle,
    read_tile,
    tile_at,
    tile_bytes,
    tiles_of,
)

SIZE = 70_000  # the example of the specification
LEAVES = [merkle.leaf_hash(number.to_bytes(4)) for number in range(SIZE)]
SUBTREES = CompactRange(0, ()).append(LEAVES)[1]


def stored(level: int, place: int) -> bytes:
    return SUBTREES[level, place]


def read_back(size: int, seen: list[Tile]) -> Nodes:
    """The nodes of a tree, from its tiles as they are served."""

    def read(tile: Tile) -> bytes:
        assert tile.stands_in(size)
        seen.append(tile)
        return tile_bytes(tile, stored)

    return nodes_of(size, read)


PATHS = {
    "tile/0/000": Tile(0, 0),
    "tile/0/x001/x234/067": Tile(0, 1_234_067),
    "tile/1/000.p/17": Tile(1, 0, 17),
    "tile/63/999.p/255": Tile(63, 999, 255),
    "tile/2/x001/000.p/1": Tile(2, 1000, 1),
    "tile/0/x009/x223/x372/x036/x854/x775/807": Tile(0, 2**63 - 1),
}


@pytest.mark.parametrize(("path", "tile"), PATHS.items())
def test_a_path_is_that_of_the_specification(path: str, tile: Tile) -> None:
    assert tile.path() == path
    assert Tile.parse(path) == (tile, False)


def test_entries_have_paths_of_their_own() -> None:
    assert Tile(0, 1_234_067, 8).entries_path() == "tile/entries/x001/x234/067.p/8"
    assert Tile.parse("tile/entries/x001/x234/067.p/8") == (Tile(0, 1_234_067, 8), True)


@given(st.integers(0, 63), st.integers(0, 2**63 - 1), st.integers(1, 256))
def test_every_path_reads_back(level: int, index: int, width: int) -> None:
    tile = Tile(level, index, width)
    assert Tile.parse(tile.path()) == (tile, False)
    assert Tile.parse(tile.entries_path()) == (Tile(0, index, width), True)


@pytest.mark.parametrize(
    "path",
    [
        *("", "tile", "tile/0", "tile/0/", "tile/0/0", "tile/0/00", "tile/0/0000", "/tile/0/000", "tile/0/000/"),
        *("tile/00/000", "tile/01/000", "tile/64/000", "tile/100/000", "tile/-1/000", "tile/x/000", "tile/data/000"),
        *("tile/0/x000", "tile/0/x000/000", "tile/0/x001/x000", "tile/0/001/000", "tile/0/x1/000", "tile/0/X001/000"),
        *("tile/0/000.p/0", "tile/0/000.p/00", "tile/0/000.p/01", "tile/0/000.p/256", "tile/0/000.p/257"),
        *("tile/0/000.p/999", "tile/0/000.p/1000", "tile/0/000.p/", "tile/0/000.p", "tile/0/000.p/1/", "tile/0/000p/1"),
        *("tile/0/000\n", "tile/0/../000", "tile/0/%30%30%30", "tile/0/\N{ARABIC-INDIC DIGIT ZERO}00", "TILE/0/000"),
        *("tile/entries", "tile/entries/000.p/256", "checkpoint", "tile/0/" + "x001/" * 100 + "000"),
    ],
)
def test_another_path_is_refused(path: str) -> None:
    with pytest.raises(TileInvalid):
        Tile.parse(path)


def test_the_tiles_of_the_specification_s_example() -> None:
    tiles = list(tiles_of(SIZE))
    assert tiles[:273] == [Tile(0, index) for index in range(273)]
    assert tiles[273:] == [Tile(0, 273, 112), Tile(1, 0), Tile(1, 1, 17), Tile(2, 0, 1)]
    assert list(tiles_of(256)) == [Tile(0, 0), Tile(1, 0, 1)]
    assert list(tiles_of(0)) == []
    assert len(list(tiles_of(1_000_000))) == 3924


@given(st.integers(0, 200_000), st.integers(0, 3000))
@settings(max_examples=60, deadline=None)
def test_new_tiles_are_those_that_were_not_there(size1: int, more: int) -> None:
    size2 = size1 + more
    assert set(new_tiles(size1, size2)) == set(tiles_of(size2)) - set(tiles_of(size1))


@given(st.integers(1, 2**40), st.integers(0, 5), st.integers(0, 2**40), st.integers(1, 256))
def test_a_tile_stands_in_a_tree_that_has_all_of_its_hashes(size: int, level: int, index: int, width: int) -> None:
    index %= (size >> 8 * level) // WIDTH + 2
    last_leaf = (index * WIDTH + width) * WIDTH**level
    assert Tile(level, index, width).stands_in(size) == (last_leaf <= size)


def test_a_place_without_hashes_has_no_tile() -> None:
    assert tile_at(0, 273, SIZE) == Tile(0, 273, 112)
    for level, index, size in ((0, 274, SIZE), (3, 0, SIZE), (0, 0, 0), (1, 0, 255), (0, 1, 256)):
        with pytest.raises(TileInvalid):
            tile_at(level, index, size)


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_proofs_made_of_tiles_are_those_of_the_tree(data: st.DataObject) -> None:
    size = data.draw(st.one_of(st.integers(1, SIZE), st.sampled_from([1, 255, 256, 257, 511, 65_536, 65_537, SIZE])))
    index, size1 = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    seen: list[Tile] = []
    nodes = read_back(size, seen)
    assert merkle.inclusion_proof(index, size, nodes) == merkle.inclusion_proof(index, size, stored)
    assert merkle.consistency_proof(size1, size, nodes) == merkle.consistency_proof(size1, size, stored)
    assert len(seen) == len(set(seen)) <= 12
    assert set(seen) <= set(tiles_of(size))


def test_an_altered_tile_proves_nothing() -> None:
    root = CompactRange(0, ()).append(LEAVES)[0].root()
    altered = {Tile(0, 3): 7, Tile(1, 1, 17): 3}

    def read(tile: Tile) -> bytes:
        data = bytearray(tile_bytes(tile, stored))
        if tile in altered:
            data[32 * altered[tile]] ^= 1
        return bytes(data)

    nodes = nodes_of(SIZE, read)
    for index in (3 * WIDTH + 6, SIZE - 1):
        with pytest.raises(ProofInvalid):
            merkle.verify_inclusion(index, SIZE, LEAVES[index], merkle.inclusion_proof(index, SIZE, nodes), root)


def test_a_tile_s_bytes_are_its_hashes_and_a_wider_one_will_do() -> None:
    full = tile_bytes(Tile(0, 2), stored)
    assert full == b"".join(LEAVES[512:768])
    assert read_tile(full, Tile(0, 2, 10)) == LEAVES[512:522]
    assert read_tile(full[:320], Tile(0, 2, 10)) == LEAVES[512:522]
    for data in (b"", full[:288], full[:319], full + full[:32], full + b"\0"):
        with pytest.raises(TileInvalid):
            read_tile(data, Tile(0, 2, 10))


def test_a_subtree_that_is_not_perfect_is_not_to_be_had() -> None:
    nodes = read_back(SIZE, [])
    for level, place in ((0, SIZE), (4, SIZE >> 4), (9, SIZE >> 9), (17, 0)):
        with pytest.raises(TileInvalid):
            nodes(level, place)


commitments = st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=WIDTH)


@given(commitments)
@settings(max_examples=40, deadline=None)
def test_a_bundle_holds_commitments_each_after_its_length(items: list[bytes]) -> None:
    data = bundle(items)
    assert data == b"".join(b"\x00\x20" + item for item in items)
    for width in (1, len(items)):
        assert read_bundle(data, Tile(0, 0, width)) == items[:width]


@given(commitments, st.data())
@settings(max_examples=60, deadline=None)
def test_a_bundle_of_another_form_is_refused(items: list[bytes], draw: st.DataObject) -> None:
    data = bundle(items)
    tile = Tile(0, 0, len(items))
    cut = draw.draw(st.integers(0, len(data) - 1))
    header = 34 * draw.draw(st.integers(0, len(items) - 1)) + draw.draw(st.integers(0, 1))
    for wrong in (
        data[:cut],
        data + b"\0",
        data + b"\x00\x20" + bytes(31),
        data[:header] + bytes([data[header] ^ 1]) + data[header + 1 :],
    ):
        with pytest.raises(TileInvalid):
            read_bundle(wrong, tile)


def test_a_bundle_of_no_or_too_many_or_other_entries_is_not_written() -> None:
    for items in ([], [bytes(32)] * 257, [bytes(31)], [bytes(33)], [b""]):
        with pytest.raises(TileInvalid):
            bundle(items)
    with pytest.raises(TileInvalid):
        read_bundle(bundle([bytes(32)] * 256) + bundle([bytes(32)]), Tile(0, 0))


def test_what_a_proof_needs_is_known_before_any_tile_is_read() -> None:
    for make in (
        partial(merkle.inclusion_proof, 5, SIZE),
        partial(merkle.inclusion_proof, SIZE - 1, SIZE),
        partial(merkle.consistency_proof, 257, SIZE),
    ):
        wanted, read = needed(SIZE, make), set()

        def tile(asked: Tile, read: set[Tile] = read) -> bytes:
            read.add(asked)
            return tile_bytes(asked, lambda *place: SUBTREES[place])

        assert make(nodes_of(SIZE, tile)) == make(lambda *place: SUBTREES[place])
        assert read == wanted
        assert len(wanted) <= 8
