"""Acknowledgements, signed and ready for the broker."""

from collections.abc import Sequence

from crypto.keys import SigningKey
from crypto.trust import sign_acknowledgement
from nodes.inbox import Duty
from nodes.publishing import Publication
from nodes.signing import signed_by
from schemas.control import MessageType


async def acknowledging(due: Sequence[Duty], key: SigningKey) -> list[Publication]:
    """The acknowledgements that are due, signed, in their order. Raises HsmUnavailable: they are due still."""
    return [
        Publication(
            f"ack-{duty.acknowledgement.sender}-{duty.acknowledgement.items[0].id}-{duty.acknowledgement.at}",
            MessageType.ACKNOWLEDGEMENT,
            False,
            await signed_by(key, sign_acknowledgement, duty.acknowledgement, key),
        )
        for duty in due
    ]
