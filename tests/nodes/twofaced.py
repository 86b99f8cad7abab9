"""A hub that can lie: a log in memory, of which it may keep several, and all that it tells a witness of them."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from crypto import cose, merkle
from crypto.cosignature import Cosigner
from crypto.keys import SigningKey
from crypto.mldsa import MlDsaKey
from crypto.note import Checkpoint, NoteSigner, sign_note
from crypto.receipt import leaf_of
from crypto.rosternews import detail_of
from crypto.tiles import Tile, nodes_of, tile_at
from crypto.trust import ROSTER_TYPE, WITNESS_NAME
from nodes.agent import Agent
from nodes.receiving import Arrival
from schemas.control import Entry, Event, MessageType, Receipt, Receipts
from schemas.roster import KeyUse, Roster, RosterKey, RosterNews, RosterNode
from schemas.witnessing import Link, TileHashes, TileRequest, Tiles, WitnessCheckpoint
from tests.crypto.people import HUB, NOW, Person
from tests.nodes.conftest import FAR, ORIGIN, entry

SALT = bytes(32)
SECOND = Cosigner(ORIGIN, MlDsaKey.from_seed(hashlib.sha256(b"second key of the hub").digest()))


def witness_key(node: str) -> SigningKey:
    """A node's witness key, always the same."""
    return SigningKey.from_seed(hashlib.sha256(f"witness key of {node}".encode()).digest())


def cosigner(node: str) -> Cosigner:
    """What it cosigns with."""
    return Cosigner(f"{WITNESS_NAME}{node}", witness_key(node))


def listed(who: Person, witness: str | None = None) -> RosterNode:
    """A person's entry in a roster with a witness key, its own unless another's is wanted."""
    node, public = entry(who), witness_key(witness or who.node).public
    validity = {"not_before": NOW, "not_after": FAR}
    key = RosterKey(kid=public.key_id, use=KeyUse.WITNESS, public=public.public_bytes(), **validity)
    return node.model_copy(update={"keys": (*node.keys, key)})


@dataclass
class Log:
    """One history. `entries` are the ledger's, as bytes; all salts are zero. `second` signs what is to be cosigned.

    `leaving` signs besides, while it hands over.
    """

    entries: list[bytes] = field(default_factory=list)
    signer: NoteSigner = field(default_factory=lambda: NoteSigner(ORIGIN, HUB.signing))
    second: Cosigner | None = None
    leaving: NoteSigner | None = None

    def grow(self, size: int, word: str = "") -> "Log":
        """The log with entries up to `size`, which say `word`."""
        added = [_entry(f"{word}{index}") for index in range(len(self.entries), size)]
        return replace(self, entries=[*self.entries, *added])

    def up_to(self, size: int) -> "Log":
        """What it was with so many entries."""
        return replace(self, entries=self.entries[:size])

    @property
    def leaves(self) -> list[bytes]:
        """The leaf hashes."""
        return [leaf_of(SALT, item) for item in self.entries]

    @property
    def checkpoint(self) -> Checkpoint:
        """Of all entries."""
        return Checkpoint(ORIGIN, len(self.entries), merkle.root(self.leaves))

    @property
    def note(self) -> str:
        """The same, signed."""
        signers = [self.signer] if self.leaving is None else [self.signer, self.leaving]
        return sign_note(self.checkpoint.text(), *signers)

    def cosigned(self, *nodes: str, at: int = NOW // 1000) -> str:
        """The same, as the hub offers it and cosigned."""
        text = self.checkpoint.text()
        signers = [*([] if self.second is None else [self.second]), *map(cosigner, nodes)]
        return self.note + "".join(signer.sign(text, at).line() for signer in signers)

    def proof(self, old: int) -> tuple[bytes, ...]:
        """The consistency proof from the first `old` entries; empty where there can be none."""
        if not 0 < old <= len(self.entries):
            return ()
        completed = merkle.CompactRange(0, ()).append(self.leaves)[1]
        return tuple(merkle.consistency_proof(old, len(self.entries), lambda *place: completed[place]))

    def answer(
        self, old: int, *, claims: Iterable[int] = (), others: Sequence[str] = (), by: Sequence[str] = ()
    ) -> bytes:
        """What the hub answers a witness that has followed `old` entries."""
        links = tuple(Link(size=size, proof=self.proof(size)) for size in claims)
        told = WitnessCheckpoint(
            old=old, proof=self.proof(old), checkpoint=self.cosigned(*by), links=links, others=tuple(others)
        )
        return told.to_bytes()

    def receipt(self, index: int) -> Receipt:
        """Of that entry."""
        completed = merkle.CompactRange(0, ()).append(self.leaves)[1]
        proof = merkle.inclusion_proof(index, len(self.entries), lambda *place: completed[place])
        return Receipt(index=index, entry=self.entries[index], salt=SALT, proof=tuple(proof))

    def receipts(self, *indices: int) -> bytes:
        """Receipts of these entries."""
        return Receipts(checkpoint=self.note, receipts=tuple(map(self.receipt, indices))).to_bytes()

    def published(self, *signed: bytes) -> "Log":
        """The log with the entries of these rosters, one by one."""
        return replace(self, entries=[*self.entries, *map(_roster_entry, signed)])

    def news(self, signed: bytes) -> bytes:
        """What the hub tells of a roster that was published, under this log's checkpoint."""
        receipt = self.receipt(self.entries.index(_roster_entry(signed)))
        return RosterNews(roster=signed, receipt=receipt, checkpoint=self.note).to_bytes()

    def tiles(self, asked: TileRequest) -> bytes:
        """The tiles asked for."""
        completed = merkle.CompactRange(0, ()).append(self.leaves[: asked.size])[1]

        def read(tile: Tile) -> bytes:
            first = tile.index * 256
            return b"".join(completed[tile.level * 8, place] for place in range(first, first + tile.width))

        nodes_of(asked.size, read)
        tiles = [tile_at(place.level, place.index, asked.size) for place in asked.tiles]
        hashes = tuple(TileHashes(level=tile.level, index=tile.index, hashes=read(tile)) for tile in tiles)
        return Tiles(size=asked.size, tiles=hashes).to_bytes()


def _entry(word: str) -> bytes:
    return Entry(event=Event.RELEASED, at=NOW, node="seci", detail=word).to_bytes()


def _roster_entry(signed: bytes) -> bytes:
    version = Roster.from_bytes(cose.parse_sign1(signed, ROSTER_TYPE).payload).version
    said = {"evidence": hashlib.sha256(signed).digest(), "detail": detail_of(version)}
    return Entry(event=Event.ROSTER, at=NOW, node="seci", **said).to_bytes()


# So large that no other history of a test has a tree of the same size.
LONG = Log().grow(1000)


async def announced(agent: Agent, *signed: bytes, log: Log = LONG) -> Log:
    """The log after an honest hub has published these rosters and told the agent of them; they wait there."""
    for roster in signed:
        log = log.published(roster)
        await agent.box.run(agent.take_in, [Arrival(MessageType.ROSTER, log.news(roster), 1)])
    return log


async def in_force(agent: Agent, *signed: bytes, log: Log = LONG) -> Log:
    """The same, and the hub has linked them, so that they are in force."""
    log = await announced(agent, *signed, log=log)
    asked = await agent.box.run(agent.witness._question)
    answer = log.answer(asked.old, claims=asked.claims)
    await agent.box.run(agent.take_in, [Arrival(MessageType.CHECKPOINT, answer, 1)])
    return log
