"""Posts to agents as fast as they take it: `python -m bench.post HOME:RECIPIENT... --seconds S [--messages N]`.

One process for all senders, with so many requests in flight at each, each on a connection of its own. It ends
after the time, or once every sender has been given its number of messages.
"""

import argparse
import asyncio
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import uvloop

from bench.http import Connection, post_alert
from bench.load import SIZE, alert, letters_for, sealer
from bench.wire import done

IN_FLIGHT: Final = 16


async def post(home: Path, recipient: str, letters: int, turns: Iterator[int], until: float) -> int:
    """Posts one alert after the other while there are turns and time; returns how many."""
    connection = await Connection.open(home)
    count = 0
    while time.monotonic() < until and next(turns, None) is not None:
        await post_alert(connection, recipient, alert(letters))
        count += 1
    await connection.close()
    return count


async def post_all(routes: list[tuple[Path, str]], in_flight: int, seconds: float, messages: int | None) -> None:
    """All senders at once."""
    letters = [letters_for(SIZE, sealer(home, (recipient,))) for home, recipient in routes]
    begun, until = time.time(), time.monotonic() + seconds
    tasks = []
    for (home, recipient), length in zip(routes, letters, strict=True):
        turns = iter(range(messages)) if messages is not None else itertools.count()
        tasks += [post(home, recipient, length, turns, until) for _ in range(in_flight)]
    posted = sum(await asyncio.gather(*tasks))
    done(posted=posted, begun=begun, seconds=time.time() - begun)


def main() -> None:
    """The process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("route", type=_route, nargs="+", help="a sender's folder and its recipient, HOME:NODE")
    parser.add_argument("--in-flight", type=int, default=IN_FLIGHT, help="at each sender")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--messages", type=int, help="at each sender; else without limit")
    asked = parser.parse_args()
    uvloop.run(post_all(asked.route, asked.in_flight, asked.seconds, asked.messages))


def _route(text: str) -> tuple[Path, str]:
    home, _, recipient = text.rpartition(":")
    return Path(home), recipient


if __name__ == "__main__":
    main()
