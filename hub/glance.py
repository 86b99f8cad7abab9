"""What `seci-hub top` shows at one moment, and how: pure functions from readings to numbers and lines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hub.reading import Reading, Waiting
from schemas.control import Event


@dataclass(frozen=True, slots=True)
class Rates:
    """Messages per second since the last look."""

    accepted: float
    acknowledged: float
    refused: float
    quarantined: float


@dataclass(frozen=True, slots=True)
class Glance:
    """One look. What is not known, or not yet, is None; `trouble` says why the database gives no figures,
    `broker_trouble` why the broker tells nothing of its queues.
    """

    at: str
    trouble: str | None = None
    reading: Reading | None = None
    rates: Rates | None = None
    undelivered: Sequence[Waiting] | None = None
    queues: Sequence[Mapping[str, Any]] | None = None
    broker_trouble: str | None = None


def idle(queue: Mapping[str, Any]) -> str | None:
    """Who should take from a queue and does not, in words; None if somebody does."""
    if queue["consumers"]:
        return None
    name = str(queue["name"])
    return f"no agent of {name.split('.')[2]}" if name.startswith("q.inbox.") else "NO HUB"


def rates(events: Mapping[Event, int], seconds: float) -> Rates:
    """What the ledger's entries of so many seconds come to."""

    def rate(*wanted: Event) -> float:
        return round(sum(events.get(event, 0) for event in wanted) / seconds, 1)

    return Rates(
        accepted=rate(Event.ACCEPTED),
        acknowledged=rate(Event.DELIVERED, Event.DECLINED),
        refused=rate(Event.REFUSED),
        quarantined=rate(Event.QUARANTINED),
    )


def lines(glance: Glance) -> list[str]:
    """The look as an operator reads it."""
    alarm = [] if glance.broker_trouble is None else [glance.broker_trouble, ""]
    return [*alarm, *_head(glance), "", *_nodes(glance.undelivered), "", *_queues(glance.queues, glance.broker_trouble)]


def _head(glance: Glance) -> list[str]:
    now = glance.reading
    if now is None:
        return [f"{glance.at}   no figures: {glance.trouble}"]
    speed = glance.rates
    per_second = (
        "..."
        if speed is None
        else (
            f"accepted {speed.accepted}   acknowledged {speed.acknowledged}   refused {speed.refused}   "
            f"quarantined {speed.quarantined}"
        )
    )
    workers = str(now.workers) if now.workers else "NONE: nobody takes messages in"
    return [
        f"{glance.at}   workers {workers}   ledger {now.ledger}   roster {now.roster}",
        f"per second    {per_second}",
        f"held          {now.held}, the oldest for {now.held_s:.0f} s",
        f"quarantined   {now.quarantined}",
        f"overdue       {now.overdue} answers",
    ]


def _nodes(undelivered: Sequence[Waiting] | None) -> list[str]:
    if undelivered is None:
        return ["undelivered   ..."]
    if not undelivered:
        return ["undelivered   none"]
    rows = [f"{waiting.node:12}  {waiting.number:>8}  {waiting.oldest_s:>9.0f} s" for waiting in undelivered]
    return [f"{'undelivered':12}  {'messages':>8}  {'oldest':>11}", *rows]


def _queues(queues: Sequence[Mapping[str, Any]] | None, trouble: str | None) -> list[str]:
    if queues is None:
        return ["queues        ..." if trouble is None else "queues        unknown"]
    busy = [queue for queue in queues if queue["ready"] or queue["unacked"] or not queue["consumers"]]
    if not busy:
        return [f"queues        all {len(queues)} are empty and consumed"]
    rows = [f"{q['name']:24} {q['ready']:>7} {q['unacked']:>8} {q['consumers']:>9}  {idle(q) or ''}" for q in busy]
    return [f"{'queue':24} {'ready':>7} {'unacked':>8} {'consumers':>9}", *rows]
