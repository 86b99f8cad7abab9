"""Fairness: one node's queue is full, another sends a few messages a second. What does the first cost the second?"""

from typing import Final

from bench.figure import Figure, Target
from bench.jam import Single, jam
from bench.place import Place, Route
from bench.turn import Work

RATE: Final = 20.0
SECONDS: Final = 5.0
TARGET: Final = Target(2, at_most=True)


def measure(place: Place, flood: Route, route: Route, messages: int) -> list[Figure]:
    """Latency p90 with the flood beside that without. Raises BenchFailed."""
    single = Single(route, RATE, SECONDS, urgent=False)
    found = jam(place, single, [Work(flood.sender, (flood.recipient,), messages)])
    return [found.figure("fairness_ratio", 90, TARGET)]
