"""How long single messages take: `python -m bench.steady HOME RECIPIENT --rate R --seconds S [--urgent]`.

Posts to the sender's agent at a steady pace and notes for each message the time from the post to when it is in
the recipient's store, and to when the hub's receipt is in the sender's (see `tail`). The first second warms up
and is not counted. Every message must arrive and get its receipt. All clocks are this machine's.
"""

import argparse
import asyncio
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import uvloop

from bench.http import Connection, post_alert
from bench.load import SIZE, alert, letters_for, sealer
from bench.pace import pace
from bench.place import BenchFailed, Place, Route
from bench.tail import LOOK_S, Tail
from bench.wire import done
from schemas.codes import Priority

WARM_UP_S: Final = 1.0
ARRIVE_S: Final = 90.0
START_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class Steady:
    """How many messages there were, and of each counted one the milliseconds until it was delivered and
    until its sender had the hub's receipt."""

    messages: int
    delivered: list[float]
    accepted: list[float]


def steady(place: Place, route: Route, rate: float, seconds: float, *, urgent: bool = False) -> Steady:
    """Runs this module as a process; the agents of the route and a hub must be at work. Raises BenchFailed."""
    options = ["--rate", str(rate), "--seconds", str(seconds), *(["--urgent"] if urgent else [])]
    home = str(place.exchange.node_home(route.sender))
    found = place.result(
        place.start("steady", home, route.recipient, *options, name="steady"), START_S + seconds + ARRIVE_S
    )
    return Steady(found["messages"], found["delivered"], found["accepted"])


@dataclass(slots=True)
class Times:
    """When each message was posted, and when it was seen, in seconds; `complete` once the last one is posted."""

    posted: dict[str, float] = field(default_factory=dict)
    delivered: dict[str, float] = field(default_factory=dict)
    accepted: dict[str, float] = field(default_factory=dict)
    complete: bool = False

    @property
    def all_seen(self) -> bool:
        """Whether nothing is under way any more."""
        return self.complete and self.posted.keys() <= self.delivered.keys() & self.accepted.keys()


async def run(home: Path, recipient: str, rate: float, seconds: float, fields: dict[str, Any]) -> None:
    """Posts, follows, prints."""
    letters = letters_for(SIZE, sealer(home, (recipient,)))
    times, idle = Times(), asyncio.Queue[Connection]()

    async def post_all() -> None:
        posting = [
            asyncio.create_task(_post(home, recipient, letters, fields, times, idle))
            async for _ in pace(rate, WARM_UP_S + seconds)
        ]
        await asyncio.gather(*posting)
        times.complete = True

    until = time.monotonic() + WARM_UP_S + seconds + ARRIVE_S
    # A loop's timers are no finer than a millisecond; a thread of its own looks when it says.
    ready = threading.Event()
    following = asyncio.create_task(asyncio.to_thread(_follow, home, recipient, times, until, ready))
    await asyncio.to_thread(ready.wait)
    await asyncio.gather(post_all(), following)
    counted = list(times.posted)[round(rate * WARM_UP_S) :]
    done(
        messages=len(times.posted),
        delivered=[_ms(times.posted[id], times.delivered[id]) for id in counted],
        accepted=[_ms(times.posted[id], times.accepted[id]) for id in counted],
    )


async def _post(
    home: Path, recipient: str, letters: int, fields: dict[str, Any], times: Times, idle: asyncio.Queue[Connection]
) -> None:
    # As many connections as there are requests at a time, each kept for the next.
    connection = await Connection.open(home) if idle.empty() else idle.get_nowait()
    begin = time.monotonic()
    id = await post_alert(connection, recipient, alert(letters), **fields)
    times.posted[id] = begin
    idle.put_nowait(connection)


def _follow(home: Path, recipient: str, times: Times, until: float, ready: threading.Event) -> None:
    try:
        received, accepted = Tail.received(home.parent / recipient), Tail.accepted(home)
    finally:
        ready.set()
    while not times.all_seen:
        if time.monotonic() > until:
            raise BenchFailed(f"of {len(times.posted)} messages {len(times.delivered)} arrived in time")
        times.delivered |= dict.fromkeys(received.new(), time.monotonic())
        times.accepted |= dict.fromkeys(accepted.new(), time.monotonic())
        time.sleep(LOOK_S)


def _ms(begin: float, end: float) -> float:
    return round((end - begin) * 1000, 2)


def main() -> None:
    """The process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home", type=Path, help="the sender's folder, beside the recipient's")
    parser.add_argument("recipient", help="node")
    parser.add_argument("--rate", type=float, required=True, help="messages per second")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--urgent", action="store_true")
    asked = parser.parse_args()
    fields = {"priority": str(Priority.URGENT)} if asked.urgent else {}
    uvloop.run(run(asked.home, asked.recipient, asked.rate, asked.seconds, fields))


if __name__ == "__main__":
    main()
