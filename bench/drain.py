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

from bench.busy import look
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
class Turn:
    """One drain: messages per second, and how many cores others kept busy meanwhile (None: not known)."""

    per_s: float
    others: float | None


@dataclass(frozen=True, slots=True)
class Round:
    """One turn of each."""

    relay: Turn
    hub: Turn

    @property
    def ratio(self) -> float:
        """The hub's rate as a part of the relay's."""
        return self.hub.per_s / self.relay.per_s


def measure(place: Place, route: Route, messages: int, rounds: int) -> list[Round]:
    """All rounds. Raises BenchFailed."""
    found = []
    for number in range(1, rounds + 1):
        # Whatever drifts while the benchmark runs favours each as often.
        turns = ("relay", "hub") if number % 2 else ("hub", "relay")
        done = {turn: _turn(place, route, messages, turn, f"round {number}/{rounds}") for turn in turns}
        found.append(Round(done["relay"], done["hub"]))
        say(f"  round {number}/{rounds}: ratio {found[-1].ratio:.2f}")
    return found


def _turn(place: Place, route: Route, messages: int, turn: str, title: str) -> Turn:
    say(f"  {title}: filling the queue for the {turn} ...")
    fill(place, route, messages, random=turn == "relay")
    time.sleep(SETTLE_S)
    before = _recorded(place)
    if turn == "relay":
        done = asyncio.run(_drain(place, route, messages, turn, announced=0))
    else:
        # A hub that starts first tells every node its roster: one message that is not of the load.
        done = asyncio.run(_drain(place, route, messages, turn, announced=1))
        _check_recorded(before, _recorded(place), messages)
    beside = "" if done.others is None else f", others on {done.others:.1f} cores"
    say(f"  {title}: {turn} {done.per_s:.0f} messages/s{beside}")
    return done


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


async def _drain(place: Place, route: Route, messages: int, turn: str, announced: int) -> Turn:
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
            done = await _time(place, process, inboxes[route.recipient], messages, announced)
            await _await_empty(ingress)
        finally:
            place.end(process)
        for inbox in inboxes.values():
            await inbox.purge()
    finally:
        for depths in (*inboxes.values(), ingress):
            await depths.close()
    return done


async def _time(place: Place, process: Process, inbox: Depths, messages: int, announced: int) -> Turn:
    """From the first sample with messages to the first with all."""
    folder = place.exchange.folder
    until = time.monotonic() + DRAIN_S
    while (first := await inbox.read() - announced) <= 0:
        await _pause(place, process, until)
    began, before = time.monotonic(), look(folder)
    while await inbox.read() - announced < messages:
        await _pause(place, process, until)
    seconds, after = time.monotonic() - began, look(folder)
    others = None if before is None or after is None else after.others_since(before)
    return Turn((messages - first) / seconds, others)


async def _pause(place: Place, process: Process, until: float) -> None:
    if time.monotonic() > until:
        raise BenchFailed(f"{process.name} had not emptied the queue after {DRAIN_S} s; {place.tail(process)}")
    place.check_alive(process)
    await asyncio.sleep(SAMPLE_S)


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
