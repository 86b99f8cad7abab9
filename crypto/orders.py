"""A coordinator's order, signed: who may give it and what it does is decided in `schemas.membership`."""

from typing import Final

from crypto import cose
from crypto.errors import TooLarge
from crypto.keys import SigningKey
from crypto.trust import Trust
from schemas.membership import MembershipOrder

ORDER_TYPE: Final = "application/vnd.seci.membership+cbor"
# A hundred kinds, and some room.
MAX_ORDER: Final = 16 * 1024


def sign_order(order: MembershipOrder, coordinator: SigningKey) -> bytes:
    """A COSE_Sign1 of the order by the coordinator's node."""
    return cose.sign1(order.to_bytes(), ORDER_TYPE, coordinator)


def open_order(data: bytes, trust: Trust) -> MembershipOrder:
    """The order, signed by the node that it names.

    Raises TooLarge, EnvelopeMalformed, AlgorithmRefused, SignatureInvalid, SenderUnknown, KeyUnknown, KeyNotValid,
    ControlRefused.
    """
    if len(data) > MAX_ORDER:
        raise TooLarge(f"an order has at most {MAX_ORDER} bytes; this one has {len(data)}")
    signed = cose.parse_sign1(data, ORDER_TYPE)
    order = MembershipOrder.from_bytes(signed.payload)
    signed.verify(trust.signing_key(order.node, signed.kid, order.at))
    return order
