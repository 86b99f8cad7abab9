"""Who is let into the roster, and with which witness key."""

import base64
import dataclasses
import time

import pytest

from crypto.certificates import create_csr, new_tls_key, to_pem
from crypto.enrolment import sign_request
from crypto.keys import SignatureAlgorithm, SigningKey, VerifyKey
from crypto.trust import Trust
from hub.errors import EnrolmentRefused
from hub.registrar import Unsigned, check_request, with_admitted, with_replaced
from hub.renewing import renewed
from hub.standing import changed
from schemas.control import Event
from schemas.enrolment import EnrolmentRequest
from schemas.renewal import RenewalRequest
from schemas.roster import Cause, KeyUse, Roster, RosterNode
from tests.crypto.people import BG, NOW, RO, Person

KEY, OTHER = SigningKey.generate().public, SigningKey.generate().public


def _request(who: Person, witness: VerifyKey | None) -> EnrolmentRequest:
    csr = to_pem(create_csr(f"node-{who.node}", new_tls_key()))
    return sign_request(who.node, who.signing, who.encryption.public, csr, witness)


def _admitted(roster: Unsigned, *requests: EnrolmentRequest) -> Unsigned:
    for request in requests:
        check_request(request, roster)
    return Unsigned(roster.version + 1, with_admitted(roster, requests, None, None))


def _witnesses(nodes: tuple[RosterNode, ...]) -> dict[str, bytes]:
    Trust.of(Roster(version=1, at=NOW, nodes=nodes))
    return {node.node: key.public for node in nodes for key in node.keys if key.use is KeyUse.WITNESS}


def test_a_node_comes_with_its_witness_key_or_gets_one_later() -> None:
    empty = Unsigned(0, ())
    assert _witnesses(_admitted(empty, _request(RO, KEY)).nodes) == {"ro": KEY.public_bytes()}
    older = _admitted(empty, _request(RO, None))
    assert _witnesses(older.nodes) == {}
    now = _admitted(older, _request(RO, KEY))
    assert _witnesses(now.nodes) == {"ro": KEY.public_bytes()}
    # The same again changes nothing; nor does a request without one; another takes its place.
    assert _admitted(now, _request(RO, KEY)).nodes == now.nodes == _admitted(now, _request(RO, None)).nodes
    assert _witnesses(_admitted(now, _request(RO, OTHER)).nodes) == {"ro": OTHER.public_bytes()}


@pytest.mark.parametrize("key", [KEY, RO.signing.public, BG.signing.public])
def test_a_key_that_is_somebody_s_already_is_no_witness_key(key: VerifyKey) -> None:
    roster = _admitted(Unsigned(0, ()), _request(RO, KEY))
    with pytest.raises(EnrolmentRefused, match="in use"):
        check_request(_request(BG, key), roster)


def test_a_key_that_cannot_cosign_is_refused() -> None:
    p256 = SigningKey.generate(SignatureAlgorithm.ES256).public
    for public in (p256.public_bytes(), b"\x01short"):
        request = _request(RO, None).model_copy(update={"witness_key": base64.b64encode(public).decode()})
        with pytest.raises(EnrolmentRefused):
            check_request(request, Unsigned(0, ()))
    with pytest.raises(EnrolmentRefused, match="Ed25519"):
        check_request(_request(RO, p256), Unsigned(0, ()))


def test_keys_that_were_renewed_get_no_certificate_any_more() -> None:
    roster, new = _admitted(Unsigned(0, ()), _request(RO, None)), SigningKey.generate()
    now = time.time_ns() // 1_000_000
    # Renewed a while ago: the old key is listed still, and ended.
    asked = RenewalRequest(node="ro", at=now, signing=new.public.public_bytes())
    after = Unsigned(2, renewed(roster, asked, now + 1000))
    check_request(_request(dataclasses.replace(RO, signing=new), None), after)
    with pytest.raises(EnrolmentRefused, match="with other keys"):
        check_request(_request(RO, None), after)


@pytest.mark.parametrize(("event", "back"), [(Event.REVOKED, True), (Event.SUSPENDED, False)])
def test_who_was_revoked_comes_back_with_new_keys_and_who_is_suspended_does_not(event: Event, back: bool) -> None:
    first = _admitted(Unsigned(0, ()), _request(RO, KEY))
    [shut_out] = (changed(node, event, Cause.KEY_COMPROMISE, NOW) for node in first.nodes)
    new = Person("ro", SigningKey.generate(), BG.encryption)
    [node] = with_replaced(Unsigned(2, (shut_out,)), _request(new, None), None, None, NOW)
    assert node.active is back
    # The old keys stay listed, and are revoked: from now on, if they were not.
    old = {key.public: key.revoked or NOW for key in shut_out.keys}
    assert {key.public: key.revoked for key in node.keys if key.public in old} == old
    now = time.time_ns() // 1_000_000
    sealing = Trust.of(Roster(version=3, at=now, nodes=(node,))).sealing_key("ro", now)
    assert sealing.key_id == BG.encryption.public.key_id
