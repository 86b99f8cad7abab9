"""Draining: how fast the hub empties a full ingress queue into an inbox, beside the bare relay (see `turn`)."""

from typing import Final

from bench.figure import Figure, Target, most
from bench.place import Place, Route
from bench.turn import HUB, RELAY, Round, Work, rounds

NAME: Final = "hub_drain_ratio"
FLOOR: Final = 0.8


def measure(place: Place, route: Route, messages: int, count: int) -> list[Figure]:
    """The median of so many rounds. Raises BenchFailed."""
    work = Work(route.sender, (route.recipient,), messages)
    found = rounds(place, work, HUB, RELAY, count)
    return [figure(NAME, "messages/s", work, found, Target(FLOOR))]


def figure(name: str, unit: str, work: Work, found: list[Round], target: Target | None, note: str = "") -> Figure:
    """The row of rounds of draining: the one in the middle by its ratio; of two, the worse."""
    middle = sorted(found, key=lambda item: item.ratio)[(len(found) - 1) // 2]
    return Figure(
        name=name,
        unit=unit,
        ours=middle.ours.per_s,
        beside=middle.beside.per_s,
        ratio=middle.ratio,
        target=target,
        note=note,
        others=most([turn.others for item in found for turn in (item.ours, item.beside)]),
        details={
            "messages": work.messages,
            "message_bytes": work.size,
            "rounds": [
                {
                    "ours": round(item.ours.per_s),
                    "beside": round(item.beside.per_s),
                    "ratio": round(item.ratio, 3),
                    "others_cores": [_rounded(item.ours.others), _rounded(item.beside.others)],
                }
                for item in found
            ],
        },
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
