"""Receiving from one inbox queue: what is in hand is bounded in number and in bytes.

AMQP knows no limit in bytes. So it begins with one message at a time, and asks for as many as there is room for,
should all be as large as the largest so far. What comes beyond that is left with the broker; on a line that takes
long to bring it the connection is given up, for what is on its way there cannot be called back.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Self

PREFETCH: Final = 100
# Of one queue so many bytes are in hand, or one message, however large it is.
ROOM_BYTES: Final = 16 * 1024 * 1024
# A quorum queue of RabbitMQ 3.10 puts more than 32 that it gets back together into any order.
TOGETHER: Final = 32
# For how long a large message makes another one likely, on a quick line and on the slowest.
NARROW_S: Final = 60.0
SLOWEST: Final = 8 * 1024
# For how long the line may bring what there is no room for.
IN_VAIN_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Arrival:
    """Something from the hub. It must be acknowledged to where it came from, or not at all.

    `after` is the id of the message that comes before it in its thread, if the hub named one. `again`: the broker has
    delivered it before, and so maybe not in its turn.
    """

    type: str
    body: bytes
    tag: int
    source: "Receiver | None" = None
    after: str = ""
    again: bool = False


@dataclass(slots=True)
class Sizes:
    """How large the messages of a queue are, as far as was seen, and until when that counts; outlives a connection."""

    largest: int = 0
    until: float = 0.0

    def see(self, size: int) -> None:
        """A message of so many bytes has come, or was settled."""
        self.largest = max(self.largest, size, 1)
        if size * PREFETCH > ROOM_BYTES:
            self.until = time.monotonic() + NARROW_S + size / SLOWEST


class Receiver:
    """One queue, consumed on a channel of its own; each message that is kept goes to `arrived`."""

    def __init__(self, channel: Any, queue: str, arrived: Callable[[Arrival], None], sizes: Sizes) -> None:
        self._channel = channel
        self._queue = queue
        self._arrived = arrived
        self._sizes = sizes
        self._tag, self._prefetch = "", 1
        # The tag and size of what is not acknowledged yet, oldest first, and how many bytes that is.
        self._unsettled: deque[tuple[int, int]] = deque()
        self._bytes = 0
        # Something was left with the broker, and so is all that comes behind it: their tags.
        self._overrun = self._renewing = False
        self._left: list[int] = []

    @classmethod
    async def begin(cls, channel: Any, queue: str, arrived: Callable[[Arrival], None], sizes: Sizes) -> Self:
        """Consumes a queue, with what is known of its messages' sizes. Raises the channel's error."""
        if time.monotonic() > sizes.until:
            sizes.largest, sizes.until = 0, 0.0
        receiver = cls(channel, queue, arrived, sizes)
        await receiver._consume(1)
        return receiver

    @property
    def closed(self) -> bool:
        """Whether the channel is gone, or the consumer: the broker cancels that of a queue that is deleted."""
        return bool(self._channel.is_closed) or not (self._channel.consumers or self._renewing)

    async def acknowledge(self, tag: int) -> None:
        """Settles everything up to a tag. Raises if the channel has closed."""
        await self._channel.basic_ack(tag, multiple=True)
        while self._unsettled and self._unsettled[0][0] <= tag:
            size = self._unsettled.popleft()[1]
            self._bytes -= size
            self._sizes.see(size)

    async def renew(self) -> None:
        """To be called now and then: asks again for what was left with the broker, or for more at a time.

        Raises TimeoutError if what there is no room for is too long in coming.
        """
        fitting = self._fitting()
        if self._overrun and not self._unsettled:
            self._renewing = True
            # Until it is cancelled, what comes is not kept; then all of it goes back, in its order.
            await _soon(self._channel.basic_cancel(self._tag))
            for tag in self._left[TOGETHER - 1 :: TOGETHER]:
                await self._channel.basic_nack(tag, multiple=True, requeue=True)
            await self._channel.basic_nack(0, multiple=True, requeue=True)
            self._overrun, self._left = False, []
            await self._consume(fitting)
            self._renewing = False
        elif not self._overrun and fitting > self._prefetch and self._sizes.largest:
            narrow = self._tag
            await self._consume(fitting)
            await self._channel.basic_cancel(narrow)

    async def _consume(self, prefetch: int) -> None:
        # A consumer's prefetch is that of its beginning.
        await self._channel.basic_qos(prefetch_count=prefetch)
        self._tag = (await self._channel.basic_consume(self._queue, self._take)).consumer_tag
        self._prefetch = prefetch

    def _fitting(self) -> int:
        sizes = self._sizes
        # Not while a large one is in hand or was left: there it takes as long as it takes.
        if sizes.until and time.monotonic() > sizes.until and not (self._overrun or self._has_large()):
            sizes.largest, sizes.until = 1, 0.0
        return max(1, min(PREFETCH, ROOM_BYTES // max(1, sizes.largest)))

    def _has_large(self) -> bool:
        return any(size * PREFETCH > ROOM_BYTES for _, size in self._unsettled)

    async def _take(self, message: Any) -> None:
        size, tag, properties = len(message.body), message.delivery.delivery_tag, message.header.properties
        self._sizes.see(size)
        if self._overrun or (self._unsettled and self._bytes + size > ROOM_BYTES):
            self._overrun = True
            self._left.append(tag)
            return
        self._unsettled.append((tag, size))
        self._bytes += size
        kind, after = properties.message_type or "", properties.correlation_id or ""
        self._arrived(Arrival(kind, bytes(message.body), tag, self, after, bool(message.delivery.redelivered)))


async def _soon(answer: Awaitable[Any]) -> None:
    # The answer comes behind what was on its way. Cancelled, the library would wait for it to close the channel.
    asking = asyncio.ensure_future(answer)
    asking.add_done_callback(_look_at)
    await asyncio.wait((asking,), timeout=IN_VAIN_S)
    if not asking.done():
        raise TimeoutError("there is no room for what comes, and it is long in coming")
    asking.result()


def _look_at(done: asyncio.Future[Any]) -> None:
    # Else the loop complains of an error that nobody has looked at.
    if not done.cancelled():
        done.exception()
