"""Urgent messages while 50 000 normal ones wait for the hub: their latency beside that on an idle exchange.

Nodes whose queues are full have the recipient of the urgent messages among their own recipients, so the urgent
ones have to overtake in its inbox too.
"""

from collections.abc import Sequence
from typing import Final

from bench.figure import Figure, Target, percentile
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
    ours, beside = ([percentile(item.delivered, p) for p in (50, 99)] for item in (found.jammed, found.idle))
    waiting = sum(work.messages for work in works)
    note = f"p99 past {waiting} normal ones, beside idle; p50 {ours[0]:.0f} beside {beside[0]:.0f}"
    details = {
        "messages": len(found.jammed.delivered),
        "backlog": waiting,
        "left": found.left,
        "p50_ms": ours[0],
        "idle_p50_ms": beside[0],
    }
    return [
        Figure("urgent_p99_ratio", "ms", ours[1], beside[1], ours[1] / beside[1], TARGET, note, found.others, details)
    ]
