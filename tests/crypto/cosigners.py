"""A log and its witnesses, with fixed keys, and a small ledger that they sign."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from crypto import merkle
from crypto.cosignature import Cosigner, sign_checkpoint
from crypto.keys import SigningKey
from crypto.merkle import CompactRange
from crypto.mldsa import MlDsaKey
from crypto.note import Checkpoint, NoteSigner
from crypto.receipt import commitment_of
from schemas.control import Entry, Event, Receipt

ORIGIN = "ledger.example.org"
AT = 1_100_000_000


def _seed(label: str) -> bytes:
    return hashlib.sha256(f"cosigner {label}".encode()).digest()


LOG = NoteSigner(ORIGIN, SigningKey.from_seed(_seed("log")))
LOG_PQ = Cosigner(ORIGIN, MlDsaKey.from_seed(_seed("log")))
RO, BG, HU = (Cosigner(f"{node}.example.org/witness", SigningKey.from_seed(_seed(node))) for node in ("ro", "bg", "hu"))
RO_PQ = Cosigner(RO.name, MlDsaKey.from_seed(_seed("ro")))


@dataclass(frozen=True)
class Ledger:
    """A ledger of `size` entries, each under its salt."""

    size: int

    def entry(self, index: int) -> bytes:
        return Entry(event=Event.ACCEPTED, at=index, node="ro").to_bytes()

    def salt(self, index: int) -> bytes:
        return hashlib.sha256(b"salt %d" % index).digest()

    def commitments(self) -> list[bytes]:
        return [commitment_of(self.salt(index), self.entry(index)) for index in range(self.size)]

    def leaves(self) -> list[bytes]:
        return [merkle.leaf_hash(item) for item in self.commitments()]

    def nodes(self) -> Callable[[int, int], bytes]:
        subtrees = CompactRange(0, ()).append(self.leaves())[1]
        return lambda level, place: subtrees[level, place]

    def text(self) -> Checkpoint:
        return Checkpoint(ORIGIN, self.size, merkle.root(self.leaves()))

    def checkpoint(self) -> str:
        """Signed by the log, with both of its keys."""
        return sign_checkpoint(self.text(), LOG, LOG_PQ, AT)

    def receipt(self, index: int) -> Receipt:
        proof = tuple(merkle.inclusion_proof(index, self.size, self.nodes()))
        return Receipt(index=index, entry=self.entry(index), salt=self.salt(index), proof=proof)
