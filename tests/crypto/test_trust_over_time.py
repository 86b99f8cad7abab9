"""Rosters one after another: what somebody said is judged by the one of its time, and what a thief backdates is not."""

from dataclasses import replace

import pytest

from crypto.envelope import verify
from crypto.errors import CryptoError, KeyRevoked, KeyUnknown, RecipientsMismatch, SenderUnknown
from crypto.evidence import verify_evidence
from crypto.trust import Earlier, Trust, open_acknowledgement, sign_roster
from schemas.header import Header
from schemas.roster import Cause, NodeState, Roster, RosterKey, RosterNode, Standing
from tests.crypto.exhibits import BG_WORD, POLICY, accepted, answered, evidence, proofs_of, refused
from tests.crypto.people import BG, HOUR, HU, HUB, NOW, RO, TR, Person, roster_key, roster_node, sealed

LATER = NOW + 10_000


def _node(who: Person, revoked: int | None = None, standing: Standing | None = None) -> RosterNode:
    keys = (roster_key(key).model_copy(update={"revoked": revoked}) for key in (who.signing, who.encryption))
    return roster_node(who.node, *keys).model_copy(update={"standing": standing})


def _trust(*rosters: Roster) -> Trust:
    """Of these, in the order of their versions."""
    older = [Earlier(sign_roster(roster, HUB.signing), HUB.signing.public) for roster in rosters[:-1]]
    return Trust.of(rosters[-1], older[::-1])


def _roster(version: int, at: int, *nodes: RosterNode) -> Roster:
    return Roster(version=version, at=at, nodes=nodes)


FIRST = _roster(1, NOW - HOUR, _node(BG), _node(RO))
KID = RO.signing.public.key_id


def test_a_key_is_looked_up_in_the_roster_of_its_time() -> None:
    trust = _trust(FIRST, _roster(2, NOW, _node(BG), _node(TR)), _roster(3, LATER, _node(BG), _node(RO), _node(TR)))
    versions = [trust.then(at).roster.version for at in (0, NOW - 1, NOW, LATER - 1, LATER, LATER + HOUR)]
    assert versions == [1, 1, 2, 2, 3, 3]
    assert trust.signing_key("ro", KID, NOW - 1) == RO.signing.public
    with pytest.raises(SenderUnknown, match="version 2"):
        trust.signing_key("ro", KID, NOW)
    with pytest.raises(SenderUnknown, match="version 1"):
        trust.signing_key("tr", TR.signing.public.key_id, NOW - 1)


def test_a_revoked_key_is_none_whatever_time_is_stated_unless_it_was_on_record() -> None:
    trust = _trust(FIRST, _roster(2, NOW, _node(BG), _node(RO, revoked=NOW)))
    for at in (NOW - 1, NOW, NOW + 1):
        with pytest.raises(KeyRevoked, match="roster 2"):
            trust.signing_key("ro", KID, at)
    seen: list[RosterKey] = []
    assert trust.signing_key("ro", KID, NOW - 1, lambda key: not seen.append(key)) == RO.signing.public
    assert [key.revoked for key in seen] == [NOW]
    with pytest.raises(KeyUnknown):
        trust.sealing_key("ro", NOW)


def test_an_acknowledgement_of_a_revoked_key_holds_if_it_was_on_record() -> None:
    trust = _trust(_roster(1, NOW, _node(BG), _node(HU)), _roster(2, LATER, _node(BG, revoked=LATER), _node(HU)))
    with pytest.raises(KeyRevoked):
        open_acknowledgement(BG_WORD, trust)
    assert open_acknowledgement(BG_WORD, trust, lambda key: True).recipient == "bg"


def test_a_message_on_its_way_may_be_closed_to_a_key_that_is_revoked_since() -> None:
    envelope = sealed()
    trust = _trust(FIRST, _roster(2, LATER, _node(BG, revoked=LATER), _node(RO)), _roster(3, LATER + 1, _node(RO)))
    verified = verify(envelope, trust.signer_of)
    trust.check_recipient_keys(verified, NOW)
    with pytest.raises(RecipientsMismatch):
        # But not one that comes only now; nor one from after it was taken out.
        trust.check_recipient_keys(verified)
    with pytest.raises(RecipientsMismatch):
        trust.check_recipient_keys(verified, LATER + 1)


def test_who_takes_no_part_is_no_member() -> None:
    standing = Standing(state=NodeState.SUSPENDED, since=NOW, cause=Cause.CERTIFICATE_HOLD)
    trust = _trust(_roster(1, NOW, _node(BG, standing=standing), _node(RO)))
    assert trust.members("drugs") == ("ro",)


def test_absent_fields_are_left_out_so_older_programs_read_the_roster() -> None:
    assert b"revoked" not in FIRST.to_bytes()
    assert b"standing" not in FIRST.to_bytes()
    assert b"crl" not in FIRST.to_bytes()
    later = _roster(2, NOW, _node(RO, NOW, Standing(state=NodeState.REVOKED, since=NOW, cause=Cause.KEY_COMPROMISE)))
    assert Roster.from_bytes(later.to_bytes()) == later


def _shown(at: int) -> tuple[bytes, ...]:
    nodes = (_node(BG), _node(HU), _node(RO, revoked=at))
    return (sign_roster(_roster(2, LATER, *nodes), HUB.signing),)


def test_what_was_accepted_before_stays_proven_and_the_revocation_is_told() -> None:
    # The entry is of NOW + 1000.
    found = verify_evidence(replace(evidence(), rosters=_shown(NOW + 1_000)), POLICY)
    assert found.signed is not None
    assert (found.signed.revoked, found.signed.roster.version) == (NOW + 1_000, 2)
    assert [answer.revoked for answer in found.answers] == [None, None]
    with pytest.raises(KeyRevoked):
        verify_evidence(replace(evidence(), rosters=_shown(NOW + 999)), POLICY)


def test_that_a_revoked_key_s_message_was_refused_is_proven_too() -> None:
    shown = replace(evidence(), proofs=proofs_of(refused()), acknowledgements=(), rosters=_shown(NOW))
    assert verify_evidence(shown, POLICY).signed is not None


def test_a_recipient_s_word_on_record_after_its_key_was_revoked_is_none() -> None:
    nodes = (_node(BG, revoked=NOW + 2_999), _node(HU), _node(RO))
    rosters = (sign_roster(_roster(2, LATER, *nodes), HUB.signing),)
    late = replace(evidence(), proofs=proofs_of(accepted(), answered("bg", BG_WORD)), acknowledgements=(BG_WORD,))
    with pytest.raises(CryptoError) as refusal:
        verify_evidence(replace(late, rosters=rosters), POLICY)
    assert refusal.value.code == "key_revoked"


def test_the_header_s_time_is_what_counts() -> None:
    trust = _trust(_roster(1, NOW - HOUR, _node(BG)), _roster(2, LATER, _node(BG), _node(RO)))
    with pytest.raises(SenderUnknown):
        verify(sealed(), trust.signer_of)
    assert isinstance(verify(sealed(created=LATER, expires=LATER + HOUR), trust.signer_of).header, Header)
