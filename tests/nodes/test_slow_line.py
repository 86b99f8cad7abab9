"""A node's link over a slow line, with a real broker: large messages take their time, and nothing is given up."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

import aio_pika
import pytest
from aio_pika.abc import AbstractConnection
from structlog.testing import capture_logs

from deploy.local.chaos import FREE, Line, Rule, Side, bad_line
from deploy.local.services import Services
from nodes import link as link_module
from nodes import outbox, receiving
from nodes.agent import Agent
from nodes.link import Link
from nodes.outgoing import Outgoing
from nodes.receiving import Arrival
from tests.conftest import Authority

pytestmark = pytest.mark.system

KIB = 1024
PATIENCE_S = 60.0
Open = Callable[[str], Awaitable[AbstractConnection]]


@pytest.fixture
def line(services: Services) -> Iterator[Line]:
    """The node's way to the broker."""
    with bad_line(services.broker.port) as line:
        yield line


@pytest.fixture
async def bulgaria(
    agent: Agent, line: Line, services: Services, provisioned: str, authority: Authority
) -> AsyncIterator[Agent]:
    """Its agent, not working yet, with a link over the line."""
    way = {"broker_host": services.broker.host, "broker_port": line.port, "vhost": provisioned}
    settings = agent.settings.model_copy(update=way)
    link = Link(settings, authority.client("node-bg"))
    shutil.copy(authority.folder / "node-bg.pem", settings.home / "tls.pem")
    yield Agent(settings, agent.keys, agent.box, link, agent.trust, agent.hub)


@pytest.fixture
async def connect(services: Services, provisioned: str, authority: Authority) -> AsyncIterator[Open]:
    """Opens a connection of one of the hub's users, past the line."""
    opened: list[AbstractConnection] = []

    async def connect(user: str) -> AbstractConnection:
        url = f"amqps://{services.broker.host}:{services.broker.port}/{provisioned}?auth=EXTERNAL"
        opened.append(await aio_pika.connect(url, ssl_context=authority.client(user), timeout=20))
        return opened[-1]

    yield connect
    for connection in opened:
        await connection.close()


async def _up(link: Link) -> None:
    async with asyncio.timeout(PATIENCE_S):
        await link.up.wait()


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def _post(agent: Agent, size: int) -> str:
    message = Outgoing(kind="alert", task_force="drugs", body={"title": "a", "text": "x" * size})
    answer, ready = await outbox.accept(agent.box, message, "bg", agent.keys, agent.trust)
    assert ready is not None
    agent.sending.post(ready)
    return str(answer["id"])


async def _states(agent: Agent, ids: list[str]) -> set[str]:
    return {(await agent.box.run(outbox.describe, agent.box, id))["state"] for id in ids}


@pytest.mark.long
async def test_large_messages_get_through_though_each_takes_longer_than_a_confirm_may(
    bulgaria: Agent, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "CONFIRM_S", 0.3)
    ids = [await _post(bulgaria, 16 * KIB) for _ in range(120)]
    with capture_logs() as told:
        working = asyncio.create_task(bulgaria.run())
        try:
            await _up(bulgaria.link)
            line.set(Rule(bytes_per_s=256 * KIB), Side.CLIENT)
            began = time.monotonic()
            while await _states(bulgaria, ids) != {"sent"}:
                assert time.monotonic() < began + PATIENCE_S
                await asyncio.sleep(0.2)
        finally:
            line.heal()
            await _ended(working)
    # So the line was slow, and yet nobody gave it up.
    assert time.monotonic() - began > 5
    assert not [entry for entry in told if entry["event"] in ("publish_interrupted", "link_down")]


async def test_a_batch_is_bounded_in_bytes(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "BATCH_BYTES", 100 * KIB)
    agent.link.up.set()
    ids = [await _post(agent, 16 * KIB) for _ in range(20)]
    batch = await agent.box.run(outbox.ready, 100, 1, urgent=False)
    assert [item.id for item in batch] == ids[: len(batch)]
    assert 100 * KIB <= sum(len(item.envelope) for item in batch) < 120 * KIB
    assert outbox.is_full(batch, 100)
    assert not outbox.is_full(batch[:-1], 100)
    # What is kept in memory as well, and it says that there is more.
    assert len(agent.sending.normal.fresh) == len(batch)
    assert outbox.is_full(agent.sending.normal.fresh, 101)


async def test_what_comes_is_bounded_in_bytes_and_comes_in_order(
    bulgaria: Agent, connect: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = 1000 * KIB
    monkeypatch.setattr(receiving, "ROOM_BYTES", room)
    link, taken, most = bulgaria.link, list[Arrival](), 0
    channel = await (await connect("hub-dispatch")).channel(publisher_confirms=True)
    exchange = await channel.get_exchange("dispatch", ensure=False)
    # Small ones first, so that many are asked for at once.
    bodies = [b"%04d" % number for number in range(300)]
    bodies += [b"%04d" % number + bytes(200 * KIB) for number in range(300, 360)]
    bodies += [b"%04d" % number for number in range(360, 400)]
    running = asyncio.create_task(link.run())
    with capture_logs() as told:
        try:
            await _up(link)
            for part in (bodies[:300], bodies[300:]):
                for body in part:
                    message = aio_pika.Message(body, delivery_mode=2, type="poem", user_id="hub-dispatch")
                    await exchange.publish(message, "bg", mandatory=True, timeout=20)
                end = time.monotonic() + PATIENCE_S
                while (left := len(bodies) if part[-1] == bodies[-1] else 300) > len(taken):
                    assert time.monotonic() < end, f"{len(taken)} of {left}"
                    # Time for all to come that the broker gives.
                    await asyncio.sleep(0.15)
                    most = max(most, sum(len(arrival.body) for _, _, arrival in link._arrivals._queue))
                    batch = await link.batch(100, 0.2)
                    taken += batch
                    await link.acknowledge(batch)
        finally:
            await _ended(running)
    assert [arrival.body for arrival in taken] == bodies
    assert 200 * KIB < most <= room
    assert "link_down" not in [entry["event"] for entry in told]


def _noting_what_comes(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """All bodies that the line brings, whether there is room for them or not."""
    came, take = list[bytes](), receiving.Receiver._take

    async def noting(receiver: receiving.Receiver, message: Any) -> None:
        came.append(bytes(message.body))
        await take(receiver, message)

    monkeypatch.setattr(receiving.Receiver, "_take", noting)
    return came


async def test_however_slowly_large_messages_are_stored_none_is_given_back_again_and_again(
    bulgaria: Agent, connect: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each batch takes longer than a large message makes another one likely.
    monkeypatch.setattr(receiving, "ROOM_BYTES", 1000)
    monkeypatch.setattr(receiving, "NARROW_S", 0.1)
    monkeypatch.setattr(receiving, "SLOWEST", 2**40)
    channel = await (await connect("hub-dispatch")).channel(publisher_confirms=True)
    exchange = await channel.get_exchange("dispatch", ensure=False)
    bodies = [b"%02d" % number + bytes(498 * (number > 0)) for number in range(30)]
    for body in bodies:
        message = aio_pika.Message(body, delivery_mode=2, type="poem", user_id="hub-dispatch")
        await exchange.publish(message, "bg", mandatory=True, timeout=20)
    link, taken, came = bulgaria.link, list[Arrival](), _noting_what_comes(monkeypatch)
    running = asyncio.create_task(link.run())
    try:
        await _up(link)
        end = time.monotonic() + PATIENCE_S
        while len(taken) < len(bodies):
            assert time.monotonic() < end, len(taken)
            await asyncio.sleep(0.3)
            batch = await link.batch(100, 0.2)
            taken += batch
            await link.acknowledge(batch)
    finally:
        await _ended(running)
    assert [arrival.body for arrival in taken] == bodies
    assert max(map(came.count, bodies)) <= 2


@pytest.mark.long
async def test_little_comes_in_vain_over_a_slow_line_when_large_messages_follow_small_ones(
    bulgaria: Agent, line: Line, connect: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiving, "ROOM_BYTES", 1000 * KIB)
    monkeypatch.setattr(receiving, "IN_VAIN_S", 0.5)
    link, taken, came = bulgaria.link, list[Arrival](), _noting_what_comes(monkeypatch)
    channel = await (await connect("hub-dispatch")).channel(publisher_confirms=True)
    exchange = await channel.get_exchange("dispatch", ensure=False)
    small = [b"%04d" % number for number in range(50)]
    large = [b"%04d" % number + bytes(200 * KIB) for number in range(50, 80)]
    running = asyncio.create_task(link.run())
    with capture_logs() as told:
        try:
            await _up(link)
            for part, rule in ((small, FREE), (large, Rule(bytes_per_s=512 * KIB))):
                line.set(rule, Side.BROKER)
                for body in part:
                    message = aio_pika.Message(body, delivery_mode=2, type="poem", user_id="hub-dispatch")
                    await exchange.publish(message, "bg", mandatory=True, timeout=20)
                # What comes meanwhile is stored late, so that there is no room for all of it.
                await asyncio.sleep(3.0)
                end = time.monotonic() + PATIENCE_S
                while not {arrival.body for arrival in taken} >= set(part):
                    assert time.monotonic() < end, len(taken)
                    batch = await link.batch(100, 0.2)
                    taken += batch
                    await link.acknowledge(batch)
                # Time for as many to be asked for as have room.
                await asyncio.sleep(0.5)
        finally:
            line.heal()
            await _ended(running)
    assert sorted(arrival.body for arrival in taken) == [*small, *large]
    # Nearly all of the large ones were on their way when there was no more room.
    assert sum(map(len, came)) - sum(map(len, large)) < sum(map(len, large)) / 2
    assert [entry["event"] for entry in told].count("link_down") == 1


@pytest.mark.long
async def test_large_messages_come_over_a_slow_line(bulgaria: Agent, line: Line, connect: Open) -> None:
    channel = await (await connect("hub-dispatch")).channel(publisher_confirms=True)
    exchange = await channel.get_exchange("dispatch", ensure=False)
    for _ in range(6):
        message = aio_pika.Message(bytes(512 * KIB), delivery_mode=2, type="poem", user_id="hub-dispatch")
        for key in ("bg", "bg.urgent"):
            await exchange.publish(message, key, mandatory=True, timeout=20)
    line.set(Rule(bytes_per_s=512 * KIB), Side.BROKER)
    link, came = bulgaria.link, 0
    running = asyncio.create_task(link.run())
    began = time.monotonic()
    with capture_logs() as told:
        try:
            await _up(link)
            # What both queues give at once is little, so that the link is up long before all has come.
            assert time.monotonic() - began < 5
            while came < 12:
                assert time.monotonic() < began + PATIENCE_S
                batch = await link.batch(100, 1.0)
                came += len(batch)
                await link.acknowledge(batch)
        finally:
            line.heal()
            await _ended(running)
    assert "link_down" not in [entry["event"] for entry in told]
