"""Another key takes the hub's place by what both have signed, each key is good for what is of its time, and no more."""

from dataclasses import replace
from typing import Any

import pytest

from crypto import cose
from crypto.bundle import Evidence
from crypto.errors import (
    CryptoError,
    HandoverForked,
    HandoverUnlogged,
    HubKeyForeign,
    NoteInvalid,
    ReceiptInvalid,
    RosterUnproven,
    SignatureInvalid,
    TooLarge,
)
from crypto.evidence import verify_evidence
from crypto.handover import HANDOVER_TYPE, VOUCHED_TYPE, open_handover, open_handover_news, sign_handover
from crypto.hubkeys import HubKeys, open_checkpoint
from crypto.keys import SigningKey
from crypto.merkle import leaf_hash
from crypto.note import Checkpoint, NoteSigner, sign_note
from crypto.policy import Policy
from crypto.trust import open_roster, sign_roster
from schemas.control import ControlRefused
from schemas.handover import Handover, HandoverNews
from tests.crypto import exhibits
from tests.crypto.handing import NEW, NEWER, OLD, ORIGIN, THIEF, before, handover, news, signer, told
from tests.crypto.people import NOW, RO, Person, roster_key, roster_node, roster_of

STEP = handover()
NEXT = handover(NEW, NEWER, size=10, roster=5)
SIGNED = sign_handover(STEP, OLD, NEW)


def note(size: int, *signers: NoteSigner) -> str:
    """A checkpoint of so many entries."""
    return sign_note(Checkpoint(ORIGIN, size, leaf_hash(b"%d" % size)).text(), *signers)


def roster(version: int, by: SigningKey) -> bytes:
    """A roster of that version."""
    found = roster_of(roster_node("ro", roster_key(RO.signing)))
    return sign_roster(found.model_copy(update={"version": version}), by)


def test_a_handover_is_opened_with_both_keys() -> None:
    assert open_handover(SIGNED) == STEP


@pytest.mark.parametrize("keys", [(THIEF, NEW), (OLD, THIEF), (NEW, OLD), (OLD, OLD)])
def test_a_handover_that_not_both_keys_have_signed_is_none(keys: tuple[SigningKey, SigningKey]) -> None:
    with pytest.raises(SignatureInvalid):
        open_handover(sign_handover(STEP, *keys))


def test_a_handover_by_the_old_key_alone_is_none() -> None:
    inner = cose.sign1(STEP.to_bytes(), HANDOVER_TYPE, THIEF)
    with pytest.raises(SignatureInvalid):
        open_handover(cose.sign1(inner, VOUCHED_TYPE, OLD))
    with pytest.raises(CryptoError):
        open_handover(cose.sign1(STEP.to_bytes(), VOUCHED_TYPE, OLD))


def test_a_key_does_not_hand_over_to_itself() -> None:
    with pytest.raises(SignatureInvalid):
        open_handover(sign_handover(handover(OLD, OLD), OLD, OLD))


@pytest.mark.parametrize("place", range(0, len(SIGNED), 7))
def test_no_byte_of_a_handover_may_be_changed(place: int) -> None:
    changed = SIGNED[:place] + bytes([SIGNED[place] ^ 1]) + SIGNED[place + 1 :]
    with pytest.raises((CryptoError, ControlRefused)):
        open_handover(changed)


def test_a_handover_has_its_size() -> None:
    with pytest.raises(TooLarge):
        open_handover(SIGNED + bytes(2048))


@pytest.mark.parametrize("known", [OLD, NEW, NEWER])
def test_from_any_of_its_keys_all_are_known(known: SigningKey) -> None:
    keys = HubKeys.of(signer(known).verifier, [NEXT, STEP, handover(origin="another"), handover(THIEF, RO.signing)])
    assert [term.key for term in keys.terms] == [signer(key).verifier for key in (OLD, NEW, NEWER)]
    assert [(term.first, term.last, term.after, term.until) for term in keys.terms] == [
        (0, 4, 0, 2),
        (4, 11, 2, 5),
        (11, None, 5, None),
    ]
    assert (keys.newest, keys.first, keys.boundaries) == (signer(NEWER).verifier, signer(OLD).verifier, (4, 11))


def test_without_handovers_a_key_is_good_for_all() -> None:
    keys = HubKeys.of(signer(OLD).verifier, [NEXT])
    assert open_checkpoint(note(1 << 40, signer(OLD)), keys).size == 1 << 40
    assert open_roster(roster(1000, OLD), keys).version == 1000


@pytest.mark.parametrize("second", [handover(OLD, THIEF), handover(THIEF, NEW), handover(size=4)])
def test_a_key_hands_over_once_and_is_handed_over_to_once(second: Handover) -> None:
    with pytest.raises(HandoverForked):
        HubKeys.of(signer(OLD).verifier, [STEP, second])


def test_a_key_that_was_replaced_does_not_come_back() -> None:
    keys = HubKeys.of(signer(OLD).verifier, [STEP, handover(NEW, OLD, size=10, roster=5)])
    assert keys.newest == signer(NEW).verifier
    assert len(keys.terms) == 2


@pytest.mark.parametrize(("size", "by"), [(1, OLD), (4, OLD), (4, NEW), (11, NEW), (11, NEWER), (900, NEWER)])
def test_a_checkpoint_is_opened_with_the_key_of_its_time(size: int, by: SigningKey) -> None:
    keys = HubKeys.of(signer(NEW).verifier, [STEP, NEXT])
    assert open_checkpoint(note(size, signer(by)), keys).size == size


@pytest.mark.parametrize(("size", "by"), [(5, OLD), (12, OLD), (3, NEW), (12, NEW), (10, NEWER), (4, THIEF)])
def test_no_key_is_good_for_a_checkpoint_of_another_time(size: int, by: SigningKey) -> None:
    keys = HubKeys.of(signer(NEW).verifier, [STEP, NEXT])
    with pytest.raises(HubKeyForeign):
        open_checkpoint(note(size, signer(by)), keys)


def test_a_checkpoint_with_a_wrong_signature_of_its_time_s_key_is_none() -> None:
    keys, good = HubKeys.of(signer(NEW).verifier, [STEP]), note(3, signer(OLD))
    with pytest.raises(NoteInvalid, match="does not match"):
        open_checkpoint(note(2, signer(OLD)).partition("\n\n")[0] + "\n\n" + good.partition("\n\n")[2], keys)


@pytest.mark.parametrize(("version", "by"), [(1, OLD), (2, OLD), (3, NEW), (5, NEW), (6, NEWER)])
def test_a_roster_is_opened_with_the_key_of_its_time(version: int, by: SigningKey) -> None:
    assert open_roster(roster(version, by), HubKeys.of(signer(OLD).verifier, [STEP, NEXT])).version == version


@pytest.mark.parametrize(("version", "by"), [(3, OLD), (2, NEW), (6, NEW), (5, NEWER)])
def test_no_key_is_good_for_a_roster_of_another_time(version: int, by: SigningKey) -> None:
    with pytest.raises(HubKeyForeign):
        open_roster(roster(version, by), HubKeys.of(signer(OLD).verifier, [STEP, NEXT]))
    with pytest.raises(SignatureInvalid):
        open_roster(roster(version, THIEF), HubKeys.of(signer(OLD).verifier, [STEP, NEXT]))


def test_a_handover_is_proven_by_its_own_entry_under_both_keys() -> None:
    found = open_handover_news(_received(news(told(STEP), before(3), signer(NEW), signer(OLD))), ORIGIN)
    assert (found.handover, found.checkpoint.size) == (STEP, 4)


def _received(sent: HandoverNews) -> HandoverNews:
    return HandoverNews.from_bytes(sent.to_bytes())


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (news(told(STEP), before(3), signer(OLD)), NoteInvalid),
        (news(told(STEP), before(3), signer(NEW)), NoteInvalid),
        (news(told(STEP), before(3), signer(NEW), signer(OLD), more=1), HandoverUnlogged),
        (news(told(STEP), before(2), signer(NEW), signer(OLD)), HandoverUnlogged),
        (news(told(STEP), [*before(2), leaf_hash(b"another")], signer(NEW), signer(OLD)), HandoverUnlogged),
        (news(told(STEP), before(3), signer(NEW, "another"), signer(OLD, "another")), ReceiptInvalid),
        (
            news(replace(told(STEP), entry=told(handover(at=NOW + 1)).entry), before(3), signer(NEW), signer(OLD)),
            HandoverUnlogged,
        ),
    ],
)
def test_a_handover_that_is_not_proven_is_none(sent: HandoverNews, error: type[Exception]) -> None:
    with pytest.raises(error):
        open_handover_news(sent, ORIGIN)


# The message's way was on record with the old key; its last answer, and the roster after that, with the new one.
ENTRIES = (exhibits.accepted(), exhibits.answered("bg", exhibits.BG_WORD), exhibits.declined())
CROSSED = handover(size=5, roster=1)
HEIR = Person("hub", NEW, exhibits.HUB.encryption)


def _across(**changes: Any) -> Evidence:
    """Proofs under a checkpoint of the old key's time, and one of the new key's."""
    early = exhibits.proofs_of(*ENTRIES, more=1)[:2]
    late = exhibits.proofs_of(*ENTRIES, log=signer(NEW), more=9)[2:]
    rosters = exhibits.ROSTER, exhibits.signed_roster(2, exhibits.BG, exhibits.HU, RO, signer=HEIR)
    whole = {"proofs": (*early, *late), "rosters": rosters, "handovers": (sign_handover(CROSSED, OLD, NEW),)}
    return Evidence.from_bytes(replace(exhibits.evidence(), **(whole | changes)).to_bytes())


@pytest.mark.parametrize("listed", [(OLD,), (NEW,), (OLD, NEW)])
def test_a_bundle_from_before_and_after_a_handover_is_proven_by_either_key(listed: tuple[SigningKey, ...]) -> None:
    policy = Policy.of([signer(key).verifier for key in listed], [], 0)
    found = verify_evidence(_across(), policy)
    assert [answer.recipient for answer in found.answers] == ["bg", "hu"]


def test_without_the_handover_a_bundle_proves_what_the_policy_s_own_key_signed_alone() -> None:
    for key in (OLD, NEW):
        with pytest.raises(NoteInvalid):
            verify_evidence(_across(handovers=()), Policy.of([signer(key).verifier], [], 0))


def test_what_a_thief_signs_with_the_old_key_after_the_handover_proves_nothing() -> None:
    stolen = exhibits.proofs_of(*ENTRIES, more=9)
    for key in (OLD, NEW):
        with pytest.raises(NoteInvalid):
            verify_evidence(_across(proofs=stolen), Policy.of([signer(key).verifier], [], 0))
    forged = exhibits.signed_roster(2, exhibits.BG, exhibits.HU, RO)
    with pytest.raises(RosterUnproven):
        verify_evidence(_across(rosters=(forged,)), Policy.of([signer(NEW).verifier], [], 0))


def test_a_thief_s_handover_leads_from_no_key_of_the_policy_to_another() -> None:
    foreign = sign_handover(handover(THIEF, NEW, size=5, roster=1), THIEF, NEW)
    with pytest.raises(NoteInvalid):
        verify_evidence(_across(handovers=(foreign,)), Policy.of([signer(OLD).verifier], [], 0))
    second = sign_handover(handover(OLD, THIEF, size=5, roster=1), OLD, THIEF)
    with pytest.raises(HandoverForked):
        verify_evidence(_across(handovers=(*_across().handovers, second)), Policy.of([signer(OLD).verifier], [], 0))
