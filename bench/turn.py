"""One drain: an ingress queue that is full is emptied into inboxes, by a bare relay or by workers of the hub.

The queue is filled first, while nobody empties it; then one contender is started, with no producer and no sink
beside it. The same for all: queues, users, TLS, number and size of messages, persistence, confirms, and the
clock: the depth of the recipients' inboxes, asked every few milliseconds over AMQP, from the first sample that
shows a message to the first that shows all. What the hub does beyond (verifying, the ledger in PostgreSQL,
receipts to the sender, its log) is inside its time.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bench.busy import look, others_between
from bench.load import SIZE
from bench.place import BenchFailed, Place, Route
from bench.record import check_recorded, recorded
from bench.wire import Depths
from deploy.local.instance import say
from deploy.local.processes import Process
from hub.topology import inbox_queue

SAMPLE_S: Final = 0.02
DRAIN_S: Final = 120
LOAD_S: Final = 120
# What the broker still writes after the load; the same before all.
SETTLE_S: Final = 1.0
LOADERS: Final = 2


@dataclass(frozen=True, slots=True)
class Work:
    """Messages of `size` bytes from one sender, each to all recipients."""

    sender: str
    recipients: tuple[str, ...]
    messages: int
    size: int = SIZE

    @property
    def deliveries(self) -> int:
        """How many messages the inboxes hold in the end."""
        return self.messages * len(self.recipients)


@dataclass(frozen=True, slots=True)
class Contender:
    """Who empties the queue: so many workers of the hub, or with 0 the bare relay."""

    title: str
    workers: int

    @property
    def processes(self) -> int:
        """How many consume the queue."""
        return max(1, self.workers)


RELAY: Final = Contender("relay", 0)
HUB: Final = Contender("hub", 1)
TWO_WORKERS: Final = Contender("two workers", 2)


@dataclass(frozen=True, slots=True)
class Turn:
    """One drain: deliveries per second, and how many cores others kept busy meanwhile (None: not known)."""

    per_s: float
    others: float | None


@dataclass(frozen=True, slots=True)
class Round:
    """One turn of each of two contenders."""

    ours: Turn
    beside: Turn

    @property
    def ratio(self) -> float:
        """Our rate as a part of the other's."""
        return self.ours.per_s / self.beside.per_s


def rounds(place: Place, work: Work, ours: Contender, beside: Contender, count: int) -> list[Round]:
    """So many rounds. The two take turns, so that what else the machine does hits both. Raises BenchFailed."""
    found = []
    for number in range(1, count + 1):
        # Whatever drifts while the benchmark runs favours each as often.
        order = (beside, ours) if number % 2 else (ours, beside)
        turns = {contender: _turn(place, work, contender, f"round {number}/{count}") for contender in order}
        found.append(Round(turns[ours], turns[beside]))
        say(f"  round {number}/{count}: ratio {found[-1].ratio:.2f}")
    return found


def fill(place: Place, work: Work, *, random: bool = False) -> None:
    """Puts messages into the sender's ingress queue, from several processes at once. Raises BenchFailed."""
    home = str(place.exchange.node_home(work.sender))
    options = ["--size", str(work.size), *(["--random"] if random else [])]
    shares = [work.messages // LOADERS + (number < work.messages % LOADERS) for number in range(LOADERS)]
    loaders = [
        place.start("load", home, *work.recipients, "--messages", str(share), *options, name=f"load-{number}")
        for number, share in enumerate(shares)
    ]
    results = [place.result(loader, LOAD_S) for loader in loaders]
    if sum(result["bytes"] for result in results) != work.messages * work.size:
        raise BenchFailed(f"the messages do not have {work.size} bytes each")


def _turn(place: Place, work: Work, contender: Contender, title: str) -> Turn:
    say(f"  {title}: filling the queue for the {contender.title} ...")
    fill(place, work, random=contender is RELAY)
    time.sleep(SETTLE_S)
    before = recorded(place)
    done = asyncio.run(_drain(place, work, contender))
    if contender.workers:
        check_recorded(before, recorded(place), work.messages)
    beside = "" if done.others is None else f", others on {done.others:.1f} cores"
    say(f"  {title}: {contender.title} {done.per_s:.0f} deliveries/s{beside}")
    return done


def _start(place: Place, work: Work, contender: Contender) -> list[Process]:
    if contender is RELAY:
        routes = [str(Route(work.sender, recipient)) for recipient in work.recipients]
        return [place.start("relay", str(place.exchange.hub_home), *routes, name="relay")]
    return [place.exchange.start_hub(f"hub-{number}") for number in range(contender.workers)]


async def _drain(place: Place, work: Work, contender: Contender) -> Turn:
    home = place.exchange.node_home(work.sender)
    inboxes = await Depths.of(home, tuple(inbox_queue(node, urgent=False) for node in work.recipients))
    ingress = await Depths.ingress(home)
    try:
        await empty_inboxes(place)
        if await ingress.read() != work.messages:
            raise BenchFailed(f"{await ingress.read()} messages in the queue, not {work.messages}")
        processes = _start(place, work, contender)
        try:
            done = await _time(place, processes, work, contender, inboxes, ingress)
            await _await_empty(ingress)
        finally:
            place.end(*processes)
        await empty_inboxes(place)
    finally:
        for depths in (inboxes, ingress):
            await depths.close()
    return done


async def empty_inboxes(place: Place) -> None:
    """Deletes what waits in all inboxes."""
    for node in place.exchange.nodes:
        inbox = await Depths.inbox(place.exchange.node_home(node))
        await inbox.purge()
        await inbox.close()


async def _time(
    place: Place, running: Sequence[Process], work: Work, contender: Contender, inboxes: Depths, ingress: Depths
) -> Turn:
    """From the first sample with deliveries, and with every contender's process at work, to the first with all."""
    folder, until = place.exchange.folder, time.monotonic() + DRAIN_S
    # A worker that starts tells every node its roster: one message each that is not of the load.
    announced = contender.workers * len(work.recipients)
    while (first := await inboxes.read() - announced) <= 0 or await ingress.consumers() < contender.processes:
        await _pause(place, running, until)
    began, before = time.monotonic(), look(folder)
    while await inboxes.read() - announced < work.deliveries:
        await _pause(place, running, until)
    seconds, after = time.monotonic() - began, look(folder)
    return Turn((work.deliveries - first) / seconds, others_between(before, after))


async def _pause(place: Place, running: Sequence[Process], until: float) -> None:
    if time.monotonic() > until:
        raise BenchFailed(f"the queue was not empty after {DRAIN_S} s; {place.tail(running[0])}")
    for process in running:
        place.check_alive(process)
    await asyncio.sleep(SAMPLE_S)


async def _await_empty(ingress: Depths) -> None:
    # What was not acknowledged would come back to the queue when the process ends.
    await asyncio.sleep(0.5)
    if left := await ingress.read():
        raise BenchFailed(f"{left} messages are still in the ingress queue")
