"""What must not stop the hub: properties that a hostile node fills with what it likes, and channels that are lost."""

import asyncio
from contextlib import suppress

import aiormq.exceptions
import pytest
from pamqp import header

from hub import tolerance
from hub.ingest import BROKER_TROUBLE
from hub.tolerance import MAX_TABLE, closed, decode_tolerantly, ended, through_cancelled_channels

_HEADERS_ALONE = 1 << 13


def headers(table: bytes) -> object:
    """What is made of a message's headers, of which these are the encoded fields."""
    decode_tolerantly()
    found = header.ContentHeader()
    frame = b"\x00\x3c\x00\x00" + bytes(8) + _HEADERS_ALONE.to_bytes(2) + len(table).to_bytes(4) + table
    found.unmarshal(frame)
    assert found.properties is not None
    return found.properties.headers


def nested(depth: int) -> bytes:
    """An array in an array in an array."""
    value = b""
    for _ in range(depth):
        value = b"A" + len(value).to_bytes(4) + value
    return b"\x01k" + value


def array(nulls: int) -> bytes:
    """An array of so many nulls."""
    return b"\x01kA" + nulls.to_bytes(4) + nulls * b"V"


def test_an_ordinary_table_is_read() -> None:
    assert headers(b"\x01aV" + b"\x01bt\x01") == {"a": None, "b": True}
    assert headers(array(MAX_TABLE - 7)) == {"k": [None] * (MAX_TABLE - 7)}


@pytest.mark.parametrize(
    "table", [array(MAX_TABLE - 6), array(130_000), nested(26_000)], ids=["a byte too many", "wide", "deep"]
)
def test_a_large_table_is_not_looked_into(table: bytes) -> None:
    assert headers(table) == {}


@pytest.mark.parametrize(
    "table",
    [nested(800), b"\x01kT" + b"\xff" * 8, b"\x01kf", b"\x01kZ", b"\x05k", b"\x01kS\x00\x00\x00\x02\xff\xfe"],
    ids=["deep", "a time that is none", "half a float", "an unknown type", "half a name", "no UTF-8"],
)
def test_whatever_a_table_holds_it_is_read_or_replaced(table: bytes) -> None:
    assert isinstance(headers(table), dict)


@pytest.mark.parametrize("reason", [Exception, asyncio.CancelledError, aiormq.exceptions.AMQPConnectionError])
async def test_whatever_a_lost_channel_ends_work_with_is_trouble_with_the_broker(reason: type[BaseException]) -> None:
    async def work() -> None:
        raise reason

    with pytest.raises(BROKER_TROUBLE):
        await through_cancelled_channels(work())


async def test_a_fault_of_ours_stays_one() -> None:
    async def work() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await through_cancelled_channels(work())


async def test_who_is_cancelled_stays_cancelled() -> None:
    waiting = asyncio.create_task(through_cancelled_channels(asyncio.sleep(60)))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_close_that_is_deaf_to_cancelling_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    async def deaf() -> None:
        while not released.is_set():
            with suppress(asyncio.CancelledError):
                await released.wait()

    released = asyncio.Event()
    monkeypatch.setattr(tolerance, "CLOSE_S", 0.05)
    waiting = asyncio.create_task(closed(deaf()))
    done, _ = await asyncio.wait((waiting,), timeout=5)
    released.set()
    assert done
    assert not await waiting


async def test_whether_a_close_went_well_is_told() -> None:
    async def fail() -> None:
        raise OSError("lost")

    async def be_cancelled() -> None:
        raise asyncio.CancelledError

    assert await closed(asyncio.sleep(0))
    assert not await closed(fail())
    assert not await closed(be_cancelled())


async def test_who_forgets_that_it_was_cancelled_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tolerance, "CANCEL_S", 0.01)
    told = 0

    async def forget() -> None:
        nonlocal told
        while told < 3:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                told += 1

    async def fail() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            raise OSError("while it was clearing up")

    async def done() -> None:
        return

    tasks = [asyncio.create_task(work()) for work in (forget, fail, done)]
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await ended(tasks)
    assert told == 3 and all(task.done() for task in tasks)
    await ended([])
