"""What goes out of the outbox: a lane for each ingress queue, and what was sent is marked with the next transaction."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Concatenate, Final, ParamSpec, TypeVar

from sqlalchemy.engine import Connection

from nodes import outbox
from nodes.link import Link
from nodes.loops import BATCH, TICK_S, UnderWay, gather, pause
from nodes.metrics import RESENDS
from nodes.publishing import Publication
from nodes.store import Store
from nodes.witness import Witness
from schemas.control import MessageType

P = ParamSpec("P")
T = TypeVar("T")

DEFER_MS: Final = 5_000
# Between two looks into the store for what is to be sent again.
LOOK_S: Final = 1.0


@dataclass
class Lane:
    """What goes to one of the two ingress queues: when one is full, the other goes on.

    `posted` wakes the loop that sends, which looks by itself each second too. `fresh` has what was stored a
    moment ago, which need not be read again to be sent; `missed` says that something was stored which it has not.
    """

    urgent: bool
    fresh: list[outbox.Ready] = field(default_factory=list)
    missed: bool = False
    posted: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class Sending:
    """The two lanes on their way to the broker; nothing goes while the hub is not trusted.

    `sent` has what the broker took and when (ms): it is written with the next transaction, for should it be lost, the
    message only goes out again.
    """

    box: Store
    link: Link
    witness: Witness
    resend_after_ms: int
    under_way: UnderWay
    urgent: Lane = field(default_factory=lambda: Lane(urgent=True))
    normal: Lane = field(default_factory=lambda: Lane(urgent=False))
    sent: list[tuple[str, int]] = field(default_factory=list)

    def post(self, message: outbox.Ready) -> None:
        """Tells that a message is in the outbox."""
        lane = self.urgent if message.urgent else self.normal
        if self.link.up.is_set() and not outbox.is_full(lane.fresh, BATCH):
            lane.fresh.append(message)
        else:
            lane.missed = True
        lane.posted.set()

    async def keep_sending(self, lane: Lane) -> None:
        """Until cancelled. Raises SQLAlchemyError, OSError when the store fails."""
        at_once, look_at, suspect = BATCH, 0.0, ""
        while True:
            await self.link.up.wait()
            lane.posted.clear()
            if self.witness.caught:
                await asyncio.sleep(TICK_S)
                continue
            now = _now()
            items, lane.fresh = lane.fresh, []
            if lane.missed or time.monotonic() >= look_at or outbox.is_full(items, at_once + 1):
                lane.missed = False
                items = await self.write(outbox.ready, at_once, now, urgent=lane.urgent)
                read = {item.id for item in items}
                lane.fresh = [item for item in lane.fresh if item.id not in read]
                # While nothing in the store stands before it, what comes is sent from memory.
                look_at = 0.0 if outbox.is_full(items, at_once) else time.monotonic() + LOOK_S
            if not items:
                await pause(lane.posted)
                continue
            publications = [Publication(i.id, MessageType.ENVELOPE, i.urgent, i.envelope) for i in items]
            async with self.under_way.piece():
                confirmed = await self.link.publish(publications)
                RESENDS.inc(sum(item.again for item in items))
                self.sent += [(item.id, now) for item, ok in zip(items, confirmed, strict=True) if ok]
            if all(confirmed):
                at_once = min(2 * at_once, BATCH)
                await gather(len(items))
                continue
            # From here the oldest goes alone, until one is taken: the others do not overtake it, a queue that is full
            # is not sent a hundred each second, and if the link broke at it twice (once may have been the other lane's
            # doing), others go first for a while.
            if confirmed == [None]:
                if items[0].id == suspect:
                    await self.box.run(outbox.defer, suspect, _now() + DEFER_MS)
                suspect = items[0].id
            at_once, look_at = 1, 0.0
            await asyncio.sleep(TICK_S)

    async def write(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `box.run`, and in the same transaction what was sent meanwhile. Only the event loop touches `sent`."""
        sent, self.sent = self.sent, []

        def marked(connection: Connection) -> T:
            if sent:
                outbox.mark_sent(connection, sent, self.resend_after_ms)
            return work(connection, *args, **kwargs)

        try:
            return await self.box.run(marked)
        except BaseException:
            self.sent = sent + self.sent
            raise

    async def settle(self) -> None:
        """Writes what was sent, if the next transaction has not come. Raises SQLAlchemyError, OSError."""
        if self.sent:
            await self.write(_nothing)


def _nothing(_: Connection) -> None:
    """What is written when there is nothing to write but what was sent."""


def _now() -> int:
    return time.time_ns() // 1_000_000
