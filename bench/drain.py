"""Draining: how fast a full ingress queue is emptied into an inbox, by a bare relay and by the hub.

The queue is filled first, while neither runs; then one of them is started, with no producer and no sink
beside it. The same for both: queues, users, TLS, number and size of messages, persistence, confirms, and the
clock: the depth of the recipient's inbox, asked every few milliseconds over AMQP, from the first sample that
shows a message to the first that shows all. What the hub does beyond (verifying, the ledger in PostgreSQL,
receipts to the sender, its log) is inside its time. The two take turns, so that what else the machine
does hits both, and each round has its own ratio.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Final

from bench.load import SIZE
from bench.place import BenchFailed, Place, Route
from bench.wire import Depths
from deploy.local.instance import say
from deploy.local.processes import Process

SAMPLE_S: Final = 0.02
DRAIN_S: Final = 90
LOAD_S: Final = 90
# What the broker still writes after the load; the same before both.
SETTLE_S: Final = 1.0
LOADERS: Final = 2


@dataclass(frozen=True, slots=True)
class Round:
    """One turn of each, in messages per second."""

    relay_per_s: float
    hub_per_s: float

    @property
    def ratio(self) -> float:
        """The hub's rate as a part of the relay's."""
        return self.hub_per_s / self.relay_per_s


def measure(place: Place, route: Route, messages: int, rounds: int) -> list[Round]:
    """All rounds. Raises BenchFailed."""
    found = []
    for number in range(1, rounds + 1):
        # Whatever drifts while the benchmark runs favours each as often.
        turns = ("relay", "hub") if number % 2 else ("hub", "relay")
        rates = {turn: _turn(place, route, messages, turn, f"round {number}/{rounds}") for turn in turns}
        found.append(Round(rates["relay"], rates["hub"]))
        say(f"  round {number}/{rounds}: ratio {found[-1].ratio:.2f}")
    return found


def _turn(place: Place, route: Route, messages: int, turn: str, title: str) -> float:
    say(f"  {title}: filling the queue for the {turn} ...")
    fill(place, route, messages, random=turn == "relay")
    time.sleep(SETTLE_S)
    before = _recorded(place)
    if turn == "relay":
        rate = asyncio.run(_drain(place, route, messages, turn, announced=0))
    else:
        # A hub that starts first tells every node its roster: one message that is not of the load.
        rate = asyncio.run(_drain(place, route, messages, turn, announced=1))
        _check_recorded(before, _recorded(place), messages)
    say(f"  {title}: {turn} {rate:.0f} messages/s")
    return rate


def fill(place: Place, route: Route, messages: int, *, random: bool) -> None:
    """Puts messages into the sender's ingress queue, from as many processes as there are cores here."""
    home = str(place.exchange.node_home(route.sender))
    options = ["--random"] if random else []
    shares = [messages // LOADERS + (number < messages % LOADERS) for number in range(LOADERS)]
    loaders = [
        place.start("load", home, route.recipient, "--messages", str(share), *options, name=f"load-{number}")
        for number, share in enumerate(shares)
    ]
    results = [place.result(loader, LOAD_S) for loader in loaders]
    if sum(result["bytes"] for result in results) != messages * SIZE:
        raise BenchFailed(f"the messages do not have {SIZE} bytes each")


def _start(place: Place, route: Route, turn: str) -> Process:
    if turn == "hub":
        return place.exchange.start_hub()
    return place.start("relay", str(place.exchange.hub_home), str(route), name="relay")


async def _drain(place: Place, route: Route, messages: int, turn: str, announced: int) -> float:
    homes = {node: place.exchange.node_home(node) for node in place.exchange.nodes}
    inboxes = {node: await Depths.inbox(home) for node, home in homes.items()}
    ingress = await Depths.ingress(homes[route.sender])
    try:
        for inbox in inboxes.values():
            await inbox.purge()
        if await ingress.read() != messages:
            raise BenchFailed(f"{await ingress.read()} messages in the queue, not {messages}")
        process = _start(place, route, turn)
        try:
            seconds, counted = await _time(place, process, inboxes[route.recipient], messages, announced)
            await _await_empty(ingress)
        finally:
            place.end(process)
        for inbox in inboxes.values():
            await inbox.purge()
    finally:
        for depths in (*inboxes.values(), ingress):
            await depths.close()
    return counted / seconds


async def _time(place: Place, process: Process, inbox: Depths, messages: int, announced: int) -> tuple[float, int]:
    """The seconds from the first sample with messages to the first with all, and how many came between."""
    until = time.monotonic() + DRAIN_S
    first: tuple[float, int] | None = None
    while time.monotonic() < until:
        count, now = await inbox.read() - announced, time.monotonic()
        if count >= messages and first is not None:
            return now - first[0], messages - first[1]
        if count > 0 and first is None:
            first = now, count
        place.check_alive(process)
        await asyncio.sleep(SAMPLE_S)
    raise BenchFailed(f"{process.name} had not emptied the queue after {DRAIN_S} s; {place.tail(process)}")


async def _await_empty(ingress: Depths) -> None:
    # What was not acknowledged would come back to the queue when the process ends.
    await asyncio.sleep(0.5)
    if left := await ingress.read():
        raise BenchFailed(f"{left} messages are still in the ingress queue")


def _recorded(place: Place) -> tuple[int, int, int]:
    counts = "select (select count(*) from message), (select count(*) from refusal), (select count(*) from held)"
    accepted, refused, held = place.exchange.services.postgres.run_sql(counts).split("|")
    return int(accepted), int(refused), int(held)


def _check_recorded(before: tuple[int, int, int], after: tuple[int, int, int], messages: int) -> None:
    if after != (before[0] + messages, before[1], before[2]):
        raise BenchFailed(f"the hub accepted, refused and held {after}, before {before}, for {messages} messages")
