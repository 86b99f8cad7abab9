"""A coordinator's order counts if its own node signed it, as it stands."""

from uuid import UUID

import pytest

from crypto.errors import CryptoError
from crypto.orders import MAX_ORDER, open_order, sign_order
from crypto.trust import sign_acknowledgement
from schemas.control import AcknowledgedMessage, Acknowledgement, ControlRefused, Outcome
from schemas.membership import Act, MembershipOrder
from tests.crypto.people import BG, HOUR, NOW, RO, trust

ORDER = MembershipOrder(
    id=UUID(int=1), node="ro", task_force="drugs", act=Act.ADMIT, subject="hu", at=NOW, reason="JCC 19"
)
ACKNOWLEDGEMENT = Acknowledgement(
    recipient="ro",
    sender="bg",
    at=NOW,
    items=(AcknowledgedMessage(id=UUID(int=1), envelope=bytes(32), outcome=Outcome.DELIVERED),),
)


def test_an_order_comes_back_as_it_was_signed() -> None:
    assert open_order(sign_order(ORDER, RO.signing), trust()) == ORDER


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (sign_order(ORDER, BG.signing), "key_unknown"),
        (sign_order(ORDER.model_copy(update={"at": NOW + 2 * HOUR}), RO.signing), "key_not_valid"),
        (sign_order(ORDER, RO.signing)[:-1] + b"\x00", "signature_invalid"),
        (sign_acknowledgement(ACKNOWLEDGEMENT, RO.signing), "envelope_malformed"),
        (bytes(MAX_ORDER + 1), "too_large"),
        (b"", "envelope_malformed"),
    ],
)
def test_what_is_none_is_refused(data: bytes, code: str) -> None:
    with pytest.raises((CryptoError, ControlRefused)) as caught:
        open_order(data, trust())
    assert caught.value.code == code  # type: ignore[attr-defined]
