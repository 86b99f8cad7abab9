"""The agent's metrics in Prometheus' conventions: counts, ages and the link; nothing of what messages say.

Whatever has a name in the log is counted under it (`count_event`): what was received, declined, expired, put aside,
each lost link and each refused publication.
"""

import time
from collections.abc import Mapping, MutableMapping
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics, generate_latest

from nodes.canary import Answers
from nodes.link import LinkState

# One start time for all is enough: the counters need none of their own.
disable_created_metrics()  # type: ignore[no-untyped-call]
REGISTRY: Final = CollectorRegistry()
EVENTS: Final = Counter(
    "seci_node_events_total",
    "What was logged since the start, by its name in the log and the code or the error's type.",
    ["event", "level", "code"],
    registry=REGISTRY,
)
RESENDS: Final = Counter(
    "seci_node_resends_total", "Messages sent again since the start: no receipt came in time.", registry=REGISTRY
)
Gauge("seci_node_start_timestamp_seconds", "When this agent started.", registry=REGISTRY).set_to_current_time()


def count_event(_: object, level: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A processor for the log: counts what goes through it and changes nothing."""
    code = event.get("error") or event.get("code") or ""
    EVENTS.labels(str(event["event"]), level, str(code)).inc()
    return event


def exposition(
    counts: Mapping[str, int],
    oldest_waiting: int | None,
    link: LinkState,
    hub: Answers,
    roster_version: int,
    node: str,
    witness: Mapping[str, Any],
    ends: Mapping[str, int],
) -> bytes:
    """The text format, version 0.0.4. `oldest_waiting` is when a message without a receipt was queued, ms.

    `witness` is what `witness.describe` says; `ends` is when keys and certificate end, ms.
    """
    registry = CollectorRegistry()
    info = Gauge("seci_node_info", "Which node this is.", ["node"], registry=registry)
    info.labels(node).set(1)
    messages = Gauge("seci_node_messages", "Messages in the store, by state.", ["state"], registry=registry)
    for state in ("queued", "sent", "accepted", "refused", "expired", "inbox", "quarantine"):
        messages.labels(state).set(counts.get(state, 0))
    age = Gauge(
        "seci_node_oldest_waiting_seconds", "Age of the oldest message without the hub's receipt.", registry=registry
    )
    age.set(0 if oldest_waiting is None else max(0.0, time.time() - oldest_waiting / 1000))
    up = Gauge("seci_node_link_up", "1 while there is a connection to the broker.", registry=registry)
    up.set(int(link.connected))
    since = Gauge("seci_node_link_since_timestamp_seconds", "Since when that is so.", registry=registry)
    since.set(link.since / 1000)
    _add_answers(registry, hub)
    roster = Gauge("seci_node_roster_version", "The roster in force.", registry=registry)
    roster.set(roster_version)
    end = Gauge("seci_node_expires_timestamp_seconds", "When it ends.", ["what"], registry=registry)
    for what, at in ends.items():
        end.labels(what).set(at / 1000)
    _add_witness(registry, witness)
    return generate_latest(REGISTRY) + generate_latest(registry)


def _add_answers(registry: CollectorRegistry, hub: Answers) -> None:
    answered = Gauge(
        "seci_node_hub_answered_timestamp_seconds",
        "When the hub's newest answer to this node's question came; 0 if none has since the start.",
        registry=registry,
    )
    answered.set((hub.newest or 0) / 1000)
    unanswered = Gauge(
        "seci_node_hub_unanswered_seconds",
        "For how long the hub has been asked and has not answered; 0 without a link, and while it is not trusted.",
        registry=registry,
    )
    unanswered.set(hub.unanswered_s or 0)
    late = Gauge("seci_node_hub_late", "1 while that is longer than three of its questions take.", registry=registry)
    late.set(int(hub.late))


def _add_witness(registry: CollectorRegistry, state: Mapping[str, Any]) -> None:
    caught = Gauge(
        "seci_node_hub_distrusted", "1 once the hub was caught contradicting its ledger.", ["code"], registry=registry
    )
    caught.labels(state["alarm"]["code"] if state["alarm"] else "").set(int(state["alarm"] is not None))
    withheld = Gauge(
        "seci_node_proof_withheld", "1 while the hub does not prove what it has signed before.", registry=registry
    )
    withheld.set(int(state["withheld"] is not None))
    overdue = Gauge("seci_node_roster_overdue", "The version of a roster that ought to be in force.", registry=registry)
    overdue.set(state["roster_overdue"] or 0)
    heard = Gauge(
        "seci_node_roster_hearsay",
        "Nodes that go by a newer roster than the hub shows this one (roster_withheld), or another (roster_disputed).",
        ["code"],
        registry=registry,
    )
    codes = [item["code"] for item in state["roster_hearsay"]]
    for code in ("roster_withheld", "roster_disputed"):
        heard.labels(code).set(codes.count(code))
    for name, text in (("followed", "The checkpoint followed last"), ("witnessed", "The newest witnessed checkpoint")):
        Gauge(f"seci_node_{name}_size", f"{text}, in entries.", registry=registry).set(state[name] or 0)
    waiting = Gauge(
        "seci_node_unwitnessed_receipts", "Receipts that are under no witnessed checkpoint yet.", registry=registry
    )
    waiting.set(state["unwitnessed_receipts"])
