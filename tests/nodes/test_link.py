"""The link's promises to the two lanes that publish over it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, cast

import pytest

from crypto.envelope import seal
from crypto.trust import Trust
from nodes import link as link_module
from nodes import outbox, sending
from nodes.agent import Agent
from nodes.publishing import Publication
from nodes.receiving import Arrival
from schemas.codes import Priority
from schemas.control import MessageType
from schemas.header import new_id
from tests.crypto.people import BG, RO, TR, routing
from tests.nodes.conftest import FAR, roster
from tests.nodes.test_lanes import post


class Connection:
    """What a link asks of its connection when it gives it up."""

    def __init__(self) -> None:
        self.closed = False

    async def close(self) -> None:
        self.closed = True


async def _never(*_: Any) -> list[bool]:
    await asyncio.Event().wait()
    return []


def _stay_up(agent: Agent, monkeypatch: pytest.MonkeyPatch, publish: Callable[..., Awaitable[Any]]) -> None:
    """A link that is always there, and publishes so."""

    async def stay_up() -> None:
        agent.link.up.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(agent.link, "publish", publish)
    monkeypatch.setattr(agent.link, "run", stay_up)


def _open(link: Any) -> tuple[Any, Connection]:
    connection = Connection()
    link._publishing, link._connections = SimpleNamespace(is_closed=False), [connection]
    link._gone = asyncio.get_running_loop().create_future()
    return link._publishing, connection


async def test_a_publish_on_a_link_that_is_gone_leaves_the_new_one_alone(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "publish", _never)
    monkeypatch.setattr(link_module, "CONFIRM_S", 0.2)
    _open(agent.link)
    late = asyncio.create_task(agent.link.publish([]))
    await asyncio.sleep(0.1)
    publishing, connection = _open(agent.link)
    await late
    assert agent.link._publishing is publishing
    assert not connection.closed


async def test_who_publishes_is_told_when_the_other_lane_gives_the_link_up(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "publish", _never)
    _open(agent.link)
    waiting = asyncio.create_task(agent.link.publish([Publication("a", MessageType.ENVELOPE, False, b"")]))
    await asyncio.sleep(0)
    await agent.link._close()
    async with asyncio.timeout(link_module.CONFIRM_S / 2):
        assert await waiting == [None]


async def test_what_breaks_the_link_again_and_again_lets_others_go_first(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[list[str]] = []
    other = asyncio.Event()

    async def publish(items: Sequence[Any]) -> list[bool | None]:
        calls.append([item.message_id for item in items])
        if poison in calls[-1]:
            # A confirm is waited for longer than a message is put off.
            await asyncio.sleep(0.3)
            return [None] * len(items)
        other.set()
        return [True] * len(items)

    _stay_up(agent, monkeypatch, publish)
    monkeypatch.setattr(sending, "TICK_S", 0.01)
    monkeypatch.setattr(sending, "DEFER_MS", 200)
    poison = await post(agent, Priority.NORMAL)
    await post(agent, Priority.NORMAL)
    working = asyncio.create_task(agent.run())
    try:
        async with asyncio.timeout(30):
            await other.wait()
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


async def test_what_was_sent_is_written_though_the_first_try_fails_and_the_link_is_down(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = await post(agent, Priority.NORMAL)
    agent.sending.sent.append((id, 1))

    def fail(*_: object) -> None:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        await agent.sending.write(fail)
    working = asyncio.create_task(agent.run())
    try:
        for _ in range(200):
            state = (await agent.box.run(outbox.describe, agent.box, id))["state"]
            if state == "sent":
                break
            await asyncio.sleep(0.05)
        assert state == "sent"
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


async def test_no_two_acknowledgements_under_way_have_one_id(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    # Two senders may choose the same id for a message; the library finds a returned publication by its id.
    ids: list[str] = []
    acknowledged = asyncio.Event()

    async def publish(items: Sequence[Publication]) -> list[bool]:
        found = [item.message_id for item in items if item.message_id.startswith("ack-")]
        ids.extend(found)
        if found:
            acknowledged.set()
        return [True] * len(items)

    _stay_up(agent, monkeypatch, publish)
    agent.trust = Trust.of(roster(2, RO, BG, TR))
    id, body = new_id(), b'{"title": "a", "text": "b"}'
    for who in (RO, TR):
        header = routing(who.node, ("bg",), id=id, expires=FAR)
        envelope = seal(header, body, {"bg": BG.encryption.public}, who.signing)[1]
        await agent.box.run(agent.take_in, [Arrival(MessageType.ENVELOPE, envelope, 1)])
    working = asyncio.create_task(agent.run())
    try:
        async with asyncio.timeout(10):
            await acknowledged.wait()
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
    assert len(ids) == len(set(ids)) == 2


async def test_a_lane_that_is_long_in_being_renewed_hides_no_loss_of_the_other_connection(agent: Agent) -> None:
    link: Any = agent.link
    publishing, _ = _open(link)
    link._connections = []
    # On a slow line, what is on its way already comes before the answer.
    link._lanes = [SimpleNamespace(closed=False, renew=asyncio.Event().wait)]
    waiting = asyncio.create_task(link._until_closed())
    await asyncio.sleep(0)
    publishing.is_closed = True
    async with asyncio.timeout(2):
        await waiting


async def test_what_fails_while_a_lane_is_renewed_gives_the_link_up(agent: Agent) -> None:
    async def fail() -> None:
        raise OSError("lost")

    link: Any = agent.link
    _open(link)
    link._connections, link._lanes = [], [SimpleNamespace(closed=False, renew=fail)]
    async with asyncio.timeout(2):
        with pytest.raises(OSError, match="lost"):
            await link._until_closed()


async def test_who_is_deaf_to_cancelling_holds_up_no_new_link(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    async def close() -> None:
        while True:
            with suppress(asyncio.CancelledError):
                await released.wait()
                return

    released = asyncio.Event()
    monkeypatch.setattr("nodes.link.CLOSE_S", 0.05)
    link: Any = agent.link
    link._connections = [SimpleNamespace(close=close)]
    giving_up = asyncio.create_task(link._close())
    done, _ = await asyncio.wait((giving_up,), timeout=5)
    released.set()
    assert done


async def test_a_connection_lost_before_its_channels_are_open_is_seen(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def connect(*_: Any) -> Any:
        return connection

    transport = SimpleNamespace(connection=SimpleNamespace(is_opened=True))
    connection = SimpleNamespace(is_closed=False, channel=_never_a_channel, transport=transport)
    monkeypatch.setattr("nodes.link.connect", connect)
    opening = asyncio.create_task(cast(Any, agent.link)._open())
    await asyncio.sleep(0.05)
    transport.connection.is_opened = False
    async with asyncio.timeout(5):
        with pytest.raises(ConnectionError):
            await opening


async def _never_a_channel(**_: Any) -> None:
    await asyncio.Event().wait()
