"""Acknowledgements, signed and ready for the broker."""

from collections.abc import Sequence

from crypto.keys import SigningKey
from crypto.trust import sign_acknowledgement
from nodes.inbox import Duty
from nodes.publishing import Publication
from nodes.signing import signed_by
from schemas.control import MessageType
from schemas.header import RosterReference


async def acknowledging(
    due: Sequence[Duty], key: SigningKey, roster: RosterReference | None = None
) -> list[Publication]:
    """The acknowledgements that are due, signed, in their order. Raises HsmUnavailable: they are due still.

    Each says by which roster this node goes.
    """
    return [
        Publication(
            f"ack-{duty.acknowledgement.sender}-{duty.acknowledgement.items[0].id}-{duty.acknowledgement.at}",
            MessageType.ACKNOWLEDGEMENT,
            False,
            await signed_by(key, sign_acknowledgement, duty.acknowledgement.model_copy(update={"roster": roster}), key),
        )
        for duty in due
    ]
