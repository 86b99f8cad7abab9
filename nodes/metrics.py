"""The agent's metrics in Prometheus' conventions: counts, ages and the link; nothing of what messages say."""

import time
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from nodes.link import LinkState


def exposition(
    counts: Mapping[str, int], oldest_waiting: int | None, link: LinkState, roster_version: int, node: str
) -> bytes:
    """The text format, version 0.0.4. `oldest_waiting` is when a message without a receipt was queued, ms."""
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
    roster = Gauge("seci_node_roster_version", "The roster in force.", registry=registry)
    roster.set(roster_version)
    return generate_latest(registry)
