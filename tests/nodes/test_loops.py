"""The agent's loops: nothing but the agent's own end ends one."""

import asyncio

import pytest

from nodes import loops
from nodes.loops import through_trouble


async def test_a_loop_that_somebody_else_s_cancelling_ends_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "TICK_S", 0.01)
    begun = asyncio.Queue[int]()

    async def loop() -> None:
        begun.put_nowait(1)
        waited_for = asyncio.get_running_loop().create_future()
        # As the library ends who waits for an answer on a channel that is lost.
        waited_for.cancel()
        await waited_for

    running = asyncio.create_task(through_trouble(loop, "loop"))
    async with asyncio.timeout(5):
        for _ in range(3):
            await begun.get()
    assert not running.done()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
