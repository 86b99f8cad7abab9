"""The hub's verdicts: each rule of the policy, by its code."""

from typing import Any

import pytest

from crypto.trust import Earlier, Trust, sign_acknowledgement, sign_roster
from hub.judge import CLOCK_AHEAD_MS, OLDEST_MS, Acceptable, Acknowledged, Arrival, Refusable, Unreadable, judge
from schemas.codes import Agency, Handling
from schemas.control import AcknowledgedMessage, Acknowledgement, MessageType, Outcome
from schemas.header import LAST_MILLI, MAX_LIFETIME_MS
from schemas.refusals import RefusalCode
from schemas.roster import Cause, NodeState, Roster, RosterNode, Standing
from tests.crypto.people import BG, HOUR, HUB, NAMES, NOW, RO, sealed, trust
from tests.schemas.strategies import FIXED_ID


def _arrival(body: bytes, node: str = "ro", type: str = MessageType.ENVELOPE) -> Arrival:
    return Arrival(node, type, body, 1)


def test_a_member_may_write_to_members() -> None:
    verdict = judge(_arrival(sealed()), trust(), NOW)
    assert isinstance(verdict, Acceptable)
    assert verdict.message == FIXED_ID


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"task_force": "piracy"}, "task_force_unknown"),
        ({"task_force": "fraud"}, "not_a_member"),
        ({"kind": "poem"}, "kind_unknown"),
        ({"kind_version": 2}, "kind_unknown"),
        ({"agency": Agency.JUDICIAL}, "agency_not_of_sender"),
    ],
)
def test_the_policy_refuses_by_code(changes: dict[str, Any], code: str) -> None:
    verdict = judge(_arrival(sealed(**changes)), trust(), NOW)
    assert isinstance(verdict, Refusable)
    assert verdict.code == code
    assert verdict.message == FIXED_ID


@pytest.mark.parametrize(
    ("handling", "recipients", "code"),
    [
        ("H3", ("bg", "hu", "seci"), None),
        ("H1", ("bg",), RefusalCode.POLICY_REFUSED),
        ("H3", tuple(sorted(NAMES)), RefusalCode.POLICY_REFUSED),
    ],
)
def test_a_witness_s_movement_gets_the_care_that_it_asks_for(
    handling: str, recipients: tuple[str, ...], code: str | None
) -> None:
    said = sealed(kind="witness.movement", handling=Handling(handling), recipients=recipients)
    assert getattr(judge(_arrival(said), trust(), NOW), "code", None) == code


@pytest.mark.parametrize(
    ("now", "code"),
    [
        (NOW - CLOCK_AHEAD_MS - 1, "created_in_future"),
        (NOW + HOUR, "expired"),
        (NOW + OLDEST_MS + 1, "created_too_old"),
    ],
)
def test_the_clock_decides(now: int, code: str) -> None:
    verdict = judge(_arrival(sealed()), trust(), now)
    assert isinstance(verdict, Refusable)
    assert verdict.code == code


def test_a_message_is_valid_for_a_year_at_most() -> None:
    # So a sender cannot keep what the ledger says of it from being erased.
    assert isinstance(judge(_arrival(sealed(expires=NOW + MAX_LIFETIME_MS)), trust(), NOW), Acceptable)
    for expires in (NOW + MAX_LIFETIME_MS + 1, LAST_MILLI):
        verdict = judge(_arrival(sealed(expires=expires)), trust(), NOW)
        assert isinstance(verdict, Refusable)
        assert verdict.code == "expires_too_late"


def test_a_clock_five_minutes_ahead_is_borne() -> None:
    assert isinstance(judge(_arrival(sealed()), trust(), NOW - CLOCK_AHEAD_MS), Acceptable)


def test_only_the_signer_may_publish_a_message() -> None:
    verdict = judge(_arrival(sealed(), node="bg"), trust(), NOW)
    assert isinstance(verdict, Refusable)
    assert verdict.code == "sender_mismatch"


def test_an_envelope_over_the_limit_is_refused_and_not_parsed() -> None:
    verdict = judge(_arrival(bytes(2 * 1024 * 1024)), trust(), NOW)
    assert isinstance(verdict, Refusable)
    assert (verdict.code, verdict.message) == ("too_large", None)


@pytest.mark.parametrize("body", [b"", b"\x00", b"\xff" * 100, sealed()[:-1]])
def test_what_does_not_parse_is_quarantined(body: bytes) -> None:
    assert isinstance(judge(_arrival(body), trust(), NOW), Unreadable)


def test_an_unknown_type_is_quarantined() -> None:
    assert isinstance(judge(_arrival(sealed(), type="poem"), trust(), NOW), Unreadable)


def _acknowledgement(at: int = NOW) -> bytes:
    item = AcknowledgedMessage(id=FIXED_ID, envelope=bytes(32), outcome=Outcome.DELIVERED)
    return sign_acknowledgement(Acknowledgement(recipient="bg", sender="ro", at=at, items=(item,)), BG.signing)


def test_a_recipients_own_acknowledgement_is_taken() -> None:
    verdict = judge(_arrival(_acknowledgement(), "bg", MessageType.ACKNOWLEDGEMENT), trust(), NOW)
    assert isinstance(verdict, Acknowledged)


@pytest.mark.parametrize(
    ("body", "node", "now", "reason"),
    [
        (_acknowledgement(), "ro", NOW, "sender_mismatch"),
        (_acknowledgement(), "bg", NOW + OLDEST_MS, "time_implausible"),
        (_acknowledgement(), "bg", NOW - CLOCK_AHEAD_MS - 1, "time_implausible"),
        (_acknowledgement(NOW + 2 * HOUR), "bg", NOW + 2 * HOUR, "key_not_valid"),
        (b"nothing", "bg", NOW, "envelope_malformed"),
    ],
)
def test_an_acknowledgement_that_does_not_hold_is_quarantined(body: bytes, node: str, now: int, reason: str) -> None:
    verdict = judge(_arrival(body, node, MessageType.ACKNOWLEDGEMENT), trust(), now)
    assert isinstance(verdict, Unreadable)
    assert verdict.reason == reason


def _after(*changed: RosterNode, at: int = NOW + 1) -> Trust:
    """Everybody as before, but for these, from `at` on."""
    nodes = {**trust().nodes, **{node.node: node for node in changed}}
    before = Earlier(sign_roster(trust().roster, HUB.signing), HUB.signing.public)
    return Trust.of(Roster(version=2, at=at, nodes=tuple(nodes.values())), [before])


def _listed(node: str, state: NodeState | None = None, **changes: Any) -> RosterNode:
    standing = None if state is None else Standing(state=state, since=NOW + 1, cause=Cause.UNSPECIFIED)
    return trust().nodes[node].model_copy(update={"standing": standing, **changes})


def _revoked(node: str, at: int = NOW + 1) -> RosterNode:
    keys = tuple(key.model_copy(update={"revoked": at}) for key in trust().nodes[node].keys)
    return _listed(node, NodeState.REVOKED, keys=keys)


@pytest.mark.parametrize(
    ("after", "code"),
    [
        (_after(_listed("ro", task_forces=())), None),
        (_after(_listed("ro", task_forces=()), at=NOW), "not_a_member"),
        (_after(_listed("ro", agencies=()), at=NOW), "agency_not_of_sender"),
        (_after(_listed("bg", task_forces=())), "recipient_not_a_member"),
        (_after(_listed("ro", NodeState.SUSPENDED)), "sender_suspended"),
        (_after(_revoked("ro")), "key_revoked"),
        (_after(_listed("bg", NodeState.SUSPENDED)), "recipient_suspended"),
        (_after(_revoked("bg")), "recipient_revoked"),
        (_after(_listed("bg", NodeState.REMOVED, task_forces=())), "recipient_revoked"),
    ],
)
def test_a_sender_is_judged_by_the_roster_of_its_time_and_recipients_by_that_of_now(
    after: Trust, code: str | None
) -> None:
    verdict = judge(_arrival(sealed()), after, NOW + 2)
    assert (verdict.code if isinstance(verdict, Refusable) else None) == code


@pytest.mark.parametrize(
    ("after", "reason"),
    [(_after(_revoked("bg")), "key_revoked"), (_after(_listed("bg", NodeState.SUSPENDED)), "sender_suspended")],
)
def test_the_word_of_who_was_shut_out_is_not_taken(after: Trust, reason: str) -> None:
    verdict = judge(_arrival(_acknowledgement(), "bg", MessageType.ACKNOWLEDGEMENT), after, NOW + 2)
    assert isinstance(verdict, Unreadable)
    assert verdict.reason == reason


def test_romania_is_in_the_roster() -> None:
    # The tests above would pass for the wrong reason if it were not.
    assert trust().signing_key("ro", RO.signing.public.key_id, NOW) == RO.signing.public
