"""One message, from Romania to Bulgaria and Hungary, and all that there is to show of it."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from crypto import merkle
from crypto.bundle import Evidence
from crypto.envelope import digest_of, open_envelope, verify
from crypto.note import Checkpoint, NoteSigner, sign_note
from crypto.policy import Policy
from crypto.proof import LogProof, proof_of
from crypto.receipt import leaf_of
from crypto.trust import sign_acknowledgement, sign_roster
from schemas.control import AcknowledgedMessage, Acknowledgement, Entry, Event, Outcome, Receipt
from schemas.refusals import RefusalCode
from schemas.roster import Roster
from tests.crypto.people import BG, HU, HUB, NOW, RO, Person, roster_key, roster_node, sealed, trust

ORIGIN = "ledger.example.org"
LOG = NoteSigner(ORIGIN, HUB.signing)
POLICY = Policy.of([LOG.verifier], [], 0)
BODY = b'{"text":"Lorry with double floor","title":"Lorry"}'


def salt(index: int) -> bytes:
    """The salt of the entry in that place."""
    return hashlib.sha256(b"exhibit %d" % index).digest()


def proofs_of(*entries: Entry, log: NoteSigner = LOG, more: int = 3) -> tuple[LogProof, ...]:
    """Each entry's proof in a log that has only these, and `more` behind them."""
    data = [entry.to_bytes() for entry in entries] + [b"another %d" % number for number in range(more)]
    leaves = [leaf_of(salt(index), item) for index, item in enumerate(data)]
    subtrees = merkle.CompactRange(0, ()).append(leaves)[1]
    note = sign_note(Checkpoint(log.name, len(leaves), merkle.root(leaves)).text(), log)

    def path(index: int) -> tuple[bytes, ...]:
        return tuple(merkle.inclusion_proof(index, len(leaves), lambda level, place: subtrees[level, place]))

    return tuple(
        proof_of(Receipt(index=index, entry=data[index], salt=salt(index), proof=path(index)), note)
        for index in range(len(entries))
    )


ENVELOPE = sealed(BODY, "ro", ("bg", "hu"))
_VERIFIED = verify(ENVELOPE, trust().signer_of)
HEADER = _VERIFIED.header
_OPENED = open_envelope(_VERIFIED, "bg", (BG.encryption,))
CONTENT = _OPENED.nonce + _OPENED.body
ITEM = AcknowledgedMessage(id=HEADER.id, envelope=digest_of(ENVELOPE), outcome=Outcome.DELIVERED)
OTHER = ITEM.model_copy(update={"envelope": bytes(32)})
DECLINED = ITEM.model_copy(update={"outcome": Outcome.DECLINED, "code": RefusalCode.BODY_INVALID})


def word(who: Person, *items: AcknowledgedMessage, **changes: Any) -> bytes:
    """What a recipient signs of these messages."""
    fields = {"recipient": who.node, "sender": "ro", "at": NOW + 2_000, "items": items}
    return sign_acknowledgement(Acknowledgement(**fields | changes), who.signing)


def accepted(**changes: Any) -> Entry:
    """The entry that the message was accepted."""
    names = ("thread", "sender", "recipients", "task_force", "kind", "kind_version", "created")
    fields = {name: getattr(HEADER, name) for name in names} | {
        "event": Event.ACCEPTED,
        "at": NOW + 1_000,
        "node": "ro",
        "message": HEADER.id,
        "priority": str(HEADER.priority),
        "handling": str(HEADER.handling),
        "envelope": digest_of(ENVELOPE),
    }
    return Entry(**fields | changes)


def refused(**changes: Any) -> Entry:
    """The entry that it was refused."""
    fields = {
        "event": Event.REFUSED,
        "at": NOW + 1_000,
        "node": "ro",
        "message": HEADER.id,
        "envelope": digest_of(ENVELOPE),
        "code": RefusalCode.EXPIRED,
        "detail": "too late",
    }
    return Entry(**fields | changes)


def answered(node: str, signed: bytes, **changes: Any) -> Entry:
    """The entry that a recipient has it, resting on what it signed."""
    fields = {
        "event": Event.DELIVERED,
        "at": NOW + 3_000,
        "node": node,
        "message": HEADER.id,
        "sender": "ro",
        "envelope": digest_of(ENVELOPE),
        "evidence": hashlib.sha256(signed).digest(),
    }
    return Entry(**fields | changes)


def signed_roster(version: int, *people: Person, signer: Person = HUB, **validity: int) -> bytes:
    """A roster of these people."""
    nodes = tuple(
        roster_node(who.node, roster_key(who.signing, **validity), roster_key(who.encryption, **validity))
        for who in people
    )
    return sign_roster(Roster(version=version, at=NOW, nodes=nodes), signer.signing)


ROSTER = signed_roster(1, BG, HU, RO)
BG_WORD = word(BG, OTHER.model_copy(update={"id": HEADER.id.__class__(int=1)}), ITEM)
HU_WORD = word(HU, DECLINED)


def declined() -> Entry:
    """The entry that Hungary declined it."""
    return answered("hu", HU_WORD, event=Event.DECLINED, code=RefusalCode.BODY_INVALID)


def received(*entries: Entry, words: Sequence[bytes] = (BG_WORD,), **changes: Any) -> Evidence:
    """Bulgaria's side: what came, and its own answer, without the hub's decision; or these entries."""
    return evidence(*(entries or (answered("bg", BG_WORD),)), words=words, **{"recipient": "bg"} | changes)


def evidence(*entries: Entry, words: Sequence[bytes] = (BG_WORD, HU_WORD), **changes: Any) -> Evidence:
    """The bundle of these entries; without any, of the message's whole way."""
    chosen = entries or (accepted(), answered("bg", BG_WORD), declined())
    whole = Evidence(proofs_of(*chosen), ENVELOPE, None, tuple(words), (ROSTER,), CONTENT)
    return replace(whole, **changes)
