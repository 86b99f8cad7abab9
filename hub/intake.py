"""Intake: what waits in the ingress queues, handed over in batches, acknowledged a batch at a time.

Each lane has a channel of its own, so that one multiple acknowledgement settles exactly the
batch that was recorded. The consumer callback only enqueues; nothing is ever requeued by us.
"""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from aio_pika.abc import AbstractConnection

from hub.broker import BrokerAddress
from hub.judge import Arrival
from hub.tolerance import decode_tolerantly
from hub.topology import ingress_queue

BATCH_WAIT_S: Final = 0.005
TYPE_SIZE: Final = 40


class Lane:
    """One lane's channel and what has arrived on it."""

    def __init__(self, channel: Any, *, urgent: bool) -> None:
        self._channel = channel
        self._urgent = urgent
        self._nodes: set[str] = set()
        self.waiting: asyncio.Queue[Arrival] = asyncio.Queue()

    async def add(self, nodes: Iterable[str]) -> None:
        """Begins to consume the queues of nodes not consumed yet."""
        for node in sorted(set(nodes) - self._nodes):
            await self._channel.basic_consume(ingress_queue(node, urgent=self._urgent), self._callback(node))
            self._nodes.add(node)

    def _callback(self, node: str) -> Any:
        async def arrived(message: Any) -> None:
            properties = message.header.properties
            kind = ascii(properties.message_type or "")[1:-1][:TYPE_SIZE]
            delivery = message.delivery
            self.waiting.put_nowait(
                Arrival(node, kind, bytes(message.body), delivery.delivery_tag, delivery.redelivered)
            )

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
        self._connection = connection
        self.urgent, self.normal = lanes

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
        await self.urgent.add(known)
        await self.normal.add(known)

    @property
    def closed(self) -> bool:
        """Whether the connection or a channel is gone."""
        return self._connection.is_closed or self.urgent._channel.is_closed or self.normal._channel.is_closed

    async def batch(self, limit: int, patience: float) -> tuple[Lane, list[Arrival]]:
        """The next batch, urgent ones first; empty when nothing came within `patience` seconds."""
        deadline = asyncio.get_running_loop().time() + patience
        while asyncio.get_running_loop().time() < deadline and not self.closed:
            for lane in (self.urgent, self.normal):
                if not lane.waiting.empty():
                    return lane, lane.take(limit)
            await asyncio.sleep(BATCH_WAIT_S)
        return self.normal, []

    async def close(self) -> None:
        """Closes the connection."""
        await self._connection.close()
