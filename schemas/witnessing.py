"""What nodes and hub say to each other about the ledger's history: checkpoints, cosignatures, tiles.

None of these is signed as a whole. A checkpoint has the hub's signature, a cosignature the witness's; a proof
holds or not, and a tile is worth what is proven with it (docs/protocol.md, "Witnesses").
"""

from typing import Annotated, Final, Literal

from pydantic import Field

from schemas.control import Wire
from schemas.header import Digest, RosterVersion

# So many notes go along, too; one of them at most has the hub's second signature (3.3 KB), for who missed its round.
MOST_CLAIMS: Final = 4
# An answer is to get through a line that breaks after a few tens of kilobytes: what comes behind it waits for it.
MOST_TILES: Final = 2
TILE_BYTES: Final = 8192

Size = Annotated[int, Field(ge=0, lt=2**63)]
NoteText = Annotated[str, Field(min_length=1, max_length=20_000)]
Proof = Annotated[tuple[Digest, ...], Field(max_length=63, fail_fast=True)]


class CheckpointRequest(Wire):
    """A node asks what its witness is to cosign next.

    `old` is the size of the checkpoint that it followed last, 0 for none. `claims` are sizes of other checkpoints
    it was shown, each to be proven a part of the same history. `roster` is the version up to which it has all rosters:
    it wants the next ones. Programs before rosters were proven do not say it.
    """

    v: Literal[1] = 1
    old: Size
    claims: Annotated[tuple[Size, ...], Field(max_length=MOST_CLAIMS, fail_fast=True)] = ()
    roster: RosterVersion | None = None


class Link(Wire):
    """Consistency proof from the tree of `size` leaves."""

    size: Size
    proof: Proof


class WitnessCheckpoint(Wire):
    """The checkpoint to be cosigned, the proof that it continues the one of `old` leaves, and what others cosigned.

    `checkpoint` is a note with the cosignatures it has so far. `links` prove claims. `others` are notes too:
    an earlier checkpoint that was cosigned, and what a witness cosigned that is not of the hub's own history.
    """

    v: Literal[1] = 1
    old: Size
    proof: Proof
    checkpoint: NoteText
    links: Annotated[tuple[Link, ...], Field(max_length=MOST_CLAIMS, fail_fast=True)] = ()
    others: Annotated[tuple[NoteText, ...], Field(max_length=MOST_CLAIMS, fail_fast=True)] = ()


class WitnessCosignature(Wire):
    """A witness has cosigned: the checkpoint's note with the hub's signature and its own."""

    v: Literal[1] = 1
    checkpoint: NoteText


class TilePlace(Wire):
    """A tile's place (C2SP tlog-tiles): its level, 0 to 7, and its index in the row."""

    level: Annotated[int, Field(ge=0, le=7)]
    index: Size


class TileRequest(Wire):
    """A node asks for tiles of the tree of `size` leaves, to prove its receipts under that checkpoint."""

    v: Literal[1] = 1
    size: Annotated[int, Field(ge=1, lt=2**63)]
    tiles: Annotated[tuple[TilePlace, ...], Field(min_length=1, max_length=MOST_TILES, fail_fast=True)]


class TileHashes(Wire):
    """A tile's hashes, 32 bytes each, as many as the tree has there."""

    level: Annotated[int, Field(ge=0, le=7)]
    index: Size
    hashes: Annotated[bytes, Field(min_length=32, max_length=TILE_BYTES)]


class Tiles(Wire):
    """The tiles asked for, of the tree of `size` leaves."""

    v: Literal[1] = 1
    size: Annotated[int, Field(ge=1, lt=2**63)]
    tiles: Annotated[tuple[TileHashes, ...], Field(min_length=1, max_length=MOST_TILES, fail_fast=True)]
