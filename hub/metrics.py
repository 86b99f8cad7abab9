"""A worker's metrics in Prometheus' conventions: counts since its start, and what the database says at the scrape.

A failure's name in the log is its name here (`count_event`), so that neither can be forgotten. Counts of messages
are made once a batch: at thousands a second, one for each message would be felt.
"""

import os
import time
from collections import Counter as Tally
from collections.abc import Iterable, Mapping, MutableMapping
from importlib.metadata import version
from types import MappingProxyType
from typing import Any, Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from hub.reading import Reading
from schemas.control import Entry, Event

# One start time for all is enough: the counters need none of their own.
disable_created_metrics()  # type: ignore[no-untyped-call]
REGISTRY: Final = CollectorRegistry()
COUNTED_LEVELS: Final = ("warning", "error", "critical")
OUTCOMES: Final = (Event.ACCEPTED, Event.REFUSED, Event.DELIVERED, Event.DECLINED, Event.QUARANTINED)

MESSAGES: Final = Counter(
    "seci_hub_messages_total",
    "Messages and acknowledgements put on record, by the ledger's event and the code or reason, if there is one.",
    ["outcome", "code"],
    registry=REGISTRY,
)
REPEATED: Final = Counter(
    "seci_hub_repeated_total", "What was on record already: its receipt was given again.", registry=REGISTRY
)
REDELIVERED: Final = Counter(
    "seci_hub_redelivered_total", "Messages that the broker delivered more than once.", registry=REGISTRY
)
EVENTS: Final = Counter(
    "seci_hub_events_total",
    "What was logged as a warning or worse, by its name in the log and the code or the error's type.",
    ["event", "level", "code"],
    registry=REGISTRY,
)
BATCH_SECONDS: Final = Histogram(
    "seci_hub_batch_duration_seconds",
    "What a batch takes: to judge it, to put it on record, to publish it until the broker has confirmed.",
    ["stage"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30),
    registry=REGISTRY,
)
BATCH_MESSAGES: Final = Histogram(
    "seci_hub_batch_messages",
    "How many messages are in a batch.",
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000),
    registry=REGISTRY,
)
CANARY_SECONDS: Final = Histogram(
    "seci_hub_canary_round_trip_seconds",
    "From sending a canary, by this worker or another, to receiving it.",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30),
    registry=REGISTRY,
)
STARTED: Final = time.time()
Gauge("seci_hub_start_timestamp_seconds", "When this worker started.", registry=REGISTRY).set(STARTED)
INFO: Final = Gauge("seci_hub_info", "Which worker this is.", ["version", "pid"], registry=REGISTRY)
INFO.labels(version("seci-exchange"), str(os.getpid())).set(1)
# From the start on, so that the first of its kind shows as an increase.
for _outcome in OUTCOMES:
    MESSAGES.labels(str(_outcome), "")
for _stage in ("judge", "record", "publish"):
    BATCH_SECONDS.labels(_stage)


class Stopwatch:
    """Times the stages of one batch, one after the other."""

    def __init__(self) -> None:
        self._began = time.perf_counter()

    def lap(self, stage: str) -> None:
        """The stage that began with the last one's end is over."""
        now = time.perf_counter()
        BATCH_SECONDS.labels(stage).observe(now - self._began)
        self._began = now


def recorded(entries: Iterable[Entry], repeated: int) -> None:
    """Counts a batch's new entries, and how many older ones had their receipts given again.

    Called before the commit: a batch whose commit fails is counted again with its repetition.
    """
    for (event, code), number in Tally((entry.event, _code(entry)) for entry in entries).items():
        MESSAGES.labels(str(event), code).inc(number)
    REPEATED.inc(repeated)


def _code(entry: Entry) -> str:
    # The reasons of a quarantine are a fixed few; a refusal's detail is not.
    reason = entry.detail if entry.event is Event.QUARANTINED else entry.code
    return str(reason or "")


def count_event(_: object, level: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A processor for the log: counts what goes through it from warnings on, and changes nothing."""
    if level in COUNTED_LEVELS:
        code = event.get("error") or event.get("code") or event.get("reason") or ""
        EVENTS.labels(str(event["event"]), level, str(code)).inc()
    return event


def exposition(
    reading: Reading | None,
    *,
    consuming: bool,
    canary_age_s: float,
    stamping_s: float | None,
    ends: Mapping[str, int] = MappingProxyType({}),
) -> bytes:
    """The text format, version 0.0.4. Without a `reading` the database did not answer: its part is left out.

    `ends` is when certificates end, ms.

    `stamping_s` is the interval of timestamps; None leaves out what is said of them: no TSA is set.
    """
    now = CollectorRegistry()
    Gauge("seci_hub_consuming", "1 while the ingress queues are consumed.", registry=now).set(int(consuming))
    Gauge("seci_hub_database_up", "1 if PostgreSQL answered.", registry=now).set(int(reading is not None))
    age = Gauge("seci_hub_canary_age_seconds", "Since the newest canary received was sent, or the start.", registry=now)
    age.set(canary_age_s)
    end = Gauge("seci_hub_expires_timestamp_seconds", "When it ends.", ["what"], registry=now)
    for what, at in ends.items():
        end.labels(what).set(at / 1000)
    if reading is not None:
        _gauges(now, reading)
    if reading is not None and reading.unstamped_s is not None and stamping_s is not None:
        _set(now, "unstamped_seconds", "For how long the oldest checkpoint has no timestamp.", reading.unstamped_s)
        _set(now, "timestamp_interval_seconds", "How often a TSA is asked for one.", stamping_s)
    return generate_latest(REGISTRY) + generate_latest(now)


def _gauges(registry: CollectorRegistry, reading: Reading) -> None:
    for name, meaning, value in (
        ("ledger_entries", "The size of the ledger.", reading.ledger),
        ("roster_version", "The roster in force.", reading.roster),
        ("held", "Deliveries that the broker would not take, to be tried again.", reading.held),
        ("held_oldest_seconds", "For how long the oldest of them has been held; 0 if there is none.", reading.held_s),
        ("quarantined", "What could not be read, and nobody has decided on.", reading.quarantined),
        ("overdue", "Answers that somebody owes, past the time asked for.", reading.overdue),
        ("workers", "Workers that have the database open.", reading.workers),
        ("operators", "Operators who may log in; 0 is a hub that anybody with its shell commands.", reading.operators),
        ("failed_logins", "Logins of operators that failed in a row, of the last day.", reading.failed_logins),
    ):
        _set(registry, name, meaning, value)


def _set(registry: CollectorRegistry, name: str, meaning: str, value: float) -> None:
    Gauge(f"seci_hub_{name}", meaning, registry=registry).set(value)
