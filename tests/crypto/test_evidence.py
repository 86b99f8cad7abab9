"""Evidence bundles: what they prove without a network, and that each alteration is told by a code of its own."""

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from crypto.bundle import MAX_EVIDENCE, Evidence
from crypto.cosignature import Cosigner, add_cosignatures, cosign
from crypto.envelope import digest_of
from crypto.errors import CryptoError, EvidenceMalformed
from crypto.evidence import verify_evidence
from crypto.keys import SigningKey
from crypto.mldsa import MlDsaKey
from crypto.note import NoteSigner
from crypto.policy import Policy
from schemas.control import ControlRefused, Event
from tests.crypto.exhibits import (
    BG_WORD,
    BODY,
    CONTENT,
    ENVELOPE,
    HEADER,
    HU_WORD,
    ITEM,
    LOG,
    ORIGIN,
    OTHER,
    POLICY,
    ROSTER,
    accepted,
    answered,
    declined,
    evidence,
    proofs_of,
    refused,
    signed_roster,
    word,
)
from tests.crypto.people import BG, HOUR, HU, NOW, RO, TR, sealed

WITNESS = Cosigner("bg.example.org/witness", SigningKey.from_seed(bytes(range(32))))
AT = 1_100_000_000


def _code(bundle: Evidence, policy: Policy = POLICY) -> str:
    with pytest.raises((CryptoError, ControlRefused)) as refusal:
        verify_evidence(bundle, policy)
    return str(getattr(refusal.value, "code", ""))


def test_a_message_s_whole_way_is_proven() -> None:
    found = verify_evidence(Evidence.from_bytes(evidence().to_bytes()), POLICY)
    assert found.header == HEADER
    assert found.signed is not None
    assert (found.signed.kid, found.signed.roster.version) == (RO.signing.public.key_id, 1)
    assert (found.decision.entry, found.decision.proven.index) == (accepted(), 0)
    assert [(answer.recipient, str(answer.item.outcome), answer.at) for answer in found.answers] == [
        ("bg", "delivered", NOW + 2_000),
        ("hu", "declined", NOW + 2_000),
    ]
    assert (found.body, found.digest, found.names["bg"]) == (BODY, digest_of(ENVELOPE), "BG")


def test_a_bundle_comes_back_as_it_was() -> None:
    for bundle in (evidence(), evidence(content=None), evidence(envelope=None, stated=bytes(32), rosters=())):
        assert Evidence.from_bytes(bundle.to_bytes()) == bundle


def test_without_the_envelope_the_entries_and_the_recipients_words_still_hold() -> None:
    found = verify_evidence(evidence(envelope=None, stated=digest_of(ENVELOPE), content=None), POLICY)
    assert (found.header, found.signed, found.body) == (None, None, None)
    assert [answer.recipient for answer in found.answers] == ["bg", "hu"]


def test_a_refusal_is_proven_and_so_is_what_the_hub_could_not_read() -> None:
    found = verify_evidence(evidence(refused(), words=()), POLICY)
    assert (found.decision.entry.event, found.answers) == (Event.REFUSED, ())
    unreadable = refused(event=Event.QUARANTINED, envelope=None, evidence=digest_of(ENVELOPE), message=None, code=None)
    assert verify_evidence(evidence(unreadable, words=()), POLICY).decision.entry.event is Event.QUARANTINED


def test_a_key_that_the_newest_roster_has_no_more_is_found_in_the_one_of_its_time() -> None:
    newest = signed_roster(3, BG, HU)
    found = verify_evidence(evidence(rosters=(newest, ROSTER)), POLICY)
    assert found.signed is not None
    assert found.signed.roster.version == 1
    assert {answer.roster.version for answer in found.answers} == {3}


def test_a_policy_s_witnesses_are_asked_for_and_named() -> None:
    policy = Policy.of([LOG.verifier], [WITNESS.verifier], 1)
    assert _code(evidence(), policy) == "not_witnessed"
    plain = evidence().proofs
    note = add_cosignatures(plain[0].checkpoint, cosign(plain[0].checkpoint, WITNESS, AT), [WITNESS.verifier])
    found = verify_evidence(evidence(proofs=tuple(replace(proof, checkpoint=note) for proof in plain)), policy)
    assert found.decision.cosigned.witnesses == ((WITNESS.name, AT),)


def _flipped(data: bytes, place: int = -1) -> bytes:
    altered = bytearray(data)
    altered[place] ^= 1
    return bytes(altered)


def _proof(**changes: Any) -> Evidence:
    first, *others = evidence().proofs
    return evidence(proofs=(replace(first, **changes), *others))


FORGER = NoteSigner(ORIGIN, SigningKey.from_seed(bytes(32)))
ELSEWHERE = NoteSigner("other.example.org", TR.signing)
MINE = (accepted(), answered("bg", BG_WORD))
ALTERED: dict[str, tuple[Evidence, str]] = {
    "an entry": (_proof(extra=evidence().proofs[0].extra[:-1] + b"\0"), "proof_invalid"),
    "a salt": (_proof(extra=_flipped(evidence().proofs[0].extra, 0)), "proof_invalid"),
    "a place": (_proof(index=1), "proof_invalid"),
    "an audit path": (_proof(hashes=evidence().proofs[0].hashes[::-1]), "proof_invalid"),
    "an entry left out": (_proof(extra=b""), "receipt_invalid"),
    "a checkpoint": (_proof(checkpoint=evidence().proofs[0].checkpoint.replace("\n6\n", "\n7\n")), "note_invalid"),
    "a checkpoint of another key": (evidence(proofs=proofs_of(*MINE, log=FORGER)), "note_invalid"),
    "a checkpoint of a log not listed": (evidence(proofs=proofs_of(*MINE, log=ELSEWHERE)), "note_invalid"),
    "nothing proven": (evidence(proofs=()), "decision_missing"),
    "no decision": (evidence(answered("bg", BG_WORD), words=(BG_WORD,)), "decision_missing"),
    "two decisions": (evidence(accepted(), refused(), words=()), "entry_repeated"),
    "an answer twice": (evidence(*MINE, answered("bg", BG_WORD, at=NOW), words=(BG_WORD,)), "entry_repeated"),
    "an entry of another envelope": (evidence(accepted(envelope=bytes(32)), words=()), "entry_foreign"),
    "another digest": (evidence(envelope=None, stated=bytes(32), content=None), "entry_foreign"),
    "an answer of another envelope": (
        evidence(accepted(), answered("bg", BG_WORD, envelope=bytes(32)), words=(BG_WORD,)),
        "entry_foreign",
    ),
    "an answer of another message": (
        evidence(accepted(), answered("bg", BG_WORD, message=None), words=(BG_WORD,)),
        "entry_foreign",
    ),
    "an answer to another sender": (
        evidence(accepted(), answered("bg", BG_WORD, sender="tr"), words=(BG_WORD,)),
        "entry_foreign",
    ),
    "an entry that says nothing of a message": (
        evidence(accepted(), answered("bg", BG_WORD, event=Event.REMINDED), words=(BG_WORD,)),
        "entry_foreign",
    ),
    "an answer of nobody addressed": (
        evidence(accepted(), answered("tr", BG_WORD), words=(BG_WORD,)),
        "entry_contradicts",
    ),
    "an answer to what was refused": (
        evidence(refused(), answered("bg", BG_WORD), words=(BG_WORD,)),
        "entry_contradicts",
    ),
    "a refusal of another's queue": (evidence(refused(node="tr"), words=()), "entry_contradicts"),
    "a refusal of another id": (
        evidence(refused(message=HEADER.id.__class__(int=7)), words=()),
        "entry_contradicts",
    ),
    "no acknowledgement": (evidence(words=(HU_WORD,)), "acknowledgement_missing"),
    "an acknowledgement that no entry names": (evidence(accepted(), words=(BG_WORD,)), "acknowledgement_foreign"),
    "an acknowledgement twice": (evidence(*MINE, words=(BG_WORD, BG_WORD)), "acknowledgement_foreign"),
    "no roster": (evidence(rosters=()), "roster_missing"),
    "a roster": (evidence(rosters=(_flipped(ROSTER),)), "roster_unproven"),
    "a roster that is none": (evidence(rosters=(b"\xa0",)), "roster_unproven"),
    "a roster of a forger": (evidence(rosters=(signed_roster(1, BG, HU, RO, signer=TR),)), "roster_unproven"),
    "one of two rosters": (evidence(rosters=(ROSTER, _flipped(ROSTER))), "roster_unproven"),
    "a roster without the sender": (evidence(rosters=(signed_roster(1, BG, HU),)), "sender_unknown"),
    "a roster without a recipient": (evidence(rosters=(signed_roster(1, HU, RO),)), "sender_unknown"),
    "a roster of another time": (
        evidence(rosters=(signed_roster(1, BG, HU, RO, begin=NOW + 1, end=NOW + HOUR),)),
        "key_not_valid",
    ),
    "the envelope's signature": (evidence(envelope=_flipped(ENVELOPE)), "signature_invalid"),
    "the envelope cut short": (evidence(envelope=ENVELOPE[:-1]), "envelope_malformed"),
    "another envelope": (evidence(envelope=sealed(BODY, "ro", ("bg", "hu"))), "entry_foreign"),
    "the nonce": (evidence(content=_flipped(CONTENT, 0)), "digest_mismatch"),
    "the body": (evidence(content=_flipped(CONTENT)), "digest_mismatch"),
    "content without its envelope": (evidence(envelope=None, stated=digest_of(ENVELOPE)), "content_unbound"),
}


@pytest.mark.parametrize(("bundle", "code"), ALTERED.values(), ids=ALTERED)
def test_each_alteration_has_its_code(bundle: Evidence, code: str) -> None:
    assert _code(bundle) == code


@pytest.mark.parametrize(
    "changes",
    [
        {"message": HEADER.id.__class__(int=7)},
        {"node": "tr"},
        {"sender": "tr"},
        {"recipients": ("bg",)},
        {"task_force": "fraud"},
        {"kind": "reply"},
        {"kind_version": 2},
        {"operation": "x"},
        {"priority": "urgent"},
        {"handling": "H0"},
        {"created": NOW + 1},
        {"thread": None},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_an_entry_that_is_not_as_the_sender_signed_is_told_with_the_field(changes: dict[str, Any]) -> None:
    with pytest.raises(CryptoError, match=f": .*{next(iter(changes))}") as refusal:
        verify_evidence(evidence(accepted(**changes), words=()), POLICY)
    assert refusal.value.code == "entry_contradicts"


WORDS = {
    "signed by another": (word(HU, ITEM, recipient="bg"), "key_unknown"),
    "altered": (_flipped(BG_WORD), "acknowledgement_unproven"),
    "no acknowledgement": (b"\xa0", "acknowledgement_unproven"),
    "another recipient's": (word(HU, ITEM), "acknowledgement_contradicts"),
    "to another sender": (word(BG, ITEM, sender="hu"), "acknowledgement_contradicts"),
    "of another envelope": (word(BG, OTHER), "acknowledgement_contradicts"),
    "of another message": (
        word(BG, ITEM.model_copy(update={"id": HEADER.id.__class__(int=1)})),
        "acknowledgement_contradicts",
    ),
    "of another outcome": (
        word(BG, ITEM.model_copy(update={"outcome": "declined", "code": "body_invalid"})),
        "acknowledgement_contradicts",
    ),
    "with another code": (word(BG, ITEM.model_copy(update={"code": "expired"})), "acknowledgement_contradicts"),
    "signed when the key was not valid": (word(BG, ITEM, at=NOW + 2 * HOUR), "key_not_valid"),
}


@pytest.mark.parametrize(("signed", "code"), WORDS.values(), ids=WORDS)
def test_the_hub_s_word_of_a_delivery_is_not_taken_for_the_recipient_s(signed: bytes, code: str) -> None:
    assert _code(evidence(accepted(), answered("bg", signed), words=(signed,))) == code


def test_two_histories_of_one_log_are_told() -> None:
    first, second = proofs_of(accepted(), more=2), proofs_of(refused(), answered("bg", BG_WORD), more=1)
    assert _code(evidence(proofs=(first[0], second[1]), words=(BG_WORD,))) == "log_forked"
    # Of different sizes, with different entries in one place.
    longer = proofs_of(answered("bg", BG_WORD), more=4)
    assert _code(evidence(proofs=(first[0], longer[0]), words=(BG_WORD,))) == "log_forked"


def test_entries_of_two_logs_are_no_one_story() -> None:
    policy = Policy.of([LOG.verifier, ELSEWHERE.verifier], [], 0)
    first, second = proofs_of(accepted()), proofs_of(accepted(), answered("bg", BG_WORD), log=ELSEWHERE)
    assert _code(evidence(proofs=(first[0], second[1]), words=(BG_WORD,)), policy) == "entry_foreign"


def test_a_leaf_that_is_no_entry_is_told() -> None:
    broken = accepted().model_copy(update={"detail": 7})
    assert _code(evidence(proofs=proofs_of(broken), words=())) == "control_malformed"


def test_a_log_that_is_known_by_a_post_quantum_key_only_vouches_for_no_roster() -> None:
    pq = Cosigner(ORIGIN, MlDsaKey.from_seed(bytes(32)))
    policy = Policy.of([pq.verifier], [], 0)
    plain = evidence(accepted(), words=())
    [proof] = plain.proofs
    note = add_cosignatures(proof.checkpoint, cosign(proof.checkpoint, pq, AT), [pq.verifier])
    alone = evidence(proofs=(replace(proof, checkpoint=note),), words=())
    assert _code(alone, policy) == "roster_key_missing"


def _changed(**changes: Any) -> bytes:
    fields = json.loads(evidence().to_bytes()) | changes
    return json.dumps({name: value for name, value in fields.items() if value is not None}).encode()


TEXT = base64.b64encode(bytes(32)).decode()
MALFORMED = {
    "nothing": b"",
    "no JSON": b"{",
    "no UTF-8": b"\xff",
    "a list": b"[]",
    "depth": b"[" * 100_000,
    "size": b" " * (MAX_EVIDENCE + 1),
    "another format": _changed(format="seci.exchange/evidence@v2"),
    "no format": _changed(format=None),
    "another field": _changed(more=1),
    "a field twice": evidence().to_bytes().replace(b"{", b'{"format": "x",', 1),
    "envelope and digest": _changed(digest=TEXT),
    "neither": _changed(envelope=None),
    "a digest too short": _changed(envelope=None, digest="AAAA"),
    "loose bits": _changed(envelope="AB=="),
    "no text": _changed(envelope=7),
    "no proofs": _changed(proofs=None),
    "proofs in an object": _changed(proofs={}),
    "a proof that is none": _changed(proofs=["x"]),
    "a proof that is no text": _changed(proofs=[7]),
    "too many rosters": _changed(rosters=[""] * 201),
    "acknowledgements that are no texts": _changed(acknowledgements=[[]]),
    "content without nonce": _changed(content={"body": ""}),
    "content with more": _changed(content={"nonce": TEXT, "body": "", "more": ""}),
    "content with a short nonce": _changed(content={"nonce": "AAAA", "body": ""}),
    "content that is a text": _changed(content=TEXT),
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_bundle_is_refused_as_such(data: bytes) -> None:
    with pytest.raises(EvidenceMalformed):
        Evidence.from_bytes(data)


def test_every_byte_of_a_bundle_counts() -> None:
    data = evidence().to_bytes()
    for place in range(0, len(data), 97):
        altered = _flipped(data, place)
        try:
            found = verify_evidence(Evidence.from_bytes(altered), POLICY)
        except (CryptoError, ControlRefused):
            continue
        # White space, or an escape of the same text, may differ: nothing that is said may.
        assert found == verify_evidence(evidence(), POLICY)


def test_declining_needs_the_recipient_s_own_word_too() -> None:
    assert _code(evidence(accepted(), declined(), words=())) == "acknowledgement_missing"
