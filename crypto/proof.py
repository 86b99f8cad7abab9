"""Proofs on disk (C2SP tlog-proof): that an entry is in a log, for a verifier without a network.

The text has the leaf's index, its inclusion proof and the checkpoint with all signatures. Of our
ledger, `extra` is the salt and the entry: SHA-256 of it is the commitment that the leaf is made of.
"""

import base64
from dataclasses import dataclass, replace
from typing import Final, Self

from crypto import merkle
from crypto.canonical import decimal, exact_base64
from crypto.errors import ProofMalformed, ReceiptInvalid
from crypto.merkle import HASH_SIZE
from crypto.policy import Cosigned, Policy, witnessed
from crypto.receipt import Proven, leaf_of
from schemas.control import SALT_SIZE, Entry, Receipt

MAX_HASHES: Final = 63
SUFFIX: Final = ".tlog-proof"
HEADER: Final = "c2sp.org/tlog-proof@v1"


@dataclass(frozen=True, slots=True)
class LogProof:
    """A proof taken apart; nothing in it is verified. `hashes` of 32 bytes, the leaf's sibling first."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: str
    extra: bytes = b""

    def __str__(self) -> str:
        extra = [f"extra {base64.b64encode(self.extra).decode()}"] if self.extra else []
        lines = [HEADER, *extra, f"index {self.index}", *(base64.b64encode(item).decode() for item in self.hashes)]
        return "".join(f"{line}\n" for line in lines) + f"\n{self.checkpoint}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """What `str` wrote. Raises ProofMalformed."""
        head, separator, checkpoint = text.partition("\n\n")
        header, *lines = head.split("\n")
        if header != HEADER or not separator:
            raise ProofMalformed(f"a proof begins with {HEADER}, and an empty line stands before its checkpoint")
        extra: bytes | None = b""
        if lines and lines[0].startswith("extra "):
            extra = exact_base64(lines.pop(0).removeprefix("extra ")) or None
        if extra is None:
            raise ProofMalformed("the line `extra` of a proof holds base64, or is not there")
        index = decimal(lines.pop(0).removeprefix("index ")) if lines and lines[0].startswith("index ") else None
        if index is None:
            raise ProofMalformed("a proof has a line `index` with a decimal number")
        hashes = [exact_base64(line) for line in lines[: MAX_HASHES + 1]]
        found = tuple(item for item in hashes if item is not None and len(item) == HASH_SIZE)
        if len(found) != len(lines) or len(found) > MAX_HASHES:
            raise ProofMalformed(f"a proof has at most {MAX_HASHES} hashes, a line of base64 each")
        return cls(index, found, checkpoint, extra)

    def verify(self, leaf_hash: bytes, policy: Policy) -> Cosigned:
        """Who stands for the checkpoint under which the leaf is proven to be.

        For the log's word alone, give `policy.unwitnessed()`. Raises NoteInvalid, NotWitnessed, ProofInvalid.
        """
        cosigned = witnessed(self.checkpoint, policy)
        checkpoint = cosigned.checkpoint
        merkle.verify_inclusion(self.index, checkpoint.size, leaf_hash, self.hashes, checkpoint.root)
        return cosigned


def proof_of(receipt: Receipt, checkpoint: str) -> LogProof:
    """A receipt out of a bundle as a proof that stands alone."""
    return LogProof(receipt.index, receipt.proof, checkpoint, receipt.salt + receipt.entry)


def without_content(proof: LogProof) -> LogProof:
    """The same for whoever has entry or commitment from elsewhere."""
    return replace(proof, extra=b"")


def verify_entry(proof: LogProof, policy: Policy) -> tuple[Proven, Cosigned]:
    """The entry in a proof's `extra`, proven, and who stands for it.

    Raises NoteInvalid, NotWitnessed, ProofInvalid, ReceiptInvalid, ControlRefused.
    """
    salt, entry = proof.extra[:SALT_SIZE], proof.extra[SALT_SIZE:]
    if not entry:
        raise ReceiptInvalid("the proof holds no salt and entry; verify it against the entry's leaf hash")
    cosigned = proof.verify(leaf_of(salt, entry), policy)
    return Proven(proof.index, Entry.from_bytes(entry), cosigned.checkpoint), cosigned
