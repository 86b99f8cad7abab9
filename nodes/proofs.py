"""Receipts that upgrade themselves: from the hub's word to a checkpoint that a quorum of witnesses has cosigned.

A receipt comes under whatever checkpoint its batch made, which nobody cosigns. Once a later one is witnessed, its
tiles (C2SP tlog-tiles) prove the same entry under that. The hub only reads tiles; the proofs are made and verified
here, a tile for as many receipts as stand in it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Final

from sqlalchemy import bindparam, delete, func, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import Connection

from crypto import merkle
from crypto.errors import ProofInvalid, TileInvalid
from crypto.merkle import HASH_SIZE, Nodes
from crypto.note import Checkpoint, Note
from crypto.proof import LogProof, proof_of
from crypto.receipt import leaf_of
from crypto.tiles import WIDTH, Tile, needed, nodes_of, tile_at
from nodes import histories, store
from nodes.prepared import Prepared
from schemas.control import Receipt, Receipts
from schemas.witnessing import MOST_TILES, TilePlace, TileRequest, Tiles

# So many receipts are upgraded by one answer, at most.
AT_ONCE: Final = MOST_TILES * WIDTH
# More than the proofs of two receipts take, in a ledger of any size; 8 KiB each.
MOST_KEPT: Final = 48
# Of checkpoints without a proof under them, so many are kept: the hub may be answering a question about an older one.
_SPARE: Final = 4
_EXPECT: Final = Prepared(insert(store.proof).on_conflict_do_nothing(), "leaf_index", "leaf", "at")
_PROVEN: Final = (
    update(store.proof)
    .where(store.proof.c.leaf_index == bindparam("this"), store.proof.c.leaf == bindparam("that"))
    .values(size=bindparam("under"), path=bindparam("hashes"))
)


def expect(connection: Connection, receipts: Iterable[Receipt], now: int) -> None:
    """Remembers entries of verified receipts, to be proven under a witnessed checkpoint too.

    Of two entries that the hub gave receipts of in one place, only one can be: then the other is an alarm.
    """
    rows = [
        {"leaf_index": receipt.index, "leaf": leaf_of(receipt.salt, receipt.entry), "at": now} for receipt in receipts
    ]
    _EXPECT.change_each(connection, rows)


def keep_witnessed(connection: Connection, size: int, note: str) -> None:
    """Remembers a checkpoint that a quorum has cosigned, and forgets old ones that nothing is proven under."""
    table = store.witnessed
    fewer = func.length(table.c.note) < len(note)
    kept = insert(table).values(size=size, note=note)
    # Of the same checkpoint the longer note: more have signed it, or the hub with its second key too.
    connection.execute(kept.on_conflict_do_update(index_elements=["size"], set_={"note": note}, where=fewer))
    spare = select(table.c.size).order_by(table.c.size.desc()).limit(_SPARE)
    used = select(store.proof.c.size).where(store.proof.c.size == table.c.size).exists()
    connection.execute(delete(table).where(table.c.size.not_in(spare), ~used))


def newest_witnessed(connection: Connection) -> int | None:
    """The size of the newest checkpoint that a quorum has cosigned."""
    size: int | None = connection.scalar(select(func.max(store.witnessed.c.size)))
    return size


@dataclass
class Gathered:
    """Tiles that came and may be of use again, and the tree's size of the last question.

    One answer is rarely enough for a proof. Full tiles are the same in every later tree; those that are not stay of
    use as long as the size does, so that each answer brings a proof nearer, however fast the ledger grows. In memory
    only: after a restart they are asked for again.
    """

    size: int = 0
    tiles: dict[Tile, bytes] = field(default_factory=dict)

    def add(self, answer: Tiles) -> None:
        """Keeps these tiles, and of the others those that were asked for last."""
        self._keep({tile_at(item.level, item.index, answer.size): item.hashes for item in answer.tiles})
        for tile in list(self.tiles)[:-MOST_KEPT]:
            del self.tiles[tile]

    def missing(self, wanted: frozenset[Tile]) -> list[Tile]:
        """Which of these are not here, upper rows first: many proofs share them. Those that are stay."""
        self._keep({tile: self.tiles[tile] for tile in wanted if tile in self.tiles})
        return sorted(wanted - self.tiles.keys(), reverse=True)

    def _keep(self, tiles: Mapping[Tile, bytes]) -> None:
        for tile, hashes in tiles.items():
            # Behind all others.
            self.tiles.pop(tile, None)
            self.tiles[tile] = hashes


def question(connection: Connection, gathered: Gathered) -> TileRequest | None:
    """Tiles to prove the oldest of what is not proven yet; None if there is nothing to ask for."""
    groups = _waiting(connection, gathered.size) if _note(connection, gathered.size) else {}
    if not groups:
        gathered.size = newest_witnessed(connection) or 0
        groups = _waiting(connection, gathered.size)
    wanted: dict[Tile, None] = {}
    for place in groups:
        wanted |= dict.fromkeys(gathered.missing(_needed(place, gathered.size)))
        if len(wanted) >= MOST_TILES:
            break
    # It may be that all tiles came before the receipt did.
    tiles = list(wanted)[:MOST_TILES] or [tile_at(0, place, gathered.size) for place in list(groups)[:1]]
    places = tuple(TilePlace(level=tile.level, index=tile.index) for tile in sorted(tiles))
    return TileRequest(size=gathered.size, tiles=places) if places else None


def take_tiles(connection: Connection, answer: Tiles, gathered: Gathered) -> int:
    """Proves what these and earlier tiles prove; returns how many receipts. They may prove nothing by themselves.

    Raises HubCaught if a witnessed checkpoint has another entry where the hub gave a receipt, and TileInvalid,
    ProofInvalid for tiles that are not of that tree: then none are kept.
    """
    note = _note(connection, answer.size)
    if note is None:
        return 0
    gathered.add(answer)
    root = Checkpoint.parse(Note.parse(note).text).root
    nodes = cache(nodes_of(answer.size, gathered.tiles.__getitem__))
    rows = []
    for place, group in _waiting(connection, answer.size).items():
        if tile_at(0, place, answer.size) not in gathered.tiles or gathered.missing(_needed(place, answer.size)):
            continue
        for index, leaf in group:
            path = merkle.inclusion_proof(index, answer.size, nodes)
            try:
                _verify(index, answer.size, leaf, path, root, nodes, note)
            except ProofInvalid:
                gathered.tiles.clear()
                raise
            rows.append({"this": index, "that": leaf, "under": answer.size, "hashes": b"".join(path)})
    if rows:
        connection.execute(_PROVEN, rows)
    return len(rows)


def _needed(place: int, size: int) -> frozenset[Tile]:
    # The same for all leaves of the tile at that place of the lowest row.
    tiles = needed(size, partial(merkle.inclusion_proof, place * WIDTH, size))
    return tiles | {tile_at(0, place, size)}


def _note(connection: Connection, size: int) -> str | None:
    found: str | None = connection.scalar(select(store.witnessed.c.note).where(store.witnessed.c.size == size))
    return found


def _verify(index: int, size: int, leaf: bytes, path: list[bytes], root: bytes, nodes: Nodes, note: str) -> None:
    try:
        merkle.verify_inclusion(index, size, leaf, path, root)
    except ProofInvalid:
        # Either the tiles are not of this tree, or they are and have another entry there.
        merkle.verify_inclusion(index, size, nodes(0, index), path, root)
        detail = f"the hub gave a receipt of entry {index}, and the ledger of {size} entries has another one there"
        raise histories.HubCaught(histories.REWRITTEN, detail, note) from None


def _waiting(connection: Connection, size: int) -> dict[int, list[tuple[int, bytes]]]:
    """The oldest that are not proven and are in a tree of that size, by the place of their lowest tile."""
    table, groups = store.proof.c, dict[int, list[tuple[int, bytes]]]()
    query = select(table.leaf_index, table.leaf).where(table.size.is_(None), table.leaf_index < size)
    for row in connection.execute(query.order_by(table.leaf_index).limit(AT_ONCE)):
        groups.setdefault(row.leaf_index // WIDTH, []).append((row.leaf_index, row.leaf))
    return groups


@dataclass(frozen=True, slots=True)
class Unproven:
    """How many receipts are under no witnessed checkpoint yet, and when the oldest of them came (ms)."""

    number: int
    since: int | None


def unproven(connection: Connection) -> Unproven:
    """What waits for a witnessed checkpoint."""
    table = store.proof.c
    row = connection.execute(select(func.count(), func.min(table.at)).where(table.size.is_(None))).one()
    return Unproven(int(row[0]), row[1])


def is_witnessed(connection: Connection, receipt: bytes | None) -> bool:
    """Whether a receipt's entry is under a witnessed checkpoint."""
    if not receipt:
        return False
    single, table = Receipts.from_bytes(receipt).receipts[0], store.proof.c
    leaf = leaf_of(single.salt, single.entry)
    query = select(table.size).where(table.leaf_index == single.index, table.leaf == leaf)
    return connection.scalar(query) is not None


def best_proof(connection: Connection, receipt: bytes) -> LogProof:
    """A receipt as a proof that stands alone: under a witnessed checkpoint, or else under the one that it came with."""
    bundle = Receipts.from_bytes(receipt)
    single = bundle.receipts[0]
    proof, witnessed = store.proof.c, store.witnessed.c
    query = select(proof.path, witnessed.note).join_from(store.proof, store.witnessed, proof.size == witnessed.size)
    leaf = leaf_of(single.salt, single.entry)
    row = connection.execute(query.where(proof.leaf_index == single.index, proof.leaf == leaf)).first()
    if row is None:
        return proof_of(single, bundle.checkpoint)
    hashes = tuple(row.path[start : start + HASH_SIZE] for start in range(0, len(row.path), HASH_SIZE))
    return LogProof(single.index, hashes, row.note, single.salt + single.entry)


def check(answer: Tiles) -> None:
    """Raises TileInvalid unless each tile is as wide as it is in that tree, and there once."""
    places = {(item.level, item.index) for item in answer.tiles}
    for item in answer.tiles:
        if len(item.hashes) != tile_at(item.level, item.index, answer.size).width * HASH_SIZE:
            raise TileInvalid(f"tile {item.level}/{item.index} is not as wide as in a tree of {answer.size}")
    if len(places) != len(answer.tiles):
        raise TileInvalid("a tile stands there twice")
