"""A real broker and database: ingress queues in a vhost of their own, and the hub's tables."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import aio_pika
import pytest
from aio_pika.abc import AbstractConnection
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy.local.services import Services
from hub import database
from hub.migrating import migrate
from hub.tolerance import decode_tolerantly
from tests.conftest import Authority
from tests.hub.ownhub import OwnHub

VHOST, USER = "intake", "hub-ingest"
QUEUES = ("q.in.ro", "q.in.bg")
Send = Callable[..., Awaitable[None]]


@pytest.fixture(scope="module")
def vhost(services: Services) -> Iterator[str]:
    """The vhost with the normal queues of two nodes."""
    queue = {"vhost": VHOST, "durable": True, "auto_delete": False, "arguments": {"x-queue-type": "quorum"}}
    user = {
        "name": USER,
        "password_hash": "",
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": [],
    }
    definitions = {
        "vhosts": [{"name": VHOST}],
        "users": [user],
        "permissions": [{"user": USER, "vhost": VHOST, "configure": ".*", "write": ".*", "read": ".*"}],
        # As in production: with a limit, RabbitMQ 3.10 gives back what is more than 32 at once in any order.
        "policies": [
            {
                "vhost": VHOST,
                "name": "in",
                "pattern": "^q",
                "apply-to": "queues",
                "priority": 0,
                "definition": {"delivery-limit": 20},
            }
        ],
        "queues": [{**queue, "name": name} for name in QUEUES],
    }
    services.broker.run_ctl(["import_definitions"], stdin=json.dumps(definitions))
    yield VHOST
    services.broker.run_ctl(["delete_vhost", VHOST])
    services.broker.run_ctl(["delete_user", USER])


@pytest.fixture
async def connection(services: Services, vhost: str, authority: Authority) -> AsyncIterator[AbstractConnection]:
    """A connection to consume on."""
    decode_tolerantly()
    url = f"amqps://{services.broker.host}:{services.broker.port}/{vhost}?auth=EXTERNAL"
    async with await aio_pika.connect(url, ssl_context=authority.client(USER), timeout=20) as found:
        yield found


@pytest.fixture
async def send(connection: AbstractConnection) -> Send:
    """Publishes bodies to a queue, each confirmed."""
    channel = await connection.channel(publisher_confirms=True, on_return_raises=True)

    async def send(queue: str, *bodies: bytes, **properties: object) -> None:
        for body in bodies:
            message = aio_pika.Message(body, delivery_mode=2, type="poem", **properties)  # type: ignore[arg-type]
            await channel.default_exchange.publish(message, queue, timeout=20)

    return send


@pytest.fixture(scope="module")
def tables(services: Services) -> str:
    """The URL of a database with the hub's tables, for the hub's own role."""
    migrate(services.postgres.owner_url)
    return services.postgres.application_url


@pytest.fixture
async def engine(tables: str) -> AsyncIterator[AsyncEngine]:
    """An engine for the hub's own role."""
    engine = database.engine_of(tables)
    yield engine
    await engine.dispose()


@pytest.fixture
async def own_engine(own: OwnHub) -> AsyncIterator[AsyncEngine]:
    """An engine for that hub's database."""
    engine = database.engine_of(own.url)
    yield engine
    await engine.dispose()
