"""A recipient's bundle: what it proves without the hub's decision, and that each alteration is told by its code."""

import json
from dataclasses import replace

import pytest

from crypto.bundle import Evidence
from crypto.envelope import digest_of
from crypto.errors import CryptoError, EvidenceMalformed
from crypto.evidence import verify_evidence
from crypto.note import NoteSigner
from schemas.control import ControlRefused, Event
from tests.crypto.exhibits import (
    BG_WORD,
    BODY,
    CONTENT,
    DECLINED,
    ENVELOPE,
    HEADER,
    HU_WORD,
    ITEM,
    ORIGIN,
    OTHER,
    POLICY,
    ROSTER,
    accepted,
    answered,
    declined,
    evidence,
    proofs_of,
    received,
    refused,
    signed_roster,
    word,
)
from tests.crypto.people import BG, HOUR, HU, NOW, RO, TR, sealed


def test_what_came_and_that_it_was_acknowledged_is_proven_without_the_decision() -> None:
    found = verify_evidence(Evidence.from_bytes(received().to_bytes()), POLICY)
    assert (found.recipient, found.decision, found.header, found.body) == ("bg", None, HEADER, BODY)
    assert found.signed is not None
    assert (found.signed.kid, found.signed.roster.version) == (RO.signing.public.key_id, 1)
    [answer] = found.answers
    assert (answer.recipient, answer.item, answer.at) == ("bg", ITEM, NOW + 2_000)
    assert (answer.logged.entry, found.basis) == (answered("bg", BG_WORD), answer.logged)


def test_what_was_declined_is_proven_with_its_code() -> None:
    found = verify_evidence(received(declined(), words=(HU_WORD,), recipient="hu", content=None), POLICY)
    assert [(answer.recipient, answer.item) for answer in found.answers] == [("hu", DECLINED)]


def test_without_the_envelope_the_sender_is_the_ledger_s_word() -> None:
    found = verify_evidence(received(envelope=None, stated=digest_of(ENVELOPE), content=None), POLICY)
    assert (found.header, found.signed, found.basis.entry.sender) == (None, None, "ro")


def test_a_recipient_s_bundle_may_have_the_decision_and_others_answers_too() -> None:
    whole = evidence(recipient="bg")
    found = verify_evidence(whole, POLICY)
    assert replace(found, recipient=None) == verify_evidence(evidence(), POLICY)


def _flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def _answer(signed: bytes) -> Evidence:
    return received(answered("bg", signed), words=(signed,))


FORGER = NoteSigner(ORIGIN, TR.signing)
HUNGARY = word(HU, ITEM)
TURKEY = word(TR, ITEM)
ALTERED: dict[str, tuple[Evidence, str]] = {
    "nothing proven": (received(proofs=()), "answer_missing"),
    "an answer of another only": (received(answered("hu", HUNGARY), words=(HUNGARY,)), "answer_missing"),
    "the decision only": (received(accepted(), words=()), "answer_missing"),
    "the side of another": (received(recipient="hu"), "answer_missing"),
    "whose side it is left out": (received(recipient=None), "decision_missing"),
    "an answer twice": (received(*(answered("bg", BG_WORD, at=NOW + more) for more in (0, 1))), "entry_repeated"),
    "two decisions": (received(accepted(), refused(), answered("bg", BG_WORD)), "entry_repeated"),
    "an entry": (
        received(proofs=(replace(received().proofs[0], extra=_flipped(received().proofs[0].extra)),)),
        "proof_invalid",
    ),
    "a checkpoint of another key": (received(proofs=proofs_of(answered("bg", BG_WORD), log=FORGER)), "note_invalid"),
    "an entry of another envelope": (received(answered("bg", BG_WORD, envelope=bytes(32))), "entry_foreign"),
    "an entry of another message": (received(answered("bg", BG_WORD, message=None)), "entry_foreign"),
    "an entry of another sender": (received(answered("bg", BG_WORD, sender="hu")), "entry_foreign"),
    "an entry of something else": (
        received(answered("bg", BG_WORD), answered("bg", BG_WORD, event=Event.REMINDED)),
        "entry_foreign",
    ),
    "another envelope": (received(envelope=sealed(BODY, "ro", ("bg", "hu"))), "entry_foreign"),
    "another digest": (received(envelope=None, stated=bytes(32), content=None), "entry_foreign"),
    "one that it was not sent to": (
        received(answered("tr", TURKEY), words=(TURKEY,), recipient="tr"),
        "entry_contradicts",
    ),
    "a refused message": (received(refused(), answered("bg", BG_WORD)), "entry_contradicts"),
    "no acknowledgement": (received(words=()), "acknowledgement_missing"),
    "an acknowledgement too many": (received(words=(BG_WORD, HU_WORD)), "acknowledgement_foreign"),
    "an acknowledgement, altered": (_answer(_flipped(BG_WORD)), "acknowledgement_unproven"),
    "an acknowledgement signed by another": (_answer(word(HU, ITEM, recipient="bg")), "key_unknown"),
    "an acknowledgement of another": (_answer(HUNGARY), "acknowledgement_contradicts"),
    "an acknowledgement to another": (_answer(word(BG, ITEM, sender="hu")), "acknowledgement_contradicts"),
    "an acknowledgement of another envelope": (_answer(word(BG, OTHER)), "acknowledgement_contradicts"),
    "an acknowledgement of another outcome": (_answer(word(BG, DECLINED)), "acknowledgement_contradicts"),
    "an acknowledgement by a key that had run out": (_answer(word(BG, ITEM, at=NOW + 2 * HOUR)), "key_not_valid"),
    "no roster": (received(rosters=()), "roster_missing"),
    "a roster": (received(rosters=(_flipped(ROSTER),)), "roster_unproven"),
    "a roster without the sender": (received(rosters=(signed_roster(1, BG, HU),)), "sender_unknown"),
    "a roster without the recipient": (received(rosters=(signed_roster(1, HU, RO),)), "sender_unknown"),
    "the envelope's signature": (received(envelope=_flipped(ENVELOPE)), "signature_invalid"),
    "the envelope cut short": (received(envelope=ENVELOPE[:-1]), "envelope_malformed"),
    "the content": (received(content=_flipped(CONTENT)), "digest_mismatch"),
    "content without its envelope": (received(envelope=None, stated=digest_of(ENVELOPE)), "content_unbound"),
}


@pytest.mark.parametrize(("bundle", "code"), ALTERED.values(), ids=ALTERED)
def test_each_alteration_has_its_code(bundle: Evidence, code: str) -> None:
    with pytest.raises((CryptoError, ControlRefused)) as refusal:
        verify_evidence(bundle, POLICY)
    assert getattr(refusal.value, "code", "") == code


@pytest.mark.parametrize("value", ["", "BG", "b", "bg\n", 7, None, ["bg"]])
def test_a_recipient_that_is_no_node_is_refused(value: object) -> None:
    fields = json.loads(received().to_bytes()) | {"recipient": value}
    with pytest.raises(EvidenceMalformed, match="recipient"):
        Evidence.from_bytes(json.dumps(fields).encode())
