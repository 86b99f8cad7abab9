"""What the hub publishes, on a real broker: an inbox that is silent, and a slow line."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aio_pika.abc import AbstractIncomingMessage
from pamqp.commands import Basic
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from crypto.note import NoteSigner
from deploy.local.chaos import Rule, Side, bad_line
from deploy.local.services import Services
from hub import dispatch
from hub.broker import BrokerAddress
from hub.dispatch import Dispatcher
from hub.held import FIRST_PAUSE_MS
from hub.ingest import Ingest
from hub.ledger import Ledger
from hub.lockstore import LockStore
from hub.publication import Publication
from hub.retrying import retry_held
from hub.topology import HUB_USERS, inbox_queue
from schemas.control import MessageType
from tests.conftest import Authority
from tests.crypto.people import HUB

pytestmark = pytest.mark.system

KIB = 1024
SILENCE_S = 4.0


@pytest.fixture
def broker(services: Services, provisioned: str, authority: Authority) -> BrokerAddress:
    """The way to a broker that is provisioned for bg and ro."""
    contexts = {user: authority.client(user) for user in (*HUB_USERS, "node-ro")}
    return BrokerAddress(services.broker.host, services.broker.port, provisioned, contexts)


@pytest.fixture
async def worker(broker: BrokerAddress, engine: AsyncEngine) -> AsyncIterator[Ingest]:
    """A worker that only publishes."""
    settings: Any = SimpleNamespace(verifiers=0, canary_s=30.0, witness_round_s=30.0)
    ledger = Ledger("ledger", NoteSigner("ledger", HUB.signing), LockStore(Path("none"), "ledger"))
    worker = Ingest(settings, broker, engine, ledger)
    yield worker
    await worker._dispatcher.close()
    async with engine.begin() as connection:
        await connection.execute(text("DELETE FROM held"))


@contextmanager
def silent(services: Services, vhost: str, queue: str) -> Iterator[None]:
    """A queue that takes what comes and says nothing, as one whose leader cannot reach the others."""
    services.broker.run_ctl(["eval", f"sys:suspend('{vhost}_{queue}')."])
    try:
        yield
    finally:
        services.broker.run_ctl(["eval", f"sys:resume('{vhost}_{queue}')."])


@pytest.mark.parametrize("messages", [1, 30])
async def test_a_silent_inbox_holds_up_no_receipt(
    worker: Ingest, broker: BrokerAddress, services: Services, messages: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "CONFIRM_S", SILENCE_S)
    monkeypatch.setattr(dispatch, "WINDOW", 20)
    receipt = Publication("ro", MessageType.RECEIPTS, False, f"receipt/{messages}", b"receipt")
    envelopes = [Publication("bg", MessageType.ENVELOPE, False, f"{messages}/{n}", b"text") for n in range(messages)]
    # The connection is there, as it is in a worker.
    await worker._send([Publication("ro", MessageType.RECEIPTS, False, f"first/{messages}", b"first")])
    came: list[tuple[bytes, float]] = []
    connection = await broker.connect("node-ro")
    queue = await (await connection.channel()).get_queue(inbox_queue("ro", urgent=False), ensure=False)

    async def note(message: AbstractIncomingMessage) -> None:
        came.append((message.body, time.monotonic()))
        await message.ack()

    await queue.consume(note)
    with silent(services, broker.vhost, inbox_queue("bg", urgent=False)):
        began = time.monotonic()
        behind = Publication("ro", MessageType.ENVELOPE, False, f"behind/{messages}", b"behind")
        await worker._send([*envelopes, behind, receipt])
        took = time.monotonic() - began
    await connection.close()
    times = {body: at - began for body, at in came}
    assert times[b"receipt"] < 1.0
    # And it was silent, for the time that it is given.
    assert SILENCE_S <= took < SILENCE_S + 4
    # What stood behind it came after all.
    assert b"behind" in times
    async with worker._engine.connect() as database:
        assert await database.scalar(text("SELECT count(*) FROM held WHERE node = 'bg'")) == messages
        assert await database.scalar(text("SELECT count(*) FROM held WHERE node = 'ro'")) == 0


SEVERAL = (("bg", False), ("bg", True), ("ro", True))


@pytest.mark.long
@pytest.mark.parametrize("at_once", [True, False])
async def test_several_silent_inboxes_cost_little_more_than_one_and_only_once(
    worker: Ingest, broker: BrokerAddress, services: Services, at_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "CONFIRM_S", SILENCE_S)
    monkeypatch.setattr(dispatch, "HASTY_S", 0.5)
    number = itertools.count()

    async def send(*inboxes: tuple[str, bool]) -> float:
        items = [
            Publication(node, MessageType.ENVELOPE, urgent, f"several/{at_once}/{next(number)}", b"text")
            for node, urgent in (*inboxes, ("ro", False))
        ]
        began = time.monotonic()
        await worker._send(items)
        return time.monotonic() - began

    async def held(node: str, urgent: bool) -> Any:
        async with worker._engine.connect() as database:
            query = text("SELECT count(*) FROM held WHERE node = :node AND urgent = :urgent")
            return await database.scalar(query, {"node": node, "urgent": int(urgent)})

    beside = Dispatcher(broker, tries_for=worker._dispatcher)
    await send()
    with ExitStack() as silence:
        for node, urgent in SEVERAL:
            silence.enter_context(silent(services, broker.vhost, inbox_queue(node, urgent=urgent)))
        took = [await send(*SEVERAL)] if at_once else [await send(inbox) for inbox in SEVERAL]
        assert SILENCE_S <= sum(took) < 2 * SILENCE_S
        # Nor are they tried here again, however long it takes.
        for inbox in SEVERAL:
            worker._dispatcher._silent[dispatch._key(_to(inbox))] -= 2 * dispatch.SILENT_S
        worker._dispatcher._hasty_until -= 2 * dispatch.SILENT_S
        assert await send(*SEVERAL) < SILENCE_S / 2
    assert [await held(*inbox) for inbox in SEVERAL] == [2, 2, 2]
    assert await held("ro", False) == 0
    await asyncio.sleep(FIRST_PAUSE_MS / 1000)
    assert await retry_held(worker._engine, beside) == 6
    # They have answered, and are trusted again.
    await send(*SEVERAL)
    assert [await held(*inbox) for inbox in SEVERAL] == [0, 0, 0]
    await beside.close()


def _to(inbox: tuple[str, bool]) -> Publication:
    return Publication(inbox[0], MessageType.ENVELOPE, inbox[1], "", b"")


async def test_receipts_of_few_messages_wait_for_them(
    worker: Ingest, broker: BrokerAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    write, written = dispatch._write, list[asyncio.Future[Any]]()

    async def noting(channels: Any, items: Any) -> list[asyncio.Future[Any]]:
        order.extend(["confirmed"] * sum(one.done() for one in written))
        order.extend(str(item.type) for item in items)
        written.extend(await write(channels, items))
        return written[-len(items) :]

    monkeypatch.setattr(dispatch, "_write", noting)
    await worker._send(
        [
            Publication("ro", MessageType.RECEIPTS, False, "in turn/receipt", b"receipt"),
            Publication("bg", MessageType.ENVELOPE, False, "in turn/text", b"text"),
        ]
    )
    assert order == ["envelope", "confirmed", "receipts"]


async def test_a_slow_line_is_no_silent_inbox(
    broker: BrokerAddress, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "CONFIRM_S", 0.5)
    with bad_line(services.broker.port) as line:
        dispatcher = Dispatcher(BrokerAddress(broker.host, line.port, broker.vhost, broker.contexts))
        await dispatcher.publish([Publication("bg", MessageType.ROSTER, False, "slow/first", b"first")])
        line.set(Rule(bytes_per_s=512 * KIB), Side.CLIENT)
        began = time.monotonic()
        large = [Publication("bg", MessageType.ENVELOPE, False, f"slow/{n}", bytes(256 * KIB)) for n in range(8)]
        assert await dispatcher.publish(large) == []
        assert time.monotonic() - began > 2
        line.heal()
        await dispatcher.close()


async def test_what_has_arrived_at_a_silent_inbox_is_not_waited_for_as_if_it_were_on_a_slow_line(
    worker: Ingest, broker: BrokerAddress, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "CONFIRM_S", 1.0)
    large = [Publication("bg", MessageType.ENVELOPE, False, f"arrived/{n}", bytes(256 * KIB)) for n in range(12)]
    on_a_slow_line_s = sum(len(item.body) for item in large) / dispatch.SLOWEST
    await worker._send([Publication("ro", MessageType.RECEIPTS, False, "arrived/first", b"first")])
    with silent(services, broker.vhost, inbox_queue("bg", urgent=False)):
        began = time.monotonic()
        await worker._send(large)
        assert time.monotonic() - began < on_a_slow_line_s / 2
    async with worker._engine.connect() as database:
        assert await database.scalar(text("SELECT count(*) FROM held WHERE node = 'bg'")) == len(large)


async def test_what_is_passed_over_is_not_sent_when_the_time_runs_out_that_very_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[Publication] = []

    async def publish(_: Any, items: Any, then: Any, __: float) -> list[str]:
        sent.extend((*items, *then))
        return ["" for _ in (*items, *then)]

    async def nothing(_: Any) -> None: ...

    monkeypatch.setattr(dispatch, "_publish", publish)
    monkeypatch.setattr(Dispatcher, "_open", nothing)
    clock = iter((9.9, 10.1, 10.1))
    monkeypatch.setattr(dispatch, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    address: Any = None
    dispatcher = Dispatcher(address)
    item = Publication("bg", MessageType.ENVELOPE, False, "twice", b"text")
    dispatcher._silent = {dispatch._key(item): 10.0}
    # Held, it is published later on: it must not go out now as well.
    assert [one.publication for one in await dispatcher.publish([item])] + sent == [item]


async def test_a_look_at_a_slow_line_ends_with_the_call_that_it_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    confirmation: asyncio.Future[Any] = loop.create_future()

    async def arrived(_: Any) -> None:
        confirmation.set_result(Basic.Ack())
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    monkeypatch.setattr(dispatch, "_arrived", arrived)
    channel: Any = SimpleNamespace(closing=loop.create_future())
    channels: Any = SimpleNamespace(connection=None, by={True: channel})
    assert await dispatch._reasons(channels, [confirmation], [10 * dispatch.SLOWEST], 0.1) == [""]
    # The connection goes on in use: nothing more is opened on it.
    await asyncio.wait_for(ended.wait(), SILENCE_S)
