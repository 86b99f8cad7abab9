"""Fills an ingress queue: `python -m bench.load NODE_HOME RECIPIENT... --messages N --size BYTES [--random]`.

Without --random each message is a fresh alert, sealed and signed with the node's own keys as its agent would
(the hub refuses an id that it has seen). With it, as many random bytes for the relay, which does not look at
them. Both have exactly `--size` bytes and are published the same way: persistent, mandatory, confirmed.
"""

import argparse
import asyncio
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import uvloop
from aio_pika import DeliveryMode, Message

from bench.wire import as_node, done, quiet
from crypto.envelope import seal
from deploy.local.forgery import keys_of, trust_of
from hub.topology import exchange_of
from schemas import registry
from schemas.codes import Agency, Handling, Priority
from schemas.control import MessageType
from schemas.header import Routing, new_id

SIZE: Final = 4096
WINDOW: Final = 100
PUBLISH_S: Final = 30
# A body that is shorter than any envelope of SIZE, to find how much longer it has to be.
TRIAL: Final = 1000


def alert(letters: int) -> dict[str, Any]:
    """The body of an alert with a text of so many random letters."""
    return {"title": "Border check", "text": secrets.token_hex((letters + 1) // 2)[:letters]}


def content_letters(size: int) -> int:
    """How long an alert's text must be for a content of `size` bytes."""
    return size - len(_content(TRIAL)) + TRIAL


def _content(letters: int) -> bytes:
    return registry.body_bytes("alert", 1, alert(letters))


def sealer(home: Path, recipients: tuple[str, ...]) -> Callable[[int], bytes]:
    """A function from the length of an alert's text to its sealed envelope, for recipients in sorted order."""
    keys, trust = keys_of(home), trust_of(home)
    begin = time.time_ns() // 1_000_000
    sealing = {recipient: trust.sealing_key(recipient, begin) for recipient in recipients}

    def envelope(letters: int) -> bytes:
        now = time.time_ns() // 1_000_000
        id = new_id(now)
        routing = Routing(
            id=id,
            thread=id,
            sender=home.name,
            agency=Agency.POLICE,
            task_force="trafficking",
            recipients=recipients,
            kind="alert",
            kind_version=1,
            priority=Priority.NORMAL,
            handling=Handling.H1,
            created=now,
            expires=now + 3_600_000,
        )
        return seal(routing, _content(letters), sealing, keys.signing)[1]

    return envelope


def letters_for(size: int, envelope: Callable[[int], bytes]) -> int:
    """How long an alert's text must be for an envelope of `size` bytes."""
    letters = size - len(envelope(TRIAL)) + TRIAL
    # A longer text needs a longer length prefix or two.
    return letters + size - len(envelope(letters))


def bodies_of(home: Path, recipients: tuple[str, ...], size: int, *, random: bool) -> Callable[[], bytes]:
    """A function that makes the next message of `size` bytes."""
    if random:
        return lambda: os.urandom(size)
    envelope = sealer(home, recipients)
    letters = letters_for(size, envelope)
    return lambda: envelope(letters)


async def load(home: Path, messages: int, body: Callable[[], bytes]) -> int:
    """Publishes so many messages and returns their bytes once all are confirmed."""
    connection = await as_node(home, "load")
    total = 0
    async with connection:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        exchange = await channel.get_exchange(exchange_of(home.name), ensure=False)
        for start in range(0, messages, WINDOW):
            bodies = [body() for _ in range(min(WINDOW, messages - start))]
            total += sum(map(len, bodies))
            await asyncio.gather(
                *(
                    exchange.publish(
                        Message(item, type=str(MessageType.ENVELOPE), delivery_mode=DeliveryMode.PERSISTENT),
                        "normal",
                        mandatory=True,
                        timeout=PUBLISH_S,
                    )
                    for item in bodies
                )
            )
    return total


def main() -> None:
    """The process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home", type=Path, help="the sending node's folder")
    parser.add_argument("recipient", nargs="+", help="nodes, in sorted order")
    parser.add_argument("--messages", type=int, required=True)
    parser.add_argument("--size", type=int, default=SIZE)
    parser.add_argument("--random", action="store_true")
    asked = parser.parse_args()
    quiet()
    body = bodies_of(asked.home, tuple(asked.recipient), asked.size, random=asked.random)
    total = uvloop.run(load(asked.home, asked.messages, body))
    done(messages=asked.messages, bytes=total)


if __name__ == "__main__":
    main()
