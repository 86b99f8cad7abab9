"""Valid documents of each type, to begin from."""

import hashlib
from typing import Final

from crypto import merkle
from crypto.note import Checkpoint, NoteSigner, sign_note
from crypto.receipt import leaf_of
from crypto.trust import sign_acknowledgement
from schemas.control import AcknowledgedMessage, Acknowledgement, Entry, Event, Outcome, Receipt, Receipts
from tests.crypto.people import BG, HUB, NOW, routing, sealed
from tests.schemas.strategies import FIXED_ID

ORIGIN: Final = "seci.example/ledger"
SIGNER: Final = NoteSigner(ORIGIN, HUB.signing)
ALERT: Final = b'{"title":"t","text":"x","evaluation":{"source":"A","information":"1"},"countries":["RO"]}'


def envelope() -> bytes:
    """From Romania to Bulgaria and Hungary."""
    return sealed(ALERT, recipients=("bg", "hu"), operation="Mirage")


def acknowledgement() -> Acknowledgement:
    """Bulgaria's to Romania."""
    item = AcknowledgedMessage(id=FIXED_ID, envelope=bytes(32), outcome=Outcome.DELIVERED)
    return Acknowledgement(recipient="bg", sender="ro", at=NOW, items=(item,))


def entry() -> Entry:
    """Of a message accepted."""
    message = routing()
    return Entry(
        event=Event.ACCEPTED,
        at=NOW,
        node="ro",
        message=message.id,
        thread=message.thread,
        sender="ro",
        recipients=("bg", "hu"),
        task_force="drugs",
        kind="alert",
        kind_version=1,
        priority="normal",
        handling="H1",
        created=NOW,
        envelope=hashlib.sha256(b"envelope").digest(),
    )


def receipts() -> bytes:
    """A bundle with one receipt and one acknowledgement."""
    leaf, salt = entry().to_bytes(), bytes(32)
    other = leaf_of(salt, b"another entry")
    root = merkle.node_hash(leaf_of(salt, leaf), other)
    checkpoint = sign_note(Checkpoint(ORIGIN, 2, root).text(), SIGNER)
    receipt = Receipt(index=0, entry=leaf, salt=salt, proof=(other,))
    word = sign_acknowledgement(acknowledgement(), BG.signing)
    return Receipts(checkpoint=checkpoint, receipts=(receipt,), acknowledgements=(word,)).to_bytes()
