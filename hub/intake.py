"""Intake: what waits in the ingress queues, handed over in batches that are shared fairly between the nodes.

Each queue is consumed on a channel of its own, so that one multiple acknowledgement settles exactly what was
taken of that queue, in whatever order the nodes take turns. The consumer callback only enqueues.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import aiormq.exceptions
from aio_pika.abc import AbstractConnection

from crypto.log import log
from hub.broker import BrokerAddress
from hub.fairness import Allowance, share
from hub.judge import Arrival
from hub.metrics import REDELIVERED
from hub.tolerance import decode_tolerantly, fault_of, give_back, is_lost, printable
from hub.topology import ingress_queue
from schemas.control import MessageType

# What arrives within this time goes together, while it would have to wait anyway.
GATHER_S: Final = 0.002
LOOK_S: Final = 0.05
FEW: Final = 2
URGENT_IN_A_ROW: Final = 4
# What came back so often may be what workers die of: it is taken alone, so that nothing else dies with it.
SUSPECT: Final = 2
SUSPECT_S: Final = 0.1
ACQUIRED: Final = "x-acquired-count"
# For how long a lane or node that sent something counts as one that may send again.
ACTIVE_S: Final = 10.0
TELL_S: Final = 60.0
# Of one queue so many bytes are in hand, settled ones not counted: a full prefetch of ordinary messages, or a few of
# the largest. AMQP knows no such limit, so what is beyond it is left with the broker.
ROOM_BYTES: Final = 16 * 1024 * 1024
BATCH_BYTES: Final = 4 * 1024 * 1024
# For how long a queue that brought more than there was room for is given a smaller prefetch.
NARROW_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How much is taken at once: per queue from the broker, in a batch, and in a batch while others are about.

    A batch is what a newcomer has to wait for, so it is a small one when there is anybody who may come.
    `rate` is how many messages per second a node may send in the long run, and at all times while others send
    too; `burst` is how many at once while it is alone.
    """

    prefetch: int
    batch: int
    shared_batch: int
    rate: float
    burst: int


def _returns(message: Any) -> int:
    headers, again = message.header.properties.headers or {}, int(bool(message.delivery.redelivered))
    count = headers.get("x-delivery-count")
    if isinstance(count, int):
        return max(count, again)
    # From RabbitMQ 4.3 only a failure is a delivery that counts; what we gave back for want of room was only acquired.
    return again if ACQUIRED in headers else SUSPECT * again


class Source:
    """One ingress queue: its channel, and what has arrived and is not taken yet.

    It begins carefully, with one message at a time: were the first one poison, each death of a worker would
    count against all that the broker had delivered with it, until they are given up together.

    What there is no room for is not kept, nor is anything behind it. Once all that was kept is settled the broker is
    asked for the rest, in the same order and as few at a time as there is room for.
    """

    def __init__(self, node: str, queue: str, channel: Any, pace: Pace, something: asyncio.Event) -> None:
        self._channel = channel
        self._queue = queue
        self._tag = queue
        self._prefetch = pace.prefetch
        self._careful = True
        # The tag and size of what is not settled yet, oldest first, and how many bytes that is.
        self._unsettled: deque[tuple[int, int]] = deque()
        self._bytes = 0
        self._overrun, self._renewing, self._left = False, False, list[int]()
        self._largest = 0
        self._narrow_until = 0.0
        self._suspects = 0
        self._something = something
        self.node = node
        self.waiting: deque[Arrival] = deque()
        self._alone = Allowance(pace.rate, pace.burst)
        self._crowded = Allowance(pace.rate, pace.shared_batch)
        self.last = 0.0
        self._told = -TELL_S

    async def consume(self) -> None:
        """Begins. Raises ChannelNotFoundEntity if the queue is missing."""
        await self._begin(1)

    async def _begin(self, prefetch: int) -> None:
        await self._channel.basic_qos(prefetch_count=prefetch)
        await self._channel.basic_consume(self._queue, self._arrived, consumer_tag=self._tag)

    async def trust(self) -> None:
        """From one message at a time to as many as the pace allows, once one has come that is above suspicion."""
        if self._careful and self.waiting and not self.suspect:
            self._careful = False
            careful, self._tag = self._tag, f"{self._queue} in full"
            await self._begin(self._fitting())
            await self._channel.basic_cancel(careful)

    def _fitting(self) -> int:
        # As many as there is room for, should all be as large as the largest so far.
        fitting = max(1, min(self._prefetch, ROOM_BYTES // max(1, self._largest)))
        self._narrow_until = time.monotonic() + NARROW_S if fitting < self._prefetch else 0.0
        return fitting

    async def renew(self, now: float) -> None:
        """Asks the broker again for what there was no room for, once all else is settled; later for more at a time."""
        if self._narrow_until and now > self._narrow_until and not (self._overrun or self._has_large()):
            self._overrun, self._largest, self._narrow_until = True, 0, 0.0
        if self._overrun and not self._unsettled:
            # Until it is cancelled, what comes is not kept; then the broker takes back all that is not settled.
            await self._channel.basic_cancel(self._tag)
            await give_back(self._channel, self._left)
            self._overrun, self._renewing, self._left = False, True, []
            await self._begin(self._fitting())
            self._renewing = False

    def _has_large(self) -> bool:
        # In hand, they are no sign that the next will be small, however long they take.
        return any(size * self._prefetch > ROOM_BYTES for _, size in self._unsettled)

    async def _arrived(self, message: Any) -> None:
        kind, tag = printable(message.header.properties.message_type), message.delivery.delivery_tag
        size, now = len(message.body), time.monotonic()
        self._largest = max(self._largest, size)
        if self._narrow_until and size * self._prefetch > ROOM_BYTES:
            self._narrow_until = now + NARROW_S
        if self._overrun or (self._unsettled and self._bytes + size > ROOM_BYTES):
            self._overrun = True
            self._left.append(tag)
            return
        self._unsettled.append((tag, size))
        self._bytes += size
        if message.delivery.redelivered:
            REDELIVERED.inc()
        arrival = Arrival(self.node, kind, bytes(message.body), tag, _returns(message), fault_of(message))
        self.waiting.append(arrival)
        self._suspects += arrival.returns >= SUSPECT
        if kind == MessageType.ENVELOPE:
            self.last = now
        self._something.set()

    @property
    def suspect(self) -> bool:
        """Whether the next message may be what workers die of."""
        return bool(self.waiting) and self.waiting[0].returns >= SUSPECT

    @property
    def closed(self) -> bool:
        """Whether the channel is gone, or the consumer: the broker cancels that of a queue that is deleted."""
        # While it is asked for again what there was no room for, there is none for a moment.
        return bool(self._channel.is_closed) or not (self._channel.consumers or self._overrun or self._renewing)

    def ready(self, now: float, *, crowded: bool) -> int:
        """How many messages may be taken together now; none while the node has used up its allowance."""
        together = self._above_suspicion()
        granted = self._alone.grant(together, now)
        if crowded:
            granted = self._crowded.grant(granted, now)
        if together and not granted and now > self._told + TELL_S:
            self._told = now
            log.warning("node_throttled", node=self.node, waiting=len(self.waiting))
        return granted

    def _above_suspicion(self) -> int:
        if not self._suspects:
            return len(self.waiting)
        return next(place for place, arrival in enumerate(self.waiting) if arrival.returns >= SUSPECT)

    def within(self, count: int, size: int) -> int:
        """How many of the next `count` messages have at most `size` bytes together; one, however large."""
        for place, arrival in enumerate(islice(self.waiting, count)):
            size -= len(arrival.body)
            if size < 0:
                return max(1, place)
        return count

    def take(self, count: int, now: float) -> list[Arrival]:
        """The next messages."""
        self._alone.spend(count, now)
        self._crowded.spend(count, now)
        taken = [self.waiting.popleft() for _ in range(count)]
        self._suspects -= sum(arrival.returns >= SUSPECT for arrival in taken)
        return taken

    async def acknowledge(self, tag: int) -> None:
        """Settles everything up to a tag. Raises if the channel has closed."""
        await self._channel.basic_ack(tag, multiple=True)
        while self._unsettled and self._unsettled[0][0] <= tag:
            size = self._unsettled.popleft()[1]
            self._bytes -= size
            if self._narrow_until and size * self._prefetch > ROOM_BYTES:
                self._narrow_until = time.monotonic() + NARROW_S


class Lane:
    """The normal or the urgent queues of all nodes."""

    def __init__(self, connection: AbstractConnection, pace: Pace, something: asyncio.Event, *, urgent: bool) -> None:
        self._connection = connection
        self._pace = pace
        self._something = something
        self._urgent = urgent
        self._sources: dict[str, Source] = {}
        self._missing: set[str] = set()

    async def add(self, nodes: Iterable[str]) -> None:
        """Begins to consume the queues of nodes not consumed yet. A queue that is missing is left for later."""
        for node in sorted(set(nodes) - set(self._sources)):
            queue = ingress_queue(node, urgent=self._urgent)
            channel = await self._connection.channel(publisher_confirms=False)
            underlay: Any = await channel.get_underlay_channel()
            # The connection holds channels weakly; the source keeps this one alive.
            underlay.owner = channel
            source = Source(node, queue, underlay, self._pace, self._something)
            try:
                await source.consume()
            except aiormq.exceptions.ChannelNotFoundEntity:
                # Which closes this channel, and no other. It is looked for each second, and told once.
                if queue not in self._missing:
                    log.error("queue_missing", node=node, queue=queue, next="seci-hub provision")
                self._missing.add(queue)
                continue
            if queue in self._missing:
                self._missing.remove(queue)
                log.info("queue_found", node=node, queue=queue)
            self._sources[node] = source

    @property
    def closed(self) -> bool:
        """Whether any of the queues is not consumed any more."""
        return any(source.closed for source in self._sources.values())

    def active(self, now: float) -> set[str]:
        """The nodes that sent a message lately; `now` in seconds of the monotonic clock."""
        return {node for node, source in self._sources.items() if now - source.last < ACTIVE_S}

    def ready(self, now: float, *, crowded: bool) -> dict[str, int]:
        """How many messages of each node may be taken now, where there are any."""
        found = {node: source.ready(now, crowded=crowded) for node, source in self._sources.items() if source.waiting}
        return {node: count for node, count in found.items() if count}

    def suspects(self) -> dict[str, int]:
        """A node whose next message is to be taken alone, if there is one: the one that came back least often."""
        found = [source for source in self._sources.values() if source.suspect]
        return {min(found, key=lambda source: source.waiting[0].returns).node: 1} if found else {}

    async def trust(self) -> None:
        """Opens up the queues that were begun carefully and have shown something above suspicion."""
        for source in self._sources.values():
            await source.trust()

    async def renew(self, now: float) -> None:
        """Asks again for what there was no room for."""
        for source in self._sources.values():
            await source.renew(now)

    def take(self, counts: dict[str, int], now: float) -> list[Arrival]:
        """At most so many messages of each node, those of one node in the order in which they came.

        Each has the same part of a batch's bytes, and one message however large it is.
        """
        batch = []
        for node, count in counts.items():
            source = self._sources[node]
            batch += source.take(source.within(count, BATCH_BYTES // len(counts)), now)
        return batch

    async def acknowledge(self, batch: Sequence[Arrival]) -> None:
        """Settles a batch that `take` gave. Raises if a channel has closed."""
        last = {arrival.node: arrival.tag for arrival in batch}
        for node, tag in last.items():
            await self._sources[node].acknowledge(tag)


class Intake:
    """The consuming connection. When it is lost, a new one is opened and everything unsettled comes again."""

    def __init__(self, connection: AbstractConnection, pace: Pace) -> None:
        self.connection = connection
        self._pace = pace
        self._something = asyncio.Event()
        self.urgent = Lane(connection, pace, self._something, urgent=True)
        self.normal = Lane(connection, pace, self._something, urgent=False)
        self._in_a_row = 0
        self._turn = 0
        self._suspects_since: float | None = None

    @classmethod
    async def open(cls, broker: BrokerAddress, pace: Pace, nodes: Collection[str]) -> "Intake":
        """Connects and consumes the queues of `nodes`. Raises BrokerUnreachable."""
        decode_tolerantly()
        intake = cls(await broker.connect("hub-ingest"), pace)
        await intake.add(nodes)
        return intake

    async def add(self, nodes: Collection[str]) -> None:
        """Begins to consume the queues of newly enrolled nodes."""
        for lane in (self.urgent, self.normal):
            await lane.add(nodes)

    @property
    def closed(self) -> bool:
        """Whether the connection, a channel or a consumer is gone."""
        return is_lost(self.connection) or self.urgent.closed or self.normal.closed

    def wake(self) -> None:
        """A batch is done: who waits for the next one looks again."""
        self._something.set()

    async def batch(
        self, patience: float, under_way: Callable[[], int], busy: Callable[[], bool]
    ) -> tuple[Lane, list[Arrival]]:
        """The next batch, urgent ones first; empty when nothing came within `patience` seconds.

        `under_way` says how many are: few where nodes share the hub, one while there are urgent ones, for they are what
        a newcomer waits for. `busy` says whether it would have to wait anyway: a small one does so for more to come.
        A message that has come back too often is a batch of its own, when there is nothing else and none under way.
        """
        deadline = time.monotonic() + patience
        while (now := time.monotonic()) < deadline and not self.closed:
            self._something.clear()
            for lane in (self.urgent, self.normal):
                await lane.renew(now)
            # Urgent first, but never so long that nothing else is taken: acknowledgements are among the rest.
            tired = self._in_a_row >= URGENT_IN_A_ROW
            order = (self.normal, self.urgent) if tired else (self.urgent, self.normal)
            crowded, most = self._crowded(now), 1 if self.urgent.active(now) else FEW
            for lane in () if self._suspects_wait(now) else order:
                ready = lane.ready(now, crowded=crowded)
                enough = sum(ready.values()) >= self._pace.batch // 2 and not crowded
                if ready and (lane is self.urgent or tired or under_way() < most or enough):
                    await lane.trust()
                    self._in_a_row = self._in_a_row + 1 if lane is self.urgent else 0
                    return lane, lane.take(self._shares(lane, ready, crowded=crowded), now)
            for lane in (self.urgent, self.normal):
                if not under_way() and (alone := lane.suspects()):
                    self._suspects_since = None
                    return lane, lane.take(alone, now)
            await self._gather(GATHER_S if busy() else 0.0)
        return self.normal, []

    async def _gather(self, patience: float) -> None:
        # Woken by what arrives; it looks now and then for an allowance that has grown, or a lost channel.
        with suppress(TimeoutError):
            await asyncio.wait_for(self._something.wait(), LOOK_S)
            await asyncio.sleep(patience)

    def _suspects_wait(self, now: float) -> bool:
        # They stand at the head of their queues: with others always there, their nodes would never have a turn.
        if not (self.urgent.suspects() or self.normal.suspects()):
            self._suspects_since = None
        elif self._suspects_since is None:
            self._suspects_since = now
        return self._suspects_since is not None and now - self._suspects_since > SUSPECT_S

    def _crowded(self, now: float) -> bool:
        urgent, normal = self.urgent.active(now), self.normal.active(now)
        return len(urgent | normal) > 1 or bool(urgent)

    def _shares(self, lane: Lane, ready: dict[str, int], *, crowded: bool) -> dict[str, int]:
        self._turn += 1
        pace = self._pace
        total = pace.shared_batch if lane is self.normal and self.urgent.active(time.monotonic()) else pace.batch
        return share(ready, total, pace.shared_batch if crowded else pace.batch, self._turn)

    async def close(self) -> None:
        """Closes the connection."""
        await self.connection.close()
