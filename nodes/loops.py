"""What the agent's loops have in common: they pause until there is work, and go on after trouble with the disk.

None of them ends before the agent does, least of all without a word: a group of tasks takes one that was cancelled, by
whomever, for one that is done, and the others would go on without it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from crypto.log import log

BATCH: Final = 100
TICK_S: Final = 1.0
# When so many came at once there is load: what comes meanwhile is done together, which costs everyone less.
MANY: Final = 4
GATHER_S: Final = 0.04


class UnderWay:
    """What loops are better not broken off in: between the broker's word and the store's, or the other way round."""

    def __init__(self) -> None:
        self._open, self._idle = asyncio.Event(), asyncio.Event()
        self._open.set()
        self._idle.set()
        self._number = 0

    @asynccontextmanager
    async def piece(self) -> AsyncIterator[None]:
        """One of these; does not begin any more once all are to be finished."""
        await self._open.wait()
        self._number += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._number -= 1
            if not self._number:
                self._idle.set()

    async def finished(self) -> None:
        """Once none is under way; none begins from now on."""
        self._open.clear()
        await self._idle.wait()


async def pause(event: asyncio.Event) -> None:
    """Until there is work, or for a tick."""
    with suppress(TimeoutError):
        async with asyncio.timeout(TICK_S):
            await event.wait()


async def gather(done: int) -> None:
    """Under load, lets work come together. `done` is how much the last batch had."""
    # A full batch has more behind it.
    if MANY < done < BATCH:
        await asyncio.sleep(GATHER_S)


async def through_trouble(loop: Callable[[], Awaitable[None]], name: str) -> None:
    """Runs a loop for ever, and anew when the store fails or somebody else's cancelling ends it."""
    while True:
        try:
            await loop()
        except (SQLAlchemyError, OSError) as error:
            log.error("store_failed", error=type(error).__name__, loop=name)
        except asyncio.CancelledError as error:
            raise_if_ours(error)
            log.error("loop_cancelled", loop=name)
        await asyncio.sleep(TICK_S)


def raise_if_ours(error: BaseException) -> None:
    """Raises it if it is the cancelling of this task."""
    # aiormq ends a channel that is lost with CancelledError or a bare Exception: neither must end a loop of ours.
    task = asyncio.current_task()
    if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
        raise error
