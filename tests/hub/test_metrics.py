"""What a worker's metrics say, read as Prometheus reads them."""

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from hub import metrics
from hub.reading import Reading
from schemas.control import Entry, Event
from schemas.refusals import RefusalCode

REPOSITORY = Path(__file__).parents[2]
READING = Reading(ledger=1000, roster=3, held=2, held_s=12.5, quarantined=1, overdue=0, workers=2, unstamped_s=3.5)


def _samples(text: bytes) -> dict[str, float]:
    """Samples by name; where a name has labels, their values follow it."""
    return {
        " ".join([sample.name, *(value for _, value in sorted(sample.labels.items()))]): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def _exposed(reading: Reading | None = READING, stamping_s: float | None = 60.0) -> dict[str, float]:
    return _samples(
        metrics.exposition(reading, consuming=True, canary_age_s=1.5, stamping_s=stamping_s, ends={"ca": 0})
    )


def _entry(event: Event, code: RefusalCode | None = None, detail: str | None = None) -> Entry:
    return Entry.model_construct(event=event, at=0, node="ro", code=code, detail=detail)


def test_a_batch_is_counted_by_outcome_and_code() -> None:
    before = _exposed()
    entries = [
        _entry(Event.ACCEPTED),
        _entry(Event.ACCEPTED),
        _entry(Event.REFUSED, RefusalCode.EXPIRED, "expired 3 s ago"),
        _entry(Event.QUARANTINED, detail="unknown_type"),
        _entry(Event.DELIVERED),
        _entry(Event.DECLINED, RefusalCode.BODY_INVALID),
    ]
    metrics.recorded(entries, 4)
    after = _exposed()
    grown = {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)}
    assert grown == {
        "seci_hub_messages_total  accepted": 2,
        "seci_hub_messages_total expired refused": 1,
        "seci_hub_messages_total unknown_type quarantined": 1,
        "seci_hub_messages_total  delivered": 1,
        "seci_hub_messages_total body_invalid declined": 1,
        "seci_hub_repeated_total": 4,
    }


@pytest.mark.parametrize(
    ("level", "event", "name"),
    [
        ("warning", {"event": "hub_interrupted", "error": "TimeoutError"}, "TimeoutError hub_interrupted warning"),
        ("error", {"event": "inbox_silent", "inboxes": ["bg"]}, " inbox_silent error"),
        ("warning", {"event": "refused", "code": "expired", "node": "ro"}, "expired refused warning"),
    ],
)
def test_a_failure_is_counted_under_its_name_in_the_log(level: str, event: dict[str, object], name: str) -> None:
    before = _exposed().get(f"seci_hub_events_total {name}", 0)
    assert metrics.count_event(None, level, event) is event
    assert _exposed()[f"seci_hub_events_total {name}"] == before + 1


def test_what_is_no_failure_is_not_counted() -> None:
    metrics.count_event(None, "info", {"event": "hub_ready"})
    assert not any("hub_ready" in name for name in _exposed())


def test_stages_are_timed_one_after_the_other() -> None:
    before = _exposed()
    watch = metrics.Stopwatch()
    watch.lap("judge")
    watch.lap("record")
    after = _exposed()
    for stage, laps in (("judge", 1), ("record", 1), ("publish", 0)):
        name = f"seci_hub_batch_duration_seconds_count {stage}"
        assert after[name] == before[name] + laps


def test_without_the_database_its_figures_are_left_out_and_not_made_up() -> None:
    there, gone = _exposed(), _exposed(None)
    assert (there["seci_hub_database_up"], gone["seci_hub_database_up"]) == (1, 0)
    assert there["seci_hub_held_oldest_seconds"] == 12.5
    assert set(there) - set(gone) == {
        f"seci_hub_{name}"
        for name in (
            "ledger_entries",
            "roster_version",
            "held",
            "held_oldest_seconds",
            "quarantined",
            "overdue",
            "operators",
            "failed_logins",
            "workers",
            "unstamped_seconds",
            "timestamp_interval_seconds",
        )
    }


def test_without_a_tsa_nothing_is_said_of_timestamps() -> None:
    off = _exposed(stamping_s=None)
    assert {name: value for name, value in _exposed().items() if name not in off} == {
        "seci_hub_unstamped_seconds": 3.5,
        "seci_hub_timestamp_interval_seconds": 60.0,
    }


def test_the_names_keep_prometheus_conventions() -> None:
    text = metrics.exposition(READING, consuming=True, canary_age_s=0.0, stamping_s=60.0).decode()
    for family in text_string_to_metric_families(text):
        assert family.name.startswith("seci_hub_")
        assert family.documentation
        assert family.type in ("counter", "gauge", "histogram")
        assert family.type == "counter" or not family.name.endswith("_total")
        assert not re.search(r"_(ms|millis|minutes|kb|mb)$", family.name)


@pytest.mark.parametrize("document", ["deploy/prometheus/alerts.yml", "docs/operations.md"])
def test_documents_name_only_metrics_that_exist(document: str) -> None:
    exposed = {name.split(" ")[0].removesuffix("_count") for name in _exposed()} | {"seci_hub_events_total"}
    named = set(re.findall(r"seci_hub_[a-z_]*[a-z]", (REPOSITORY / document).read_text()))
    assert named
    assert named <= exposed


@pytest.mark.parametrize("document", ["alerts.yml", "prometheus.yml"])
def test_prometheus_can_read_its_files(document: str) -> None:
    # YAML takes a colon or a hash in a text without quotes for something else, and loads no rule at all.
    for line in (REPOSITORY / "deploy" / "prometheus" / document).read_text().splitlines():
        _, found, value = line.strip().partition(": ")
        if found and not line.strip().startswith("#") and value[0] not in "\"'[":
            assert ": " not in value and " #" not in value, line
