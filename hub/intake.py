"""Intake: what waits in the ingress queues, handed over in batches, acknowledged a batch at a time.

Each lane has a channel of its own, so that one multiple acknowledgement settles exactly the
batch that was recorded. The consumer callback only enqueues; nothing is ever requeued by us.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

import aiormq.exceptions
import structlog
from aio_pika.abc import AbstractConnection

from hub.broker import BrokerAddress
from hub.judge import Arrival
from hub.metrics import REDELIVERED
from hub.tolerance import decode_tolerantly
from hub.topology import ingress_queue

log = structlog.get_logger()

BATCH_WAIT_S: Final = 0.005
TYPE_SIZE: Final = 40
URGENT_IN_A_ROW: Final = 4


def printable(message_type: str | None) -> str:
    """An AMQP type as it may go into tables and logs, whatever its sender put there."""
    return ascii(message_type or "")[1:-1][:TYPE_SIZE]


class Lane:
    """One lane's channel and what has arrived on it."""

    def __init__(self, channel: Any, *, urgent: bool) -> None:
        self._channel = channel
        self._urgent = urgent
        self._nodes: set[str] = set()
        self.waiting: asyncio.Queue[Arrival] = asyncio.Queue()

    async def add(self, nodes: Iterable[str], exists: Callable[[str], Awaitable[bool]]) -> None:
        """Begins to consume the queues of nodes not consumed yet. A queue that is missing is left for later."""
        for node in sorted(set(nodes) - self._nodes):
            if not await exists(ingress_queue(node, urgent=self._urgent)):
                log.error("queue_missing", node=node, next="seci-hub provision")
                continue
            await self._channel.basic_consume(ingress_queue(node, urgent=self._urgent), self._callback(node))
            self._nodes.add(node)

    @property
    def closed(self) -> bool:
        """Whether the channel is gone, or a consumer: the broker cancels those of a queue that is deleted."""
        return bool(self._channel.is_closed) or len(self._channel.consumers) < len(self._nodes)

    def _callback(self, node: str) -> Any:
        async def arrived(message: Any) -> None:
            properties = message.header.properties
            if message.delivery.redelivered:
                REDELIVERED.inc()
            kind = printable(properties.message_type)
            self.waiting.put_nowait(Arrival(node, kind, bytes(message.body), message.delivery.delivery_tag))

        return arrived

    def take(self, limit: int) -> list[Arrival]:
        """Up to `limit` arrivals, in order."""
        return [self.waiting.get_nowait() for _ in range(min(limit, self.waiting.qsize()))]

    async def acknowledge(self, batch: list[Arrival]) -> None:
        """Settles a batch that `take` gave, and with it everything before. Raises if the channel has closed."""
        await self._channel.basic_ack(batch[-1].tag, multiple=True)


class Intake:
    """The consuming connection. When it is lost, a new one is opened and everything unsettled comes again."""

    def __init__(self, connection: AbstractConnection, lanes: tuple[Lane, Lane]) -> None:
        self.connection = connection
        self.urgent, self.normal = lanes
        self._in_a_row = 0

    @classmethod
    async def open(cls, broker: BrokerAddress, prefetch: int, nodes: Iterable[str]) -> "Intake":
        """Connects and consumes the queues of `nodes`. Raises BrokerUnreachable."""
        decode_tolerantly()
        connection = await broker.connect("hub-ingest")
        lanes = []
        for urgent in (True, False):
            channel = await connection.channel(publisher_confirms=False)
            underlay: Any = await channel.get_underlay_channel()
            await underlay.basic_qos(prefetch_count=prefetch)
            # The connection holds channels weakly; the lane keeps this one alive.
            underlay.owner = channel
            lanes.append(Lane(underlay, urgent=urgent))
        intake = cls(connection, (lanes[0], lanes[1]))
        await intake.add(nodes)
        return intake

    async def add(self, nodes: Iterable[str]) -> None:
        """Begins to consume the queues of newly enrolled nodes."""
        known = tuple(nodes)
        await self.urgent.add(known, self._exists)
        await self.normal.add(known, self._exists)

    async def _exists(self, queue: str) -> bool:
        # Asking for a queue that is not there closes the channel that asked.
        channel = await self.connection.channel(publisher_confirms=False)
        try:
            await channel.get_queue(queue, ensure=True)
        except aiormq.exceptions.ChannelNotFoundEntity:
            return False
        await channel.close()
        return True

    @property
    def closed(self) -> bool:
        """Whether the connection, a channel or a consumer is gone."""
        return self.connection.is_closed or self.urgent.closed or self.normal.closed

    async def batch(self, limit: int, patience: float) -> tuple[Lane, list[Arrival]]:
        """The next batch, urgent ones first; empty when nothing came within `patience` seconds."""
        deadline = asyncio.get_running_loop().time() + patience
        while asyncio.get_running_loop().time() < deadline and not self.closed:
            # Urgent first, but never so long that nothing else is taken: acknowledgements are among the rest.
            tired = self._in_a_row >= URGENT_IN_A_ROW
            lanes = (self.normal, self.urgent) if tired else (self.urgent, self.normal)
            for lane in lanes:
                if not lane.waiting.empty():
                    self._in_a_row = self._in_a_row + 1 if lane is self.urgent else 0
                    return lane, lane.take(limit)
            await asyncio.sleep(BATCH_WAIT_S)
        return self.normal, []

    async def close(self) -> None:
        """Closes the connection."""
        await self.connection.close()
