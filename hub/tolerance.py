"""What the AMQP libraries do that must not stop the hub.

First, properties, which any node may fill with any bytes.

pamqp raises on a property that is no UTF-8 or no possible time; aiormq's reader then closes the
connection, the broker delivers the message again, and so for ever: a poison pill that also counts
against the delivery limit of every message beside it. The bytes of a message decide here, not its
properties; so what does not decode is replaced, and the message goes on to be refused in the ordinary way.

Second, aiormq ends a channel that is lost with `CancelledError` or a bare `Exception`, which would look like
our own cancellation, or like a fault of ours.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

import aiormq.exceptions
from pamqp import decode

T = TypeVar("T")


def decode_tolerantly() -> None:
    """Makes pamqp's decoding in this process tolerant. Safe to repeat."""
    decode.METHODS["shortstr"] = _short_string
    decode.METHODS["table"] = _table
    decode.METHODS["timestamp"] = _timestamp


def _short_string(value: bytes) -> tuple[int, str]:
    length = value[0]
    return length + 1, bytes(value[1 : length + 1]).decode(errors="backslashreplace")


def _table(value: bytes) -> tuple[int, Any]:
    try:
        return decode.field_table(value)
    except (ValueError, OverflowError, RecursionError, KeyError, IndexError):
        return 4 + int.from_bytes(value[:4]), {}


def _timestamp(value: bytes) -> tuple[int, Any]:
    try:
        return decode.timestamp(value)
    except (ValueError, OverflowError, OSError):
        return 8, None


async def through_cancelled_channels(work: Awaitable[T]) -> T:
    """What `work` gives. Raises ChannelInvalidStateError where a lost channel, and not our caller, cancelled it."""
    try:
        return await work
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise aiormq.exceptions.ChannelInvalidStateError("the channel was lost") from error
