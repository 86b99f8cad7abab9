"""What a jam does to others: the latency of single messages while ingress queues are full, beside an idle exchange.

First the single messages alone; then the hub is stopped, the queues are filled past the agents, the hub starts
again, and the same messages are posted while it works through them. For the hub this is a producer that is
faster than it, without a producer's cost on this machine. The queues must not be empty before the last single
message is posted, and everything must be on record in the end.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bench import exchange
from bench.busy import look, others_between
from bench.figure import Figure, Target, percentile
from bench.place import BenchFailed, Place, Route
from bench.record import await_recorded, check_recorded, recorded
from bench.steady import Steady, steady
from bench.turn import SETTLE_S, Work, empty_inboxes, fill
from bench.wire import Depths
from deploy.local.instance import say
from hub.topology import inbox_queue, ingress_queue

BEGIN_S: Final = 30.0
EMPTY_S: Final = 240.0
LOOK_S: Final = 0.1
# What is taken off a queue and not done with yet.
QUIET_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class Single:
    """The single messages: from agent to agent, so many a second for so many seconds."""

    route: Route
    rate: float
    seconds: float
    urgent: bool


@dataclass(frozen=True, slots=True)
class Jam:
    """Both measurements, how many messages waited before and still after them, and how busy others were."""

    idle: Steady
    jammed: Steady
    backlog: int
    left: int
    others: float | None

    def figure(self, name: str, percent: int, target: Target) -> Figure:
        """The row of one percentile of the latency of delivery."""
        ours, beside = (percentile(item.delivered, percent) for item in (self.jammed, self.idle))
        median, idle_median = (percentile(item.delivered, 50) for item in (self.jammed, self.idle))
        note = f"p{percent} with {self.backlog} waiting, beside idle; p50 {median:.0f} beside {idle_median:.0f}"
        details = {
            "messages": len(self.jammed.delivered),
            "backlog": self.backlog,
            "left": self.left,
            "p50_ms": median,
            "idle_p50_ms": idle_median,
            "p50_ratio": round(median / idle_median, 3),
            f"receipt_p{percent}_ms": percentile(self.jammed.accepted, percent),
            f"idle_receipt_p{percent}_ms": percentile(self.idle.accepted, percent),
        }
        return Figure(name, "ms", ours, beside, ours / beside, target, note, self.others, details)


def jam(place: Place, single: Single, backlog: Sequence[Work]) -> Jam:
    """The senders of the backlog must not be those of `single`. Raises BenchFailed."""
    asyncio.run(empty_inboxes(place))
    *agents, hub = exchange.start(place, (single.route,))
    try:
        before, begin = recorded(place), look(place.exchange.folder)
        say(f"  idle, {single.rate:.0f} messages/s for {single.seconds:.0f} s ...")
        idle = _steady(place, single)
        place.end(hub)
        total = _fill(place, backlog)
        hub = place.exchange.start_hub()
        jammed, left = _jammed(place, single, backlog, total)
        others = others_between(begin, look(place.exchange.folder))
        await_recorded(place, before, total + idle.messages + jammed.messages, EMPTY_S)
        time.sleep(QUIET_S)
        check_recorded(before, recorded(place), total + idle.messages + jammed.messages)
    finally:
        place.end(*agents, hub)
        asyncio.run(empty_inboxes(place))
    return Jam(idle, jammed, total, left, others)


def _fill(place: Place, backlog: Sequence[Work]) -> int:
    total = sum(work.messages for work in backlog)
    say(f"  filling the queues with {total} messages ...")
    for work in backlog:
        fill(place, work)
    time.sleep(SETTLE_S)
    return total


def _jammed(place: Place, single: Single, backlog: Sequence[Work], total: int) -> tuple[Steady, int]:
    waiting = tuple(ingress_queue(work.sender, urgent=False) for work in backlog)
    asyncio.run(_await_fewer(place, waiting, total, BEGIN_S))
    say("  the same while the hub works through them ...")
    jammed = _steady(place, single)
    left = asyncio.run(_depth(place, waiting))
    say(f"  {left} still wait; waiting until all are through ...")
    # The agents' own too: what they still had to say would disturb the next measurement.
    asyncio.run(_await_fewer(place, (*waiting, *_queues_of(single.route)), 1, EMPTY_S))
    if not left:
        raise BenchFailed("the queues were empty before the last single message: the jam was too short")
    return jammed, left


def _steady(place: Place, single: Single) -> Steady:
    return steady(place, single.route, single.rate, single.seconds, urgent=single.urgent)


def _queues_of(route: Route) -> tuple[str, ...]:
    nodes = (route.sender, route.recipient)
    return tuple(queue(node, urgent=False) for node in nodes for queue in (ingress_queue, inbox_queue))


async def _await_fewer(place: Place, queues: tuple[str, ...], bound: int, seconds: float) -> None:
    until = time.monotonic() + seconds
    while await _depth(place, queues) >= bound:
        if time.monotonic() > until:
            raise BenchFailed(f"the messages were not through after {seconds:.0f} s")
        await asyncio.sleep(LOOK_S)


async def _depth(place: Place, queues: tuple[str, ...]) -> int:
    depths = await Depths.of(place.exchange.node_home(place.exchange.nodes[0]), queues)
    try:
        return await depths.read()
    finally:
        await depths.close()
