"""Receiving from one inbox queue: what is in hand is bounded in number and in bytes.

AMQP knows no limit in bytes. So it begins with one message at a time, and asks for as many as there is room for,
should all be as large as the largest so far. What comes beyond that is left with the broker.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Self

PREFETCH: Final = 100
# Of one queue so many bytes are in hand, or one message, however large it is.
ROOM_BYTES: Final = 16 * 1024 * 1024
# A quorum queue of RabbitMQ 3.10 puts more than 32 that it gets back together into any order.
TOGETHER: Final = 32
# For how long a large message makes another one likely.
NARROW_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Arrival:
    """Something from the hub. It must be acknowledged to where it came from, or not at all.

    `after` is the id of the message that comes before it in its thread, if the hub named one.
    """

    type: str
    body: bytes
    tag: int
    source: "Receiver | None" = None
    after: str = ""


class Receiver:
    """One queue, consumed on a channel of its own; each message that is kept goes to `arrived`."""

    def __init__(self, channel: Any, queue: str, arrived: Callable[[Arrival], None]) -> None:
        self._channel = channel
        self._queue = queue
        self._arrived = arrived
        self._tag, self._prefetch = "", 1
        # The tag and size of what is not acknowledged yet, oldest first, and how many bytes that is.
        self._unsettled: deque[tuple[int, int]] = deque()
        self._bytes = 0
        self._largest, self._large_until = 0, 0.0
        # Something was left with the broker, and so is all that comes behind it: their tags.
        self._overrun = self._renewing = False
        self._left: list[int] = []

    @classmethod
    async def begin(cls, channel: Any, queue: str, arrived: Callable[[Arrival], None]) -> Self:
        """Consumes a queue. Raises the channel's error."""
        receiver = cls(channel, queue, arrived)
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
            self._bytes -= self._unsettled.popleft()[1]

    async def renew(self) -> None:
        """To be called now and then: asks again for what was left with the broker, or for more at a time."""
        fitting = self._fitting()
        if self._overrun and not self._unsettled:
            self._renewing = True
            # Until it is cancelled, what comes is not kept; then all of it goes back, in its order.
            await self._channel.basic_cancel(self._tag)
            for tag in self._left[TOGETHER - 1 :: TOGETHER]:
                await self._channel.basic_nack(tag, multiple=True, requeue=True)
            await self._channel.basic_nack(0, multiple=True, requeue=True)
            self._overrun, self._left = False, []
            await self._consume(fitting)
            self._renewing = False
        elif not self._overrun and fitting > self._prefetch and self._largest:
            narrow = self._tag
            await self._consume(fitting)
            await self._channel.basic_cancel(narrow)

    async def _consume(self, prefetch: int) -> None:
        # A consumer's prefetch is that of its beginning.
        await self._channel.basic_qos(prefetch_count=prefetch)
        self._tag = (await self._channel.basic_consume(self._queue, self._take)).consumer_tag
        self._prefetch = prefetch

    def _fitting(self) -> int:
        if self._large_until and time.monotonic() > self._large_until:
            self._largest, self._large_until = 1, 0.0
        return max(1, min(PREFETCH, ROOM_BYTES // max(1, self._largest)))

    async def _take(self, message: Any) -> None:
        size, tag, properties = len(message.body), message.delivery.delivery_tag, message.header.properties
        self._largest = max(self._largest, size, 1)
        if size * PREFETCH > ROOM_BYTES:
            self._large_until = time.monotonic() + NARROW_S
        if self._overrun or (self._unsettled and self._bytes + size > ROOM_BYTES):
            self._overrun = True
            self._left.append(tag)
            return
        self._unsettled.append((tag, size))
        self._bytes += size
        kind, after = properties.message_type or "", properties.correlation_id or ""
        self._arrived(Arrival(kind, bytes(message.body), tag, self, after))
