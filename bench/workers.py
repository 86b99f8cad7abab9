"""Two workers: how fast two of the hub's workers empty one ingress queue together, beside one alone.

The ledger has one writer at a time, so a second worker cannot double the rate; it must not cost any.
"""

from typing import Final

from bench.drain import figure
from bench.figure import Figure, Target
from bench.place import Place, Route
from bench.turn import HUB, TWO_WORKERS, Work, rounds

TARGET: Final = Target(0.9)


def measure(place: Place, route: Route, messages: int, count: int) -> list[Figure]:
    """The median of so many rounds. Raises BenchFailed."""
    work = Work(route.sender, (route.recipient,), messages)
    found = rounds(place, work, TWO_WORKERS, HUB, count)
    return [figure("workers2_ratio", "messages/s", work, found, TARGET, "beside one worker")]
