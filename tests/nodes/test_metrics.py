"""What an agent's metrics say, read as Prometheus reads them."""

import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from nodes.canary import Answers
from nodes.link import LinkState
from nodes.metrics import RESENDS, count_event, exposition

REPOSITORY = Path(__file__).parents[2]


CALM: dict[str, Any] = {
    "alarm": None,
    "withheld": None,
    "roster_overdue": None,
    "roster_unread_after": None,
    "roster_hearsay": [],
    "followed": 7,
    "witnessed": None,
    "unwitnessed_receipts": 3,
}


def _exposed(hub: Answers | None = None, **changes: Any) -> dict[str, float]:
    link, ends = LinkState(True, 0, ""), {"the TLS certificate": 5000}
    text = exposition({"queued": 2}, None, link, hub or Answers(), 1, "ro", CALM | changes, ends).decode()
    return {
        " ".join([sample.name, *(value for _, value in sorted(sample.labels.items()))]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.parametrize(
    ("level", "event", "name"),
    [
        ("info", {"event": "received", "message": "1", "new": True, "code": None}, " received info"),
        ("info", {"event": "received", "code": "body_invalid"}, "body_invalid received info"),
        ("warning", {"event": "link_down", "reason": "the connection closed"}, " link_down warning"),
        ("error", {"event": "store_failed", "error": "OperationalError"}, "OperationalError store_failed error"),
    ],
)
def test_whatever_has_a_name_in_the_log_is_counted_under_it(level: str, event: dict[str, object], name: str) -> None:
    before = _exposed().get(f"seci_node_events_total {name}", 0)
    assert count_event(None, level, event) is event
    assert _exposed()[f"seci_node_events_total {name}"] == before + 1


def test_a_hub_that_was_caught_is_told_with_the_reason() -> None:
    assert _exposed()["seci_node_hub_distrusted "] == 0
    assert _exposed(alarm={"code": "log_forked"})["seci_node_hub_distrusted log_forked"] == 1
    overdue = "seci_node_roster_overdue"
    assert (_exposed()[overdue], _exposed(roster_overdue=5)[overdue]) == (0, 5)
    assert (_exposed()["seci_node_followed_size"], _exposed()["seci_node_witnessed_size"]) == (7, 0)


def test_when_the_hub_answered_and_for_how_long_it_has_not() -> None:
    answered, unanswered = "seci_node_hub_answered_timestamp_seconds", "seci_node_hub_unanswered_seconds"
    # A time of 0 is long ago for whoever computes an age; without the sample nobody would be told.
    assert (_exposed()[answered], _exposed()[unanswered]) == (0, 0)
    found = _exposed(Answers(newest=5500, unanswered_s=31.5, late=True))
    assert (found[answered], found[unanswered]) == (5.5, 31.5)


def test_rosters_that_others_go_by_are_counted_by_code() -> None:
    heard = "seci_node_roster_hearsay roster_"
    assert (_exposed()[heard + "withheld"], _exposed()[heard + "disputed"]) == (0, 0)
    found = _exposed(roster_hearsay=[{"code": "roster_disputed"}, {"code": "roster_disputed"}])
    assert (found[heard + "withheld"], found[heard + "disputed"]) == (0, 2)


def test_resends_are_counted() -> None:
    before = _exposed()["seci_node_resends_total"]
    RESENDS.inc(3)
    assert _exposed()["seci_node_resends_total"] == before + 3


@pytest.mark.parametrize("document", ["deploy/prometheus/alerts.yml", "docs/operations.md"])
def test_documents_name_only_metrics_that_exist(document: str) -> None:
    exposed = {name.split(" ")[0] for name in _exposed()} | {"seci_node_events_total"}
    named = set(re.findall(r"seci_node_[a-z_]*[a-z]", (REPOSITORY / document).read_text()))
    assert named
    assert named <= exposed
