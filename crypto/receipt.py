"""Receipts: what proves to a node that a decision stands in the hub's ledger.

A leaf's data is the commitment SHA-256(salt || entry); the tree hashes it as RFC 6962 does.
The checkpoint is the hub's signed word on the tree, so one signature stands for a whole batch.
"""

import hashlib
from dataclasses import dataclass

from crypto import merkle
from crypto.errors import ReceiptInvalid
from crypto.hubkeys import LedgerKeys, open_checkpoint
from crypto.note import Checkpoint
from schemas.control import Entry, Receipt, Receipts


@dataclass(frozen=True, slots=True)
class Proven:
    """An entry proven to be leaf `index` under `checkpoint`."""

    index: int
    entry: Entry
    checkpoint: Checkpoint


def commitment_of(salt: bytes, entry: bytes) -> bytes:
    """What the log holds of an entry, and keeps when the entry is erased: SHA-256(salt || entry). 32 bytes."""
    return hashlib.sha256(salt + entry).digest()


def leaf_of(salt: bytes, entry: bytes) -> bytes:
    """The leaf hash of an entry under its salt. 32 bytes."""
    return merkle.leaf_hash(commitment_of(salt, entry))


def verify_receipts(bundle: Receipts, origin: str, hub: LedgerKeys) -> tuple[Proven, ...]:
    """The entries of a bundle, all proven. Raises NoteInvalid, ProofInvalid, ReceiptInvalid, ControlRefused."""
    checkpoint = open_checkpoint(bundle.checkpoint, hub)
    if checkpoint.origin != origin:
        raise ReceiptInvalid(f"the checkpoint is of log {checkpoint.origin!r}, not of {origin!r}")
    return tuple(proven_by(receipt, checkpoint) for receipt in bundle.receipts)


def proven_by(receipt: Receipt, checkpoint: Checkpoint) -> Proven:
    """The entry of a receipt under that checkpoint. Raises ProofInvalid, ControlRefused."""
    leaf = leaf_of(receipt.salt, receipt.entry)
    merkle.verify_inclusion(receipt.index, checkpoint.size, leaf, list(receipt.proof), checkpoint.root)
    return Proven(receipt.index, Entry.from_bytes(receipt.entry), checkpoint)
