"""Rosters and acknowledgements: signed by whom they must be, and the one never passes for the other."""

from collections.abc import Callable

import cbor2
import pytest

from crypto import cose
from crypto.envelope import CONTENT_TYPE, verify
from crypto.errors import (
    AlgorithmRefused,
    CryptoError,
    EnvelopeMalformed,
    KeyNotValid,
    KeyUnknown,
    SenderUnknown,
    SignatureInvalid,
)
from crypto.keys import SignatureAlgorithm, SigningKey
from crypto.trust import (
    ACKNOWLEDGEMENT_TYPE,
    ROSTER_TYPE,
    open_acknowledgement,
    open_roster,
    sign_acknowledgement,
    sign_roster,
)
from schemas import cbor
from schemas.control import AcknowledgedMessage, Acknowledgement, ControlRefused, Outcome
from tests.crypto.people import BG, HOUR, HUB, NOW, RO, TR, roster_key, roster_node, roster_of, sealed, trust
from tests.schemas.strategies import FIXED_ID

ROSTER = roster_of(roster_node("ro", roster_key(RO.signing), roster_key(RO.encryption)))
SAID = Acknowledgement(
    recipient="bg",
    sender="ro",
    at=NOW,
    items=(AcknowledgedMessage(id=FIXED_ID, envelope=bytes(32), outcome=Outcome.DELIVERED),),
)


def open_as_roster(data: bytes) -> object:
    return open_roster(data, HUB.signing.public)


def open_as_acknowledgement(data: bytes) -> object:
    return open_acknowledgement(data, trust())


def test_a_roster_opens_as_it_was_signed() -> None:
    assert open_as_roster(sign_roster(ROSTER, HUB.signing)) == ROSTER


def test_an_acknowledgement_opens_as_it_was_signed() -> None:
    assert open_as_acknowledgement(sign_acknowledgement(SAID, BG.signing)) == SAID


@pytest.mark.parametrize(
    ("signed", "open_it"),
    [
        (sign_roster(ROSTER, HUB.signing), open_as_roster),
        (sign_acknowledgement(SAID, BG.signing), open_as_acknowledgement),
    ],
    ids=["roster", "acknowledgement"],
)
def test_every_altered_bit_is_refused(signed: bytes, open_it: Callable[[bytes], object]) -> None:
    for place in range(0, len(signed), 3):
        altered = bytearray(signed)
        altered[place] ^= 1 << place % 8
        with pytest.raises((CryptoError, ControlRefused)):
            open_it(bytes(altered))


def test_a_roster_signed_by_anybody_else_is_refused() -> None:
    with pytest.raises(SignatureInvalid):
        open_as_roster(sign_roster(ROSTER, RO.signing))
    with pytest.raises(AlgorithmRefused):
        open_as_roster(sign_roster(ROSTER, SigningKey.generate(SignatureAlgorithm.ES256)))


def test_an_acknowledgement_in_another_s_name_is_refused() -> None:
    with pytest.raises(KeyUnknown):
        open_as_acknowledgement(sign_acknowledgement(SAID, TR.signing))
    with pytest.raises(SenderUnknown):
        open_as_acknowledgement(sign_acknowledgement(SAID.model_copy(update={"recipient": "xx"}), BG.signing))


@pytest.mark.parametrize("at", [NOW - HOUR - 1, NOW + HOUR])
def test_an_acknowledgement_at_a_time_when_its_key_was_not_valid_is_refused(at: int) -> None:
    with pytest.raises(KeyNotValid):
        open_as_acknowledgement(sign_acknowledgement(SAID.model_copy(update={"at": at}), BG.signing))


def test_no_kind_of_document_passes_for_another() -> None:
    # All by one key, so that only the content type tells them apart.
    documents = {
        "envelope": sealed(sender="bg", recipients=("ro",)),
        "roster": sign_roster(ROSTER, BG.signing),
        "acknowledgement": sign_acknowledgement(SAID, BG.signing),
    }
    openers: dict[str, Callable[[bytes], object]] = {
        "envelope": lambda data: verify(data, trust().signer_of),
        "roster": lambda data: open_roster(data, BG.signing.public),
        "acknowledgement": open_as_acknowledgement,
    }
    for kind, data in documents.items():
        for wanted, open_it in openers.items():
            if kind == wanted:
                open_it(data)
            else:
                with pytest.raises(EnvelopeMalformed, match="is wanted"):
                    open_it(data)


def test_a_payload_under_another_content_type_does_not_keep_its_signature() -> None:
    protected, unprotected, payload, signature = cbor.decode(sign_acknowledgement(SAID, BG.signing)).value
    relabelled = protected.replace(ACKNOWLEDGEMENT_TYPE.encode(), b"x" * len(ACKNOWLEDGEMENT_TYPE))
    assert relabelled != protected
    data = cbor.encode(cbor2.CBORTag(cose.TAG_SIGN1, [relabelled, unprotected, payload, signature]))
    with pytest.raises(SignatureInvalid):
        cose.parse_sign1(data, "x" * len(ACKNOWLEDGEMENT_TYPE)).verify(BG.signing.public)


@pytest.mark.parametrize("payload", [b"", b"\x80", b"\xa0", ROSTER.to_bytes()], ids=["none", "list", "map", "roster"])
def test_a_well_signed_document_that_is_no_acknowledgement_is_refused(payload: bytes) -> None:
    with pytest.raises(ControlRefused):
        open_as_acknowledgement(cose.sign1(payload, ACKNOWLEDGEMENT_TYPE, BG.signing))


def test_a_well_signed_document_that_is_no_roster_is_refused() -> None:
    with pytest.raises(ControlRefused):
        open_as_roster(cose.sign1(SAID.to_bytes(), ROSTER_TYPE, HUB.signing))


def test_the_content_types_are_stable() -> None:
    assert [CONTENT_TYPE, ROSTER_TYPE, ACKNOWLEDGEMENT_TYPE] == [
        "application/vnd.seci.envelope+cbor",
        "application/vnd.seci.roster+cbor",
        "application/vnd.seci.acknowledgement+cbor",
    ]
