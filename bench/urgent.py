"""Urgent messages while 50 000 normal ones wait for the hub: their latency beside that on an idle exchange.

Nodes whose queues are full have the recipient of the urgent messages among their own recipients, so the urgent
ones have to overtake in its inbox too.
"""

from collections.abc import Sequence
from typing import Final

from bench.figure import Figure, Target
from bench.jam import Single, jam
from bench.place import Place, Route
from bench.turn import Work

RATE: Final = 20.0
SECONDS: Final = 12.0
TARGET: Final = Target(5, at_most=True)


def measure(place: Place, backlog: Sequence[Route], route: Route, messages: int) -> list[Figure]:
    """Latency p99 of urgent messages; `messages` normal ones wait, spread over the routes. Raises BenchFailed."""
    works = [Work(item.sender, (item.recipient,), messages // len(backlog)) for item in backlog]
    found = jam(place, Single(route, RATE, SECONDS, urgent=True), works)
    return [found.figure("urgent_p99_ratio", 99, TARGET)]
