"""What `/readyz` makes of a worker's vital signs."""

from dataclasses import replace

import pytest
from sqlalchemy.exc import ProgrammingError

from hub.canary import CanaryState
from hub.database import explained
from hub.readiness import Vitals, shortcomings

NOW = 1_800_000_000.0
DOWN = explained(ConnectionRefusedError())
OUTDATED = explained(ProgrammingError("SELECT since FROM held", {}, Exception()))
WELL = Vitals(
    database=None, consuming=True, canary=CanaryState(received=NOW - 29, confirmed=NOW - 29), period_s=30.0, now=NOW
)


def test_a_worker_that_is_well_lacks_nothing() -> None:
    assert shortcomings(WELL) == []


@pytest.mark.parametrize(
    ("vitals", "codes"),
    [
        (replace(WELL, database=DOWN), ["database_unreachable"]),
        (replace(WELL, database=OUTDATED), ["database_outdated"]),
        (replace(WELL, consuming=False), ["broker_unreachable"]),
        (replace(WELL, canary=CanaryState(None, NOW - 1)), ["canary_late"]),
        (replace(WELL, canary=CanaryState(NOW - 91, NOW - 1)), ["canary_late"]),
        (replace(WELL, canary=CanaryState(NOW - 1, NOW - 91)), ["canary_unconfirmed"]),
        (replace(WELL, canary=CanaryState(NOW - 91, NOW - 91)), ["canary_unconfirmed", "canary_late"]),
        (replace(WELL, canary=CanaryState(queue_exists=False)), ["queue_missing"]),
        (replace(WELL, database=DOWN, consuming=False), ["database_unreachable", "broker_unreachable"]),
    ],
)
def test_what_is_missing_is_named_causes_first(vitals: Vitals, codes: list[str]) -> None:
    found = shortcomings(vitals)
    assert [item.code for item in found] == codes
    assert all(item.detail and item.next for item in found)


def test_three_periods_are_allowed() -> None:
    canary = CanaryState(NOW - 90, NOW - 90)
    assert shortcomings(replace(WELL, canary=canary)) == []
    assert shortcomings(replace(WELL, canary=canary, period_s=29.0))
