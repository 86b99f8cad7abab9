"""Latency at a modest rate: from the post at one agent to the message in the other's store, beside the bare hops.

The bare hops are publish, consume, publish, consume over the same quorum queues at the same rate. Ours adds to
them HTTP, sealing, four transactions synced to disk (outbox, ledger, inbox, and the receipt's), and opening.
"""

import asyncio
from typing import Any, Final

from bench import exchange
from bench.busy import look, others_between
from bench.figure import Figure, Target, percentile
from bench.hops import hops
from bench.place import Place, Route
from bench.record import check_recorded, recorded
from bench.steady import Steady, steady
from bench.turn import empty_inboxes
from deploy.local.instance import say

RATE: Final = 50.0
SECONDS: Final = 8.0
# The machine's speed drifts within a minute: the two take turns.
ROUNDS: Final = 2
TARGET: Final = Target(4, at_most=True)


def measure(place: Place, route: Route) -> list[Figure]:
    """The bare hops, then the exchange. Raises BenchFailed."""
    begin = look(place.exchange.folder)
    bare: list[float] = []
    delivered: list[float] = []
    accepted: list[float] = []
    for number in range(1, ROUNDS + 1):
        asyncio.run(empty_inboxes(place))
        say(f"  round {number} of {ROUNDS}: bare hops, {RATE:.0f} messages/s for {SECONDS:.0f} s ...")
        bare += hops(place, route, RATE, SECONDS)
        say(f"  round {number} of {ROUNDS}: the exchange at the same rate ...")
        found = _exchange(place, route)
        delivered += found.delivered
        accepted += found.accepted
    others = others_between(begin, look(place.exchange.folder))
    ours = {percent: percentile(delivered, percent) for percent in (50, 99)}
    beside = {percent: percentile(bare, percent) for percent in (50, 99)}
    receipt = {percent: percentile(accepted, percent) for percent in (50, 99)}
    details = {"messages": len(delivered)}
    return [
        _figure("latency_p50_ratio", ours[50], beside[50], TARGET, "delivery", others, details),
        _figure("latency_p99_ratio", ours[99], beside[99], None, "delivery"),
        # The way back is no hop of the bare relay's: shown beside the same figure, without a target.
        _figure("receipt_p50_ratio", receipt[50], beside[50], None, "the hub's receipt at the sender"),
        _figure("receipt_p99_ratio", receipt[99], beside[99], None, "the hub's receipt at the sender"),
    ]


def _figure(
    name: str,
    ours: float,
    beside: float,
    target: Target | None,
    note: str,
    others: float | None = None,
    details: dict[str, Any] | None = None,
) -> Figure:
    return Figure(name, "ms", ours, beside, ours / beside, target, note, others, details or {})


def _exchange(place: Place, route: Route) -> Steady:
    running = exchange.start(place, (route,))
    try:
        before = recorded(place)
        found = steady(place, route, RATE, SECONDS)
        check_recorded(before, recorded(place), found.messages)
    finally:
        place.end(*running)
    return found
