"""Fairness: one node's queue is full, another sends a few messages a second. What does the first cost the second?"""

from typing import Final

from bench.figure import Figure, Target, percentile
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
    ours, beside = ([percentile(item.delivered, p) for p in (50, 90)] for item in (found.jammed, found.idle))
    note = f"p90 behind {messages} of another node, beside idle; p50 {ours[0]:.0f} beside {beside[0]:.0f}"
    details = {
        "messages": len(found.jammed.delivered),
        "backlog": messages,
        "left": found.left,
        "p50_ms": ours[0],
        "idle_p50_ms": beside[0],
        "p50_ratio": round(ours[0] / beside[0], 3),
    }
    return [
        Figure("fairness_ratio", "ms", ours[1], beside[1], ours[1] / beside[1], TARGET, note, found.others, details)
    ]
