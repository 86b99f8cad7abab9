"""What runs beside the relay in `relay_running`: `python -m bench.traffic produce|sink ...`, a process each.

The producer keeps a window of confirmed publishes in flight for every sender, as fast as the broker takes
them. The sink counts what arrives in the recipients' inboxes and acknowledges many at once, which costs
little, so that most of the machine is left to the relay.
"""

import argparse
import asyncio
import os
import time
from pathlib import Path
from typing import Any, Final

import aiormq.exceptions
import uvloop
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractExchange

from bench.load import SIZE
from bench.wire import as_node, done, quiet, until_told
from hub.topology import exchange_of, inbox_queue

WINDOW: Final = 64
PREFETCH: Final = 400
ACKNOWLEDGE_EVERY: Final = 100
FULL_PAUSE_S: Final = 0.05


async def produce(homes: list[Path]) -> None:
    """Publishes from every node until told to stop."""
    stop = until_told()
    connections = [await as_node(home, "produce") for home in homes]
    body = os.urandom(SIZE)
    tasks = []
    for home, connection in zip(homes, connections, strict=True):
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        exchange = await channel.get_exchange(exchange_of(home.name), ensure=False)
        tasks += [asyncio.create_task(_publish(exchange, body, stop)) for _ in range(WINDOW)]
    published = sum(await asyncio.gather(*tasks))
    for connection in connections:
        await connection.close()
    done(published=published)


async def _publish(exchange: AbstractExchange, body: bytes, stop: asyncio.Event) -> int:
    count = 0
    while not stop.is_set():
        try:
            await exchange.publish(Message(body, delivery_mode=DeliveryMode.PERSISTENT), "normal", mandatory=True)
            count += 1
        except aiormq.exceptions.DeliveryError:
            # The ingress queue is full: the relay is the slower one.
            await asyncio.sleep(FULL_PAUSE_S)
    return count


class Sink:
    """Counts and acknowledges what arrives in inboxes."""

    def __init__(self) -> None:
        self.count = 0
        self.first = asyncio.Event()

    async def consume(self, home: Path) -> Any:
        """Begins with the normal inbox of the node in `home`; returns what must be kept alive."""
        connection = await as_node(home, "sink")
        channel = await connection.channel(publisher_confirms=False)
        underlay: Any = await channel.get_underlay_channel()
        await underlay.basic_qos(prefetch_count=PREFETCH)

        async def arrived(message: Any) -> None:
            self.count += 1
            self.first.set()
            tag = message.delivery.delivery_tag
            if tag % ACKNOWLEDGE_EVERY == 0:
                await underlay.basic_ack(tag, multiple=True)

        await underlay.basic_consume(inbox_queue(home.name, urgent=False), arrived)
        return connection, channel


async def sink(homes: list[Path], warm_up: float, seconds: float) -> None:
    """Counts for `seconds`, after `warm_up` seconds from the first message."""
    counter = Sink()
    kept = [await counter.consume(home) for home in homes]
    await counter.first.wait()
    await asyncio.sleep(warm_up)
    begin, before = time.monotonic(), counter.count
    await asyncio.sleep(seconds)
    done(received=counter.count - before, seconds=time.monotonic() - begin)
    for connection, _ in kept:
        await connection.close()


def main() -> None:
    """The process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role", choices=("produce", "sink"))
    parser.add_argument("home", type=Path, nargs="+", help="the nodes' folders")
    parser.add_argument("--warm-up", type=float, default=2.0)
    parser.add_argument("--seconds", type=float, default=8.0)
    asked = parser.parse_args()
    quiet()
    if asked.role == "produce":
        uvloop.run(produce(asked.home))
    else:
        uvloop.run(sink(asked.home, asked.warm_up, asked.seconds))


if __name__ == "__main__":
    main()
