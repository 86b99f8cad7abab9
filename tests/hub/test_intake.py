"""What the intake takes from a real broker, and how much of it it holds at once."""

import asyncio
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from aio_pika.abc import AbstractConnection
from structlog.testing import capture_logs

from hub import intake
from hub.intake import Intake, Pace
from hub.judge import Arrival, Unreadable, judge
from schemas.control import MessageType
from tests.crypto.people import NOW, sealed, trust
from tests.hub.conftest import Send

pytestmark = pytest.mark.system

MIB = 1024 * 1024
PACE = Pace(prefetch=1000, batch=200, shared_batch=32, rate=1e6, burst=100_000)
PATIENCE_S = 60.0


async def _take(taking: Intake, count: int, most: list[int]) -> list[Arrival]:
    """So many messages, settled batch by batch; `most` gets how many bytes were held when each batch was taken."""
    taken: list[Arrival] = []
    deadline = time.monotonic() + PATIENCE_S
    while len(taken) < count and time.monotonic() < deadline:
        # Time for all to come that the broker gives.
        await asyncio.sleep(0.3)
        held = sum(len(arrival.body) for source in taking.normal._sources.values() for arrival in source.waiting)
        lane, batch = await taking.batch(1.0, lambda: 0, lambda: False)
        most.append(held)
        taken += batch
        if batch:
            await lane.acknowledge(batch)
    return taken


async def test_what_is_held_is_bounded_in_bytes_and_nothing_is_lost(
    connection: AbstractConnection, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "ROOM_BYTES", 5 * MIB)
    taking = Intake(connection, PACE)
    # A small one first, so that many are asked for at once.
    bodies = [b"small", *(b"%04d" % number + bytes(MIB - 4) for number in range(40)), b"small again"]
    await send("q.in.ro", *bodies)
    await taking.normal.add(["ro"])
    most: list[int] = []
    taken = await _take(taking, len(bodies), most)
    assert max(most) <= 5 * MIB
    assert [arrival.body for arrival in taken] == bodies
    # Only what was there the first time was given twice.
    assert max(arrival.returns for arrival in taken) == 1
    assert not taking.closed


async def test_what_is_given_back_comes_again_in_its_order(
    connection: AbstractConnection, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "ROOM_BYTES", 400_000)
    taking = Intake(connection, PACE)
    # A small one first, so that many are asked for at once.
    bodies = [b"small", *(b"%04d" % number + bytes(10_000) for number in range(400))]
    await send("q.in.ro", *bodies)
    await taking.normal.add(["ro"])
    taken = await _take(taking, len(bodies), [])
    assert [arrival.body[:5] for arrival in taken] == [body[:5] for body in bodies]


async def test_a_batch_is_bounded_in_bytes_and_has_one_message_at_least(
    connection: AbstractConnection, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "BATCH_BYTES", 1000)
    taking = Intake(connection, PACE)
    bodies = [b"%03d" % number + bytes(297) for number in range(10)]
    await send("q.in.ro", b"first", *bodies, bytes(5000), b"last")
    await taking.normal.add(["ro"])
    await _take(taking, 1, [])
    await asyncio.sleep(0.5)
    sizes = []
    while sum(sizes) < 12:
        lane, batch = await taking.batch(5.0, lambda: 0, lambda: False)
        assert batch
        assert len(batch) == 1 or sum(len(arrival.body) for arrival in batch) <= 1000
        sizes.append(len(batch))
        await lane.acknowledge(batch)
    assert max(sizes) > 1


async def test_a_queue_whose_messages_are_small_again_is_given_its_prefetch_back(
    connection: AbstractConnection, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "ROOM_BYTES", 1000)
    monkeypatch.setattr(intake, "NARROW_S", 1.0)
    taking = Intake(connection, PACE)
    await send("q.in.bg", bytes(500), *(bytes(400) for _ in range(6)))
    await taking.normal.add(["bg"])
    await _take(taking, 7, [])
    small = [b"%02d" % number for number in range(30)]
    await send("q.in.bg", *small)
    most: list[int] = []
    taken = await _take(taking, len(small), most)
    await asyncio.sleep(1.2)
    await taking.batch(0.2, lambda: 0, lambda: False)
    await send("q.in.bg", *small)
    taken += await _take(taking, len(small), most)
    assert [arrival.body for arrival in taken] == [*small, *small]
    # Before, two at a time at most; now all at once.
    assert max(most) == sum(map(len, small))


@pytest.mark.parametrize(
    ("headers", "fault"),
    [
        ({"CC": ["nowhere"]}, "further_addresses"),
        ({"CC": []}, "further_addresses"),
        ({"padding": "x" * 5000}, "headers_unreadable"),
        ({"cc": "copy"}, ""),
        (None, ""),
    ],
)
async def test_further_addresses_are_seen(
    connection: AbstractConnection, send: Send, headers: dict[str, object] | None, fault: str
) -> None:
    taking = Intake(connection, PACE)
    await send("q.in.ro", sealed(), headers=headers)
    await taking.normal.add(["ro"])
    [arrival] = await _take(taking, 1, [])
    assert arrival.fault == fault
    if fault:
        verdict = judge(replace(arrival, type=MessageType.ENVELOPE), trust(), NOW)
        assert isinstance(verdict, Unreadable)
        assert verdict.reason == fault


async def test_a_queue_that_is_missing_is_told_once_and_taken_up_when_it_is_there(
    connection: AbstractConnection, send: Send
) -> None:
    taking = Intake(connection, PACE)
    with capture_logs() as told:
        for _ in range(3):
            await taking.normal.add(["bg", "tr"])
    assert [(line["event"], line["node"]) for line in told] == [("queue_missing", "tr")]
    channel = await connection.channel()
    await channel.declare_queue("q.in.tr", durable=True, arguments={"x-queue-type": "quorum"})
    await send("q.in.tr", b"here")
    with capture_logs() as told:
        for _ in range(3):
            await taking.normal.add(["bg", "tr"])
    assert [line["event"] for line in told] == ["queue_found"]
    [arrival] = await _take(taking, 1, [])
    assert (arrival.node, arrival.body) == ("tr", b"here")


@pytest.mark.parametrize(
    ("headers", "redelivered", "returns"),
    [
        (None, False, 0),
        ({"x-delivery-count": 3}, True, 3),
        # Whoever sends may set it.
        ({"x-delivery-count": 0}, True, 1),
        ({"x-delivery-count": "3"}, True, 2),
        # RabbitMQ 4.3: given back for want of room is no failure.
        ({"x-acquired-count": 5}, True, 1),
        ({"x-acquired-count": 5, "x-delivery-count": 2}, True, 2),
    ],
)
def test_how_often_a_message_came_back(headers: dict[str, object] | None, redelivered: bool, returns: int) -> None:
    header = SimpleNamespace(properties=SimpleNamespace(headers=headers))
    message = SimpleNamespace(header=header, delivery=SimpleNamespace(redelivered=redelivered))
    assert intake._returns(message) == returns


async def test_however_slowly_large_messages_are_settled_none_is_given_back_again_and_again(
    connection: AbstractConnection, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each batch takes longer than a large message makes another one likely, as while the database hangs.
    monkeypatch.setattr(intake, "ROOM_BYTES", 1000)
    monkeypatch.setattr(intake, "NARROW_S", 0.1)
    taking = Intake(connection, PACE)
    bodies = [b"small", *(b"%02d" % number + bytes(498) for number in range(50)), b"small again"]
    await send("q.in.ro", *bodies)
    await taking.normal.add(["ro"])
    taken = await _take(taking, len(bodies), [])
    # The broker gives up what it had to give more than 20 times.
    assert [arrival.body for arrival in taken] == bodies
    assert max(arrival.returns for arrival in taken) == 1
