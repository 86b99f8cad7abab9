"""Handovers: the document by which another key takes the place of the hub's, and what proves it to a node.

Both keys sign it: the old one says who comes next, and the new one shows that somebody has it. Its entry in the ledger
is the first behind the last tree that the old key signs alone; the tree with it is signed by both. So it is there for
all to see, once; and who has followed the ledger with the old key is brought over to the new one by that tree.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from crypto import cose, merkle
from crypto.errors import HandoverUnlogged, ReceiptInvalid, SignatureInvalid, TooLarge
from crypto.keys import SigningKey, VerifyKey
from crypto.note import Checkpoint, Note, NoteVerifier
from crypto.receipt import proven_by
from schemas.control import Event
from schemas.handover import Handover, HandoverNews

HANDOVER_TYPE: Final = "application/vnd.seci.handover+cbor"
VOUCHED_TYPE: Final = "application/vnd.seci.handover-vouched+cbor"
MAX_HANDOVER: Final = 2048
_DETAIL: Final = "to key "


def sign_handover(handover: Handover, old: SigningKey, new: SigningKey) -> bytes:
    """The new key's word, which shows that somebody has it, inside that of the old one. Raises HsmUnavailable."""
    return cose.sign1(cose.sign1(handover.to_bytes(), HANDOVER_TYPE, new), VOUCHED_TYPE, old)


def open_handover(data: bytes) -> Handover:
    """The handover that both of its keys have signed; whose keys they are is not said by that.

    Raises TooLarge, EnvelopeMalformed, AlgorithmRefused, KeyUnusable, SignatureInvalid, ControlRefused.
    """
    if len(data) > MAX_HANDOVER:
        raise TooLarge(f"a handover has at most {MAX_HANDOVER} bytes; this one has {len(data)}")
    outer = cose.parse_sign1(data, VOUCHED_TYPE)
    inner = cose.parse_sign1(outer.payload, HANDOVER_TYPE)
    handover = Handover.from_bytes(inner.payload)
    old, new = VerifyKey.from_public_bytes(handover.old), VerifyKey.from_public_bytes(handover.new)
    if (outer.kid, inner.kid) != (old.key_id, new.key_id) or old == new:
        raise SignatureInvalid("a handover is signed by the two keys that it names")
    outer.verify(old)
    inner.verify(new)
    return handover


def detail_of(handover: Handover) -> str:
    """What the entry of a handover says of it beside its digest: the new key's id."""
    return _DETAIL + VerifyKey.from_public_bytes(handover.new).key_id.hex()


@dataclass(frozen=True, slots=True)
class Logged:
    """A handover that is in the ledger, and the checkpoint that it is proven under: the one that both keys signed."""

    handover: Handover
    checkpoint: Checkpoint


def open_handover_news(news: HandoverNews, origin: str) -> Logged:
    """The handover of that news: its entry is the last of a tree that both of its keys signed, behind `root`.

    Raises as `open_handover`; NoteInvalid, ProofInvalid, ReceiptInvalid, HandoverUnlogged.
    """
    handover, note = open_handover(news.handover), Note.parse(news.checkpoint)
    checkpoint = Checkpoint.parse(note.text)
    if not handover.origin == checkpoint.origin == origin:
        raise ReceiptInvalid(f"the handover is of log {handover.origin!r}, not of {origin!r}")
    for key in (handover.old, handover.new):
        note.check(NoteVerifier(origin, VerifyKey.from_public_bytes(key)))
    proven, receipt = proven_by(news.receipt, checkpoint), news.receipt
    said = proven.entry.event, proven.entry.evidence, proven.entry.detail
    if said != (Event.HANDOVER, hashlib.sha256(news.handover).digest(), detail_of(handover)):
        raise HandoverUnlogged(f"entry {receipt.index} is not that of the handover")
    if (receipt.index, checkpoint.size) != (handover.size, handover.size + 1):
        raise HandoverUnlogged("a handover's entry is the first behind the last tree of the old key")
    if root_before(receipt.proof) != handover.root:
        raise HandoverUnlogged("the tree before a handover's entry is not the one that it names")
    return Logged(handover, checkpoint)


def root_before(path: Sequence[bytes]) -> bytes:
    """The root of the tree that a last leaf was added to, by that leaf's inclusion proof: the peaks of that tree."""
    value = path[0] if path else merkle.EMPTY_ROOT
    for left in path[1:]:
        value = merkle.node_hash(left, value)
    return value
