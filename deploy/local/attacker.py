"""A hostile node, for the demo and the tests: publishes bytes of its choice with a node's own certificate."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection
from sqlalchemy import select

from crypto.keyfile import load_node_keys, tls_password
from crypto.tls import client_context
from nodes.settings import Settings
from nodes.store import Store, outbox
from schemas.control import MessageType


def context_of(settings: Settings) -> ssl.SSLContext:
    """A node's own TLS context: the attacker has stolen its keys, or is the node."""
    key = settings.home / "tls.key"
    password = tls_password(key, settings.secret())
    return client_context(settings.home / "ca.pem", settings.home / "tls.pem", key, password)


async def open_connection(home: Path) -> AbstractConnection:
    """A connection under a node's own certificate, with which it may try what it likes."""
    settings = Settings.load(home)
    url = f"amqps://{settings.broker_host}:{settings.broker_port}/{settings.vhost}?auth=EXTERNAL"
    return await aio_pika.connect(url, ssl_context=context_of(settings), timeout=10)


@contextlib.asynccontextmanager
async def open_channel(home: Path) -> AsyncIterator[AbstractChannel]:
    """A channel under a node's own certificate."""
    async with await open_connection(home) as connection:
        yield await connection.channel(publisher_confirms=True, on_return_raises=True)


async def publish(home: Path, bodies: Sequence[bytes], kind: str = MessageType.ENVELOPE) -> None:
    """Publishes each of `bodies` to the node's own exchange, past its agent."""
    async with open_channel(home) as channel:
        exchange = await channel.get_exchange(f"in.{Settings.load(home).node}", ensure=False)
        for body in bodies:
            message = aio_pika.Message(body, type=kind, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
            await exchange.publish(message, "normal", mandatory=True, timeout=10)


async def sent_envelope(home: Path, id: str) -> bytes:
    """The envelope of a message that a node has sent."""
    settings = Settings.load(home)
    keys = load_node_keys(home / "node.key", settings.secret())
    box = Store.open(home / "node.db", keys.storage)
    query = select(outbox.c.envelope).where(outbox.c.id == id)
    found: bytes | None = await box.run(lambda connection: connection.scalar(query))
    box.close()
    if found is None:
        raise LookupError(id)
    return found


def run_publish(home: Path, *bodies: bytes, kind: str = MessageType.ENVELOPE) -> None:
    """`publish` for callers without an event loop."""
    asyncio.run(publish(home, bodies, kind))


def run_sent_envelope(home: Path, id: str) -> bytes:
    """`sent_envelope` for callers without an event loop."""
    return asyncio.run(sent_envelope(home, id))
