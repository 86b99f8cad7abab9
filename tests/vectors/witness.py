"""Vectors of what a witness and the hub say to each other, of the ledger of `receipts.json`."""

from typing import Final

from crypto import merkle
from crypto.cosignature import Cosigner
from crypto.keys import SigningKey
from crypto.note import Checkpoint, sign_note
from crypto.trust import WITNESS_NAME
from schemas.roster import KeyUse, RosterKey
from schemas.witnessing import (
    CheckpointRequest,
    Link,
    TileHashes,
    TilePlace,
    TileRequest,
    Tiles,
    WitnessCheckpoint,
    WitnessCosignature,
)
from tests.vectors.fixed import CREATED, HOUR, ORIGIN, Document, material
from tests.vectors.ledger import receipts
from tests.vectors.proofs import AT, LOG

FOLLOWED: Final = 3
CLAIMED: Final = 5
KEY: Final = SigningKey.from_seed(material("cosigning key of ro"))
COSIGNER: Final = Cosigner(f"{WITNESS_NAME}ro", KEY)


def witness(_: Document) -> Document:
    """`witness.json`."""
    leaves = [bytes.fromhex(leaf["leaf"]) for leaf in receipts({})["leaves"]]
    size, nodes = len(leaves), merkle.CompactRange(0, ()).append(leaves)[1]

    def checkpoint(size: int) -> str:
        return Checkpoint(ORIGIN, size, merkle.root(leaves[:size])).text()

    def proof(old: int) -> tuple[bytes, ...]:
        return tuple(merkle.consistency_proof(old, size, lambda *place: nodes[place]))

    note = sign_note(checkpoint(size), LOG)
    offered = WitnessCheckpoint(
        old=FOLLOWED, proof=proof(FOLLOWED), checkpoint=note, links=(Link(size=CLAIMED, proof=proof(CLAIMED)),)
    )
    cosigned = note + COSIGNER.sign(checkpoint(size), AT).line()
    place = TilePlace(level=0, index=0)
    listed = RosterKey(
        kid=KEY.public.key_id,
        use=KeyUse.WITNESS,
        public=KEY.public.public_bytes(),
        not_before=CREATED - HOUR,
        not_after=CREATED + HOUR,
    )
    return {
        "roster_key": listed.to_bytes().hex(),
        "seed": KEY.private_bytes()[1:].hex(),
        "vkey": COSIGNER.verifier.vkey(),
        "followed": sign_note(checkpoint(FOLLOWED), LOG),
        "request": CheckpointRequest(old=FOLLOWED, claims=(CLAIMED,), roster=7).to_bytes().hex(),
        "checkpoint": offered.to_bytes().hex(),
        "at": AT,
        "cosigned": cosigned,
        "cosignature": WitnessCosignature(checkpoint=cosigned).to_bytes().hex(),
        "tile_request": TileRequest(size=size, tiles=(place,)).to_bytes().hex(),
        "tiles": Tiles(size=size, tiles=(TileHashes(level=0, index=0, hashes=b"".join(leaves)),)).to_bytes().hex(),
    }
