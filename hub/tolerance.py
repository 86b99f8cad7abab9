"""What the AMQP libraries do that must not stop the hub.

First, properties, which any node may fill with any bytes.

pamqp raises on a property that is no UTF-8 or no possible time; aiormq's reader then closes the
connection, the broker delivers the message again, and so for ever: a poison pill that also counts
against the delivery limit of every message beside it. The bytes of a message decide here, not its
properties; so what does not decode, or is large, is replaced, and the message goes on to be refused in the
ordinary way.

Second, aiormq ends a channel that is lost with `CancelledError` or a bare `Exception`, which would look like
our own cancellation, or like a fault of ours.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any, Final, TypeVar

import aiormq.exceptions
from pamqp import decode

T = TypeVar("T")

# Headers of ours are those that RabbitMQ adds. pamqp copies the rest of a table for each item in it: 130 KB of
# small ones, as much as a frame holds, would cost half a second.
MAX_TABLE: Final = 4 * 1024
# What stands for a table that was not read; it is known by identity.
UNREAD: Final[dict[str, Any]] = {}


def decode_tolerantly() -> None:
    """Makes pamqp's decoding in this process tolerant. Safe to repeat."""
    decode.METHODS["shortstr"] = _short_string
    decode.METHODS["table"] = _table
    decode.METHODS["timestamp"] = _timestamp


def _short_string(value: bytes) -> tuple[int, str]:
    length = value[0]
    return length + 1, bytes(value[1 : length + 1]).decode(errors="backslashreplace")


def _table(value: bytes) -> tuple[int, Any]:
    length = int.from_bytes(value[:4])
    if length > MAX_TABLE:
        return 4 + length, UNREAD
    try:
        return decode.field_table(value)
    except (ValueError, OverflowError, RecursionError, KeyError, IndexError):
        return 4 + length, UNREAD


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
