"""Keys of a hub that take each other's place, and what tells of it."""

import hashlib
from dataclasses import dataclass
from typing import Any

from crypto import merkle
from crypto.handover import detail_of, sign_handover
from crypto.keys import SigningKey
from crypto.note import Checkpoint, NoteSigner, sign_note
from crypto.receipt import leaf_of
from schemas.control import Entry, Event, Receipt
from schemas.handover import Handover, HandoverNews
from tests.crypto.people import HUB, NOW

ORIGIN = "ledger.example.org"
SALT = bytes(32)


def key(name: str) -> SigningKey:
    """A hub's key of that name, always the same."""
    return SigningKey.from_seed(hashlib.sha256(f"key {name} of the hub".encode()).digest())


OLD, NEW, NEWER, THIEF = HUB.signing, key("new"), key("newer"), key("thief")


def signer(key: SigningKey, origin: str = ORIGIN) -> NoteSigner:
    """It signs checkpoints."""
    return NoteSigner(origin, key)


def handover(old: SigningKey = OLD, new: SigningKey = NEW, **changes: Any) -> Handover:
    """From one key to the other, behind three entries."""
    fields = {"origin": ORIGIN, "size": 3, "root": merkle.root(before(3)), "roster": 2, "at": NOW}
    return Handover(old=old.public.public_bytes(), new=new.public.public_bytes(), **(fields | changes))


def before(size: int) -> list[bytes]:
    """The leaf hashes of so many entries."""
    return [leaf_of(SALT, f"entry {index}".encode()) for index in range(size)]


@dataclass(frozen=True)
class Told:
    """A handover as both have signed it, and its entry."""

    signed: bytes
    entry: bytes


def told(said: Handover, old: SigningKey = OLD, new: SigningKey = NEW) -> Told:
    """What the hub puts on record of it."""
    signed = sign_handover(said, old, new)
    fields = {"evidence": hashlib.sha256(signed).digest(), "detail": detail_of(said)}
    return Told(signed, Entry(event=Event.HANDOVER, at=NOW, node="seci", **fields).to_bytes())


def news(said: Told, leaves: list[bytes], *signers: NoteSigner, more: int = 0) -> HandoverNews:
    """The handover with the proof of its entry, behind these leaves and before so many more."""
    index, all_ = len(leaves), [*leaves, leaf_of(SALT, said.entry), *before(more)]
    completed = merkle.CompactRange(0, ()).append(all_)[1]
    path = merkle.inclusion_proof(index, len(all_), lambda *place: completed[place])
    note = sign_note(Checkpoint(signers[0].name, len(all_), merkle.root(all_)).text(), *signers)
    receipt = Receipt(index=index, entry=said.entry, salt=SALT, proof=tuple(path))
    return HandoverNews(handover=said.signed, receipt=receipt, checkpoint=note)
