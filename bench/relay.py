"""The baseline: the least that moves messages safely from ingress queues to inboxes with aio-pika.

A process of its own, as the hub is: `python -m bench.relay HUB_HOME SENDER:RECIPIENT...`. Each message is
published persistent and mandatory, its confirm awaited, then that message acknowledged; as many at once as
the prefetch allows. With several recipients for one sender it publishes a copy to each, all in flight at once.
It verifies nothing, records nothing and decides nothing.

It is meant to be hard to beat: uvloop, one connection to consume and one to publish (the hub needs two, for
its users' rights), the hub's own way to connect, no logging, no copy of the body, callbacks that the library
runs concurrently. Neither library is patched, for the relay as for the hub.
"""

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractExchange, AbstractIncomingMessage

from bench.place import Route
from bench.wire import done, quiet, until_told
from hub.broker import BrokerAddress
from hub.settings import Settings
from hub.topology import DISPATCH, inbox_key, ingress_queue

PREFETCH = 200


def forwarding(exchange: AbstractExchange, keys: list[str]) -> Callable[[AbstractIncomingMessage], Awaitable[None]]:
    """What is done with each message: publish, await the confirms, acknowledge."""

    async def forward(message: AbstractIncomingMessage) -> None:
        await exchange.publish(Message(message.body, delivery_mode=DeliveryMode.PERSISTENT), keys[0], mandatory=True)
        await message.ack()

    async def fan_out(message: AbstractIncomingMessage) -> None:
        copy = Message(message.body, delivery_mode=DeliveryMode.PERSISTENT)
        await asyncio.gather(*(exchange.publish(copy, key, mandatory=True) for key in keys))
        await message.ack()

    return forward if len(keys) == 1 else fan_out


async def relay(home: Path, routes: list[Route], prefetch: int) -> None:
    """Forwards until told to stop."""
    broker = BrokerAddress.of(Settings.load(home))
    consuming, publishing = await asyncio.gather(broker.connect("hub-ingest"), broker.connect("hub-dispatch"))
    stop = until_told()
    async with consuming, publishing:
        incoming = await consuming.channel(publisher_confirms=False)
        await incoming.set_qos(prefetch_count=prefetch)
        outgoing = await publishing.channel(publisher_confirms=True, on_return_raises=True)
        exchange = await outgoing.get_exchange(DISPATCH, ensure=False)
        for sender in dict.fromkeys(route.sender for route in routes):
            keys = [inbox_key(route.recipient, urgent=False) for route in routes if route.sender == sender]
            queue = await incoming.get_queue(ingress_queue(sender, urgent=False), ensure=False)
            await queue.consume(forwarding(exchange, keys))
        await stop.wait()
    done()


def main() -> None:
    """The process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home", type=Path, help="the hub's folder")
    parser.add_argument("route", type=Route.parse, nargs="+", help="SENDER:RECIPIENT")
    parser.add_argument("--prefetch", type=int, default=PREFETCH)
    asked = parser.parse_args()
    quiet()
    uvloop.run(relay(asked.home, asked.route, asked.prefetch))


if __name__ == "__main__":
    main()
