"""What expires is said 30, 14, 7 and 1 days before."""

import pytest

from crypto.expiry import endings, step_of, warnings

DAY = 86_400_000
NOW = 1_100_000_000_000


@pytest.mark.parametrize(
    ("days", "step"),
    [(31, None), (30, 30), (15, 30), (14, 14), (8, 14), (7, 7), (1.5, 7), (1, 1), (0.1, 1), (0, 0), (-5, 0)],
)
def test_the_last_step_that_has_come(days: float, step: int | None) -> None:
    assert step_of(NOW + int(days * DAY), NOW) == step


def test_what_ends_first_is_said_first_and_what_is_far_is_not() -> None:
    ends = {"the CA": NOW + 400 * DAY, "the TLS certificate": NOW + 13 * DAY + 5, "the signing key": NOW - 1}
    assert warnings(ends, NOW) == [
        "the signing key expired at 2004-11-09 11:33 UTC",
        "the TLS certificate expires in 13 days, at 2004-11-22 11:33 UTC",
    ]
    assert warnings({"the CA": NOW + DAY}, NOW) == ["the CA expires in a day or less, at 2004-11-10 11:33 UTC"]


def test_all_that_ends_has_its_step() -> None:
    ends = {"the CA": NOW + 400 * DAY, "the TLS certificate": NOW + 6 * DAY, "the signing key": NOW - 1}
    found = [(ending.what, ending.step) for ending in endings(ends, NOW)]
    assert found == [("the signing key", 0), ("the TLS certificate", 7), ("the CA", None)]
