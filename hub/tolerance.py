"""What the AMQP libraries do that must not stop the hub.

First, properties, which any node may fill with any bytes.

pamqp raises on a property that is no UTF-8 or no possible time; aiormq's reader then closes the
connection, the broker delivers the message again, and so for ever: a poison pill that also counts
against the delivery limit of every message beside it. The bytes of a message decide here, not its
properties; so what does not decode, or is large, is replaced, and the message goes on to be refused in the
ordinary way.

Second, aiormq ends a channel that is lost with `CancelledError` or a bare `Exception`, which would look like
our own cancellation, or like a fault of ours.

Third, its `close` may take a timeout's cancelling for something else and go on waiting; and it says that a connection
is closed when it has closed it, not when the other side is gone.

Fourth, the broker itself: what it gets back at once it may give again in another order.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, Final, TypeVar

import aiormq.exceptions
from aio_pika.abc import AbstractConnection
from pamqp import decode

T = TypeVar("T")

# Headers of ours are those that RabbitMQ adds. pamqp copies the rest of a table for each item in it: 130 KB of
# small ones, as much as a frame holds, would cost half a second.
MAX_TABLE: Final = 4 * 1024
# How many a queue gets back in one command, and after how many commands it is given a moment.
TOGETHER: Final = 32
COMMANDS: Final = 8
PAUSE_S: Final = 0.05
CLOSE_S: Final = 2
# What was cancelled has so long to clear up before it is told once more.
CANCEL_S: Final = 0.5
TYPE_SIZE: Final = 40
# What stands for a table that was not read; it is known by identity.
UNREAD: Final[dict[str, Any]] = {}
_FURTHER: Final = frozenset({"CC", "BCC"})


def printable(message_type: str | None) -> str:
    """An AMQP type as it may go into tables and logs, whatever its sender put there."""
    return ascii(message_type or "")[1:-1][:TYPE_SIZE]


def fault_of(message: Any) -> str:
    """What is wrong with how a message was published, in a word; empty if nothing is."""
    # By CC and BCC the broker takes further routing keys. A node's exchange leads to its own two queues only, but
    # whoever sets them tries to go past the recipients that are signed. BCC is seen where a broker leaves it in.
    headers = message.header.properties.headers
    if headers is UNREAD:
        return "headers_unreadable"
    return "further_addresses" if headers and not _FURTHER.isdisjoint(headers) else ""


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
    """What `work` gives. Raises ChannelInvalidStateError where a lost channel, and not our caller, ended it."""
    try:
        return await work
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise aiormq.exceptions.ChannelInvalidStateError("the channel was lost") from error
    except Exception as error:
        # Nobody else raises that very class: aiormq does for want of a reason.
        if type(error) is not Exception:
            raise
        raise aiormq.exceptions.ChannelInvalidStateError("the channel was lost") from error


async def ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancels them, and returns once they are done.

    Again and again: of Python 3.11, `wait_for`, with which libraries bound what they wait for, forgets that it was
    cancelled when that comes in the same moment.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        done, left = await asyncio.wait(left, timeout=CANCEL_S)
        for task in done:
            # Looked at, too: else the loop complains.
            task.cancelled() or task.exception()


def is_lost(connection: AbstractConnection) -> bool:
    """Whether nothing comes or goes on it any more, closed or not."""
    transport = connection.transport
    return connection.is_closed or transport is None or not transport.connection.is_opened


async def closed(closing: Awaitable[None]) -> bool:
    """Whether a connection's `close` was done in time and well. Waits no longer than that, whatever `close` does."""
    work = asyncio.ensure_future(closing)
    # What it ends with later is looked at, too: else the loop complains.
    work.add_done_callback(lambda done: done.cancelled() or done.exception())
    try:
        await asyncio.wait((work,), timeout=CLOSE_S)
    finally:
        work.cancel()
    return work.done() and not work.cancelled() and work.exception() is None


async def give_back(channel: Any, left: Sequence[int]) -> None:
    """Has the broker take back all that is not settled on a channel; `left` has the tags, oldest first.

    A quorum queue of RabbitMQ 3.10 puts more than 32 that it gets back together into any order, and a channel with
    many commands under way puts some together.
    """
    for number, tag in enumerate(left[TOGETHER - 1 :: TOGETHER], 1):
        await channel.basic_nack(tag, multiple=True, requeue=True)
        if number % COMMANDS == 0:
            await asyncio.sleep(PAUSE_S)
    await channel.basic_nack(0, multiple=True, requeue=True)
