"""Connections of the benchmark's helpers: the same TLS 1.3 with client certificates as the product's.

The relay connects as the hub's own users, through the hub's own code; whoever loads, watches or sinks
connects as a node. Nobody gets a plainer or shorter way than hub and agents have.
"""

import asyncio
import json
import logging
import signal
import sys
from pathlib import Path
from typing import Any, Final

from aio_pika.abc import AbstractConnection

from deploy.local.attacker import context_of
from hub.topology import inbox_queue, ingress_queue
from nodes.link import connect
from nodes.settings import Settings

DECLARE_S: Final = 10


async def as_node(home: Path, purpose: str) -> AbstractConnection:
    """A connection as the node in `home`."""
    settings = Settings.load(home)
    return await connect(settings, context_of(settings), purpose)


class Depths:
    """How many messages are ready in queues, asked for over AMQP: a passive declare costs about a millisecond."""

    def __init__(self, connection: AbstractConnection, channel: Any, queues: tuple[str, ...]) -> None:
        self._connection = connection
        self._channel = channel
        self._queues = queues

    @classmethod
    async def of(cls, home: Path, queues: tuple[str, ...]) -> "Depths":
        """Connects as the node in `home`."""
        connection = await as_node(home, "watch")
        return cls(connection, await connection.channel(publisher_confirms=False), queues)

    @classmethod
    async def inbox(cls, home: Path) -> "Depths":
        """The normal inbox of the node in `home`."""
        return await cls.of(home, (inbox_queue(home.name, urgent=False),))

    @classmethod
    async def ingress(cls, home: Path) -> "Depths":
        """The normal ingress queue of the node in `home`."""
        return await cls.of(home, (ingress_queue(home.name, urgent=False),))

    async def read(self) -> int:
        """The messages ready now."""
        return sum([found.message_count or 0 for found in await self._declared()])

    async def consumers(self) -> int:
        """How many consume the queues now."""
        return sum([found.consumer_count or 0 for found in await self._declared()])

    async def _declared(self) -> list[Any]:
        queues = [await self._channel.declare_queue(name, passive=True, timeout=DECLARE_S) for name in self._queues]
        return [queue.declaration_result for queue in queues]

    async def purge(self) -> None:
        """Deletes what is ready; for a node's own inbox only, others are not its to read."""
        for name in self._queues:
            queue = await self._channel.get_queue(name, ensure=False)
            await queue.purge(timeout=DECLARE_S)

    async def close(self) -> None:
        """Closes the connection."""
        await self._connection.close()


def until_told() -> asyncio.Event:
    """An event that SIGTERM sets."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def quiet() -> None:
    """The client library's logs from WARNING on, as in the hub: lower levels cost time even unseen."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)


def done(**result: Any) -> None:
    """A helper's last word."""
    print(json.dumps(result), flush=True)
