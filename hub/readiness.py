"""Whether a worker is of use now, and if not, what is missing: pure decisions for `/readyz`.

Not being ready is never a reason to start a worker anew: it waits for broker and database by itself.
"""

from dataclasses import dataclass

from hub.canary import LATE_PERIODS, CanaryState
from hub.errors import BrokerUnreachable, HubError


@dataclass(frozen=True, slots=True)
class Vitals:
    """What is looked at, at `now` (s since the epoch): the database's trouble, if any, the consumers, the canary."""

    database: HubError | None
    consuming: bool
    canary: CanaryState
    period_s: float
    now: float


@dataclass(frozen=True, slots=True)
class Shortcoming:
    """One thing that is not ready: a stable code, what it is, and the next step."""

    code: str
    detail: str
    next: str


def shortcomings(vitals: Vitals) -> list[Shortcoming]:
    """What is not ready, causes before consequences; empty if all is well."""
    found = []
    if vitals.database is not None:
        found.append(Shortcoming(vitals.database.code, str(vitals.database), vitals.database.next_step))
    if not vitals.consuming:
        found.append(
            Shortcoming(
                BrokerUnreachable.code,
                "the ingress queues are not consumed: there is no connection to RabbitMQ, or no database to begin with",
                "see that RabbitMQ runs, then `seci-hub status`; the worker goes on by itself",
            )
        )
    if not vitals.canary.queue_exists:
        found.append(
            Shortcoming("queue_missing", "the broker has no queue for the canary", "run `seci-hub provision` once")
        )
    else:
        found += _late(vitals)
    return found


def _late(vitals: Vitals) -> list[Shortcoming]:
    step = "see RabbitMQ's alarms and log, and `seci-hub queues`"
    found = []
    if _is_late(vitals.canary.confirmed, vitals):
        detail = "the broker has not confirmed a canary lately: it takes nothing, or does not answer"
        found.append(Shortcoming("canary_unconfirmed", detail, step))
    if _is_late(vitals.canary.received, vitals):
        found.append(Shortcoming("canary_late", "no canary has come through the broker lately", step))
    return found


def _is_late(at: float | None, vitals: Vitals) -> bool:
    return at is None or vitals.now - at > LATE_PERIODS * vitals.period_s
