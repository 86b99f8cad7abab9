"""Renewal requests: who may ask, what is listed then, and for how long the old keys are."""

from collections.abc import Callable
from typing import Any

import pytest

from crypto import cose
from crypto.authorities import sign_held
from crypto.keys import EncryptionKey, SigningKey
from crypto.renewal import PROOF_TYPE, RENEWAL_TYPE, open_renewal, sign_renewal
from crypto.trust import Trust
from hub.errors import RenewalRefused
from hub.judge import Arrival, Renewing, Reporting, Unreadable, judge
from hub.registrar import DAY_MS, KEY_DAYS, Unsigned
from hub.renewing import LISTED_MS, MOST_KEYS, OVERLAP_MS, renewed
from hub.standing import changed
from schemas.authorities import AuthoritiesHeld
from schemas.control import Event, MessageType
from schemas.renewal import RenewalRequest
from schemas.roster import Cause, KeyUse, NodeState, Roster, RosterNode
from tests.crypto.people import BG, HOUR, NOW, RO, roster_key, roster_node, roster_of, trust

NEW, SEALING = SigningKey.generate(), EncryptionKey.generate()
FAR = NOW + 400 * DAY_MS


def _request(**changes: Any) -> RenewalRequest:
    fields: dict[str, Any] = {
        "node": "ro",
        "at": NOW,
        "signing": NEW.public.public_bytes(),
        "encryption": SEALING.public.public_bytes(),
    }
    return RenewalRequest(**fields | changes)


def _arrival(body: bytes, node: str = "ro") -> Arrival:
    return Arrival(node, MessageType.RENEWAL, body, 1)


def _roster() -> Unsigned:
    keys = [roster_key(RO.signing, end=FAR), roster_key(RO.encryption, end=FAR)]
    others = [roster_key(BG.signing, end=FAR), roster_key(BG.encryption, end=FAR)]
    return Unsigned(3, (roster_node("bg", *others), roster_node("ro", *keys)))


def _trust(nodes: tuple[RosterNode, ...]) -> Trust:
    return Trust.of(Roster(version=4, at=NOW, nodes=nodes))


def test_a_request_is_signed_with_the_old_key_and_with_the_new_one() -> None:
    said = judge(_arrival(sign_renewal(_request(), RO.signing, NEW)), trust(), NOW)
    assert isinstance(said, Renewing)
    assert said.request == _request()
    only = _request(signing=None)
    assert open_renewal(sign_renewal(only, RO.signing, None), trust()) == only


def _stolen(request: RenewalRequest) -> bytes:
    # The new key is another's: who asks has no signature of it.
    return cose.sign1(cose.sign1(request.to_bytes(), PROOF_TYPE, BG.signing), RENEWAL_TYPE, RO.signing)


def _unproven(request: RenewalRequest) -> bytes:
    return cose.sign1(request.to_bytes(), RENEWAL_TYPE, RO.signing)


def _by_another(request: RenewalRequest) -> bytes:
    return sign_renewal(request, BG.signing, NEW)


@pytest.mark.parametrize(
    ("made", "code"),
    [(_stolen, "signature_invalid"), (_unproven, "key_unusable"), (_by_another, "key_unknown")],
)
def test_a_request_without_proof_goes_into_quarantine(made: Callable[[RenewalRequest], bytes], code: str) -> None:
    assert judge(_arrival(made(_request())), trust(), NOW) == Unreadable(_arrival(made(_request())), code)


@pytest.mark.parametrize(
    ("node", "now", "code"),
    [
        ("bg", NOW, "sender_mismatch"),
        ("ro", NOW + 25 * HOUR, "time_implausible"),
        ("ro", NOW - HOUR, "time_implausible"),
    ],
)
def test_a_request_comes_by_its_own_queue_and_in_time(node: str, now: int, code: str) -> None:
    said = judge(_arrival(sign_renewal(_request(), RO.signing, NEW), node), trust(), now)
    assert isinstance(said, Unreadable) and said.reason == code


def test_a_key_that_was_replaced_lists_no_other_one() -> None:
    # It is good for a day more, and `at` may lie a day back: long enough for who has stolen it.
    after, thief = _trust(renewed(_roster(), _request(), NOW)), SigningKey.generate()
    for at in (NOW, NOW + HOUR):
        for changes in ({"signing": thief.public.public_bytes()}, {"signing": None}):
            new = None if changes["signing"] is None else thief
            stolen = sign_renewal(_request(at=at, **changes), RO.signing, new)
            said = judge(_arrival(stolen), after, NOW + HOUR)
            assert isinstance(said, Unreadable) and said.reason == "key_not_valid"
    # The node itself goes on asking until it knows that its new keys are listed, and then with the new one.
    for body in (
        sign_renewal(_request(), RO.signing, NEW),
        sign_renewal(_request(signing=None), NEW, None),
        sign_renewal(_request(signing=thief.public.public_bytes()), NEW, thief),
    ):
        assert isinstance(judge(_arrival(body), after, NOW + HOUR), Renewing)


def test_a_key_that_has_ended_asks_for_no_other_however_it_dates_that() -> None:
    ended = roster_node("ro", roster_key(RO.signing, end=NOW), roster_key(RO.encryption, end=NOW))
    body = sign_renewal(_request(at=NOW - HOUR), RO.signing, NEW)
    assert isinstance(judge(_arrival(body), _trust((ended,)), NOW - 1), Renewing)
    assert judge(_arrival(body), _trust((ended,)), NOW + 1) == Unreadable(_arrival(body), "key_not_valid")


def test_new_keys_are_used_at_once_and_the_old_ones_go_on_for_a_day() -> None:
    nodes = renewed(_roster(), _request(), NOW)
    after = _trust(nodes)
    assert after.sealing_key("ro", NOW).public_bytes() == SEALING.public.public_bytes()
    for key, last in ((RO.signing, NOW + OVERLAP_MS - 1), (NEW, NOW + KEY_DAYS * DAY_MS - 1)):
        assert after.signing_key("ro", key.public.key_id, last) == key.public
    # Long listed, so that what was signed before is understood; and another node's are as they were.
    assert {key.public for key in nodes[1].keys} >= {RO.signing.public.public_bytes()}
    assert nodes[0] == _roster().nodes[0]
    assert renewed(Unsigned(4, nodes), _request(), NOW + HOUR) == nodes
    gone = renewed(
        Unsigned(4, nodes), _request(signing=SigningKey.generate().public.public_bytes()), NOW + 2 * LISTED_MS
    )
    assert RO.signing.public.public_bytes() not in {key.public for key in gone[1].keys}


def test_one_key_may_be_renewed_alone() -> None:
    nodes = renewed(_roster(), _request(signing=None), NOW)
    uses = [key.use for key in nodes[1].keys]
    assert (uses.count(KeyUse.SIGN), uses.count(KeyUse.SEAL)) == (1, 2)
    assert _trust(nodes).signing_key("ro", RO.signing.public.key_id, FAR - 1) == RO.signing.public


@pytest.mark.parametrize(
    "changes",
    [
        {"signing": BG.signing.public.public_bytes()},
        {"witness": RO.signing.public.public_bytes()},
        {"encryption": bytes(1216)},
        {"signing": b"\x07" + bytes(32)},
        {"node": "hu"},
    ],
)
def test_a_key_that_is_another_s_or_none_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(RenewalRefused):
        renewed(_roster(), _request(**changes), NOW)


def test_a_node_cannot_fill_the_roster_with_keys() -> None:
    roster = _roster()
    with pytest.raises(RenewalRefused, match="too often"):
        for _ in range(MOST_KEYS + 1):
            new = SigningKey.generate().public.public_bytes()
            roster = Unsigned(4, renewed(roster, _request(signing=new, encryption=None), NOW))
    assert len(roster.nodes[1].keys) == MOST_KEYS + 1
    assert roster_of(*roster.nodes)


def test_a_word_on_authorities_counts_if_it_is_the_node_s_own_of_today() -> None:
    held = AuthoritiesHeld(node="ro", at=NOW, authorities=(bytes(32),), issuer=bytes(32))

    def judged(held: AuthoritiesHeld, key: SigningKey, now: int = NOW, node: str = "ro") -> Reporting | Unreadable:
        said = judge(Arrival(node, MessageType.AUTHORITIES_HELD, sign_held(held, key), 1), trust(), now)
        assert isinstance(said, Reporting | Unreadable)
        return said

    said = judged(held, RO.signing)
    assert isinstance(said, Reporting) and said.held == held
    assert isinstance(judged(held, BG.signing), Unreadable)
    assert isinstance(judged(held, RO.signing, node="bg"), Unreadable)
    assert isinstance(judged(held, RO.signing, NOW + 2 * DAY_MS), Unreadable)
    # Its key has ended since.
    assert isinstance(judged(held, RO.signing, NOW + 2 * HOUR), Unreadable)


@pytest.mark.parametrize(
    ("state", "reason"), [(NodeState.SUSPENDED, "sender_suspended"), (NodeState.REVOKED, "key_revoked")]
)
def test_who_was_shut_out_gets_no_new_keys(state: NodeState, reason: str) -> None:
    event = Event.SUSPENDED if state is NodeState.SUSPENDED else Event.REVOKED
    bg, ro = _roster().nodes
    roster = Unsigned(4, (bg, changed(ro, event, Cause.KEY_COMPROMISE, NOW)))
    body = sign_renewal(_request(), RO.signing, NEW)
    assert judge(_arrival(body), _trust(roster.nodes), NOW) == Unreadable(_arrival(body), reason)
    # Also if it had asked before.
    with pytest.raises(RenewalRefused, match="takes no part"):
        renewed(roster, _request(), NOW)
