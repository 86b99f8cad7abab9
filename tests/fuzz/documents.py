"""Valid documents of each type, to begin from."""

import base64
import hashlib
import json
from typing import Final

from crypto import merkle
from crypto.cosignature import Cosigner
from crypto.envelope import seal
from crypto.keys import SigningKey
from crypto.note import Checkpoint, NoteSigner, sign_note
from crypto.receipt import leaf_of
from crypto.rosternews import detail_of
from crypto.trust import WITNESS_NAME, sign_acknowledgement
from schemas.control import AcknowledgedMessage, Acknowledgement, Entry, Event, Outcome, Receipt, Receipts
from schemas.membership import Act, MembershipOrder
from schemas.roster import RosterNews
from schemas.witnessing import Link, WitnessCheckpoint
from tests.crypto.people import BG, HU, HUB, NOW, RO, routing, sealed
from tests.schemas.strategies import FIXED_ID

ORIGIN: Final = "seci.example/ledger"
SIGNER: Final = NoteSigner(ORIGIN, HUB.signing)
WITNESS: Final = Cosigner(f"{WITNESS_NAME}ro", SigningKey.from_seed(bytes(32)))
ALERT: Final = b'{"title":"t","text":"x","evaluation":{"source":"A","information":"1"},"countries":["RO"]}'


def envelope() -> bytes:
    """From Romania to Bulgaria and Hungary."""
    return sealed(ALERT, recipients=("bg", "hu"), operation="Mirage")


def acknowledgement() -> Acknowledgement:
    """Bulgaria's to Romania."""
    item = AcknowledgedMessage(id=FIXED_ID, envelope=bytes(32), outcome=Outcome.DELIVERED)
    return Acknowledgement(recipient="bg", sender="ro", at=NOW, items=(item,))


def order() -> MembershipOrder:
    """Bulgaria's, to open something to IOM."""
    kinds = ("operation.plan", "operation.report")
    about = {"node": "bg", "task_force": "drugs", "act": Act.OPEN, "subject": "iom", "kinds": kinds}
    return MembershipOrder.model_validate({"id": FIXED_ID, "at": NOW, "reason": "MIRAGE", **about})


def forward() -> bytes:
    """The body of a message handed on, with a permission of Hungary to Romania for Bulgaria."""
    said = {"message": str(FIXED_ID), "use": "forward", "granted": True, "recipients": ["bg"]}
    content = bytes(32) + json.dumps(said).encode()
    permission = seal(
        routing("hu", ("ro",), kind="permission"), content[32:], {"ro": RO.encryption.public}, HU.signing, bytes(32)
    )[1]
    proof = {name: base64.b64encode(part).decode() for name, part in (("envelope", permission), ("content", content))}
    carried = {"kind": "alert", "body": json.loads(ALERT)}
    about = {"message": str(FIXED_ID), "provider": "hu", "permission": str(FIXED_ID), "handling": "H2"}
    return json.dumps({**about, "content": carried, "proof": proof}).encode()


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


def offered() -> bytes:
    """A first checkpoint to cosign, of the ledger of `receipts`, with a link and somebody's cosignature."""
    note = Receipts.from_bytes(receipts()).checkpoint
    line = WITNESS.sign(note.partition("\n\n")[0] + "\n", NOW // 1000).line()
    link = Link(size=2, proof=())
    return WitnessCheckpoint(old=0, proof=(), checkpoint=note + line, links=(link,), others=(note,)).to_bytes()


def news(signed: bytes, version: int) -> RosterNews:
    """A roster with the proof that it is the first entry of a ledger of two."""
    said = Entry(
        event=Event.ROSTER,
        at=NOW,
        node="seci",
        evidence=hashlib.sha256(signed).digest(),
        detail=detail_of(version),
    ).to_bytes()
    salt, other = bytes(32), leaf_of(bytes(32), b"another entry")
    root = merkle.node_hash(leaf_of(salt, said), other)
    receipt = Receipt(index=0, entry=said, salt=salt, proof=(other,))
    return RosterNews(roster=signed, receipt=receipt, checkpoint=sign_note(Checkpoint(ORIGIN, 2, root).text(), SIGNER))


def receipts() -> bytes:
    """A bundle with one receipt and one acknowledgement."""
    leaf, salt = entry().to_bytes(), bytes(32)
    other = leaf_of(salt, b"another entry")
    root = merkle.node_hash(leaf_of(salt, leaf), other)
    checkpoint = sign_note(Checkpoint(ORIGIN, 2, root).text(), SIGNER)
    receipt = Receipt(index=0, entry=leaf, salt=salt, proof=(other,))
    word = sign_acknowledgement(acknowledgement(), BG.signing)
    return Receipts(checkpoint=checkpoint, receipts=(receipt,), acknowledgements=(word,)).to_bytes()
