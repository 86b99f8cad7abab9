"""The two bare hops beside the relay: `python -m bench.hops HOME RECIPIENT --rate R --seconds S`.

Publishes as the sender at a steady pace, persistent, mandatory and confirmed, consumes the recipient's inbox, and
prints for each message the milliseconds from the publish to its arrival. It begins once a message has come
through, and the first second is not counted.
"""

import argparse
import asyncio
import os
import time
from pathlib import Path
from typing import Any, Final

import uvloop
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractExchange, AbstractIncomingMessage

from bench.load import SIZE
from bench.pace import pace
from bench.place import BenchFailed, Place, Route
from bench.wire import as_node, done, quiet
from hub.topology import exchange_of, inbox_queue

WARM_UP_S: Final = 1.0
ARRIVE_S: Final = 30.0
START_S: Final = 15.0
# In front of each message: when it was published, in nanoseconds.
STAMP: Final = 8


def hops(place: Place, route: Route, rate: float, seconds: float) -> list[float]:
    """Runs the relay, and this module as a process; no hub and no agent is at work. Milliseconds each."""
    relay = place.start("relay", str(place.exchange.hub_home), str(route), name="relay")
    try:
        home = str(place.exchange.node_home(route.sender))
        options = ["--rate", str(rate), "--seconds", str(seconds)]
        process = place.start("hops", home, route.recipient, *options, name="hops")
        found = place.result(process, START_S + seconds + ARRIVE_S)
    finally:
        place.end(relay)
    return [float(value) for value in found["arrived"]]


async def run(home: Path, recipient: str, rate: float, seconds: float) -> None:
    """Publishes, consumes, prints."""
    arrived: list[float] = []
    sending, receiving = await as_node(home, "hops"), await as_node(home.parent / recipient, "hops")
    async with sending, receiving:
        incoming = await receiving.channel(publisher_confirms=False)

        async def take(message: AbstractIncomingMessage) -> None:
            arrived.append((time.monotonic_ns() - int.from_bytes(message.body[:STAMP])) / 1_000_000)
            await message.ack()

        await (await incoming.get_queue(inbox_queue(recipient, urgent=False), ensure=False)).consume(take)
        outgoing = await sending.channel(publisher_confirms=True, on_return_raises=True)
        exchange = await outgoing.get_exchange(exchange_of(home.name), ensure=False)
        await _publish(exchange)
        await _await_arrived(arrived, 1)
        posting = [asyncio.create_task(_publish(exchange)) async for _ in pace(rate, WARM_UP_S + seconds)]
        await asyncio.gather(*posting)
        await _await_arrived(arrived, 1 + len(posting))
    done(arrived=[round(value, 2) for value in arrived[1 + round(rate * WARM_UP_S) :]])


async def _await_arrived(arrived: list[float], count: int) -> None:
    until = time.monotonic() + ARRIVE_S
    while len(arrived) < count:
        if time.monotonic() > until:
            raise BenchFailed(f"of {count} messages only {len(arrived)} arrived")
        await asyncio.sleep(0.05)


async def _publish(exchange: AbstractExchange) -> Any:
    body = time.monotonic_ns().to_bytes(STAMP) + os.urandom(SIZE - STAMP)
    return await exchange.publish(Message(body, delivery_mode=DeliveryMode.PERSISTENT), "normal", mandatory=True)


def main() -> None:
    """The process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home", type=Path, help="the sender's folder, beside the recipient's")
    parser.add_argument("recipient", help="node")
    parser.add_argument("--rate", type=float, required=True, help="messages per second")
    parser.add_argument("--seconds", type=float, required=True)
    asked = parser.parse_args()
    quiet()
    uvloop.run(run(asked.home, asked.recipient, asked.rate, asked.seconds))


if __name__ == "__main__":
    main()
