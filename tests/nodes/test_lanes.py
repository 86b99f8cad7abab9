"""The two lanes to the hub: when the queue of one is full, the other goes on."""

import asyncio
from collections.abc import Sequence

import pytest

from nodes import outbox, sending
from nodes.agent import Agent
from nodes.outgoing import Outgoing
from nodes.publishing import Publication
from schemas.codes import Priority
from schemas.control import MessageType

PATIENCE_S = 30.0


async def post(agent: Agent, priority: Priority) -> str:
    message = Outgoing(kind="alert", task_force="drugs", priority=priority, body={"title": "a", "text": "b"})
    answer, ready = await outbox.accept(agent.box, message, "bg", agent.keys, agent.trust)
    assert ready is not None
    agent.sending.post(ready)
    return str(answer["id"])


@pytest.mark.parametrize("full", list(Priority))
async def test_a_full_queue_holds_up_no_message_of_the_other_lane(
    agent: Agent, monkeypatch: pytest.MonkeyPatch, full: Priority
) -> None:
    taken: list[str] = []
    some = asyncio.Event()

    async def publish(items: Sequence[Publication]) -> list[bool]:
        # What the broker does when a queue is at its limit: it refuses each message for it.
        answers = [item.urgent != (full is Priority.URGENT) for item in items]
        # The witness asks its questions beside them.
        messages = [ok and item.type == MessageType.ENVELOPE for item, ok in zip(items, answers, strict=True)]
        taken.extend(item.message_id for item, ok in zip(items, messages, strict=True) if ok)
        some.set()
        return answers

    async def stay_up() -> None:
        agent.link.up.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(agent.link, "publish", publish)
    monkeypatch.setattr(agent.link, "run", stay_up)
    free = next(priority for priority in Priority if priority is not full)
    stuck = [await post(agent, full) for _ in range(3)]
    working = asyncio.create_task(agent.run())
    try:
        passed = []
        async with asyncio.timeout(PATIENCE_S):
            for _ in range(5):
                passed.append(await post(agent, free))
                while passed[-1] not in taken:
                    some.clear()
                    await some.wait()
        assert taken == passed
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
    assert [item.id for item in await agent.box.run(outbox.ready, 10, 1, urgent=full is Priority.URGENT)] == stuck


async def test_what_was_posted_while_the_link_was_down_is_not_overtaken(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[str] = []
    some = asyncio.Event()

    async def await_taken(posted: list[str]) -> None:
        while set(taken) != set(posted):
            some.clear()
            await some.wait()

    async def publish(items: Sequence[Publication]) -> list[bool]:
        taken.extend(item.message_id for item in items)
        some.set()
        return [True for _ in items]

    monkeypatch.setattr(agent.link, "publish", publish)
    monkeypatch.setattr(sending, "LOOK_S", 3.0)
    agent.link.up.set()
    keeping = asyncio.create_task(agent.sending.keep_sending(agent.sending.normal))
    try:
        posted = [await post(agent, Priority.NORMAL)]
        async with asyncio.timeout(PATIENCE_S):
            await await_taken(posted)
            # It looked into the store a moment ago. The link is lost, and there again, as fast as it can be.
            agent.link.up.clear()
            posted.append(await post(agent, Priority.NORMAL))
            await asyncio.sleep(0.01)
            agent.link.up.set()
            posted.append(await post(agent, Priority.NORMAL))
            await await_taken(posted)
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
    assert taken == posted
