"""Figures: percentiles, targets, and how a row and its JSON say that one was missed."""

import pytest

from bench.drain import figure as drained
from bench.figure import Figure, Target, percentile
from bench.report import Report
from bench.turn import Round, Turn, Work


@pytest.mark.parametrize(
    ("values", "percent", "wanted"),
    [
        ([7.0], 50, 7.0),
        ([3.0, 1.0, 2.0], 50, 2.0),
        ([4.0, 1.0, 3.0, 2.0], 50, 2.0),
        ([float(value) for value in range(1, 101)], 99, 99.0),
        ([float(value) for value in range(1, 101)], 100, 100.0),
        ([float(value) for value in range(1, 201)], 99, 198.0),
    ],
)
def test_percentile_is_the_nearest_rank(values: list[float], percent: float, wanted: float) -> None:
    assert percentile(values, percent) == wanted


@pytest.mark.parametrize(
    ("target", "ratio", "missed"),
    [
        (Target(0.8), 0.8, False),
        (Target(0.8), 0.79, True),
        (Target(4, at_most=True), 4.0, False),
        (Target(4, at_most=True), 4.1, True),
        (None, 0.0, False),
    ],
)
def test_a_figure_knows_whether_its_target_is_missed(target: Target | None, ratio: float, missed: bool) -> None:
    assert Figure("some_ratio", "ms", ratio, 1.0, ratio, target).missed is missed


def test_the_report_marks_what_was_missed_or_disturbed() -> None:
    good = Figure("good_ratio", "messages/s", 900.0, 1000.0, 0.9, Target(0.8), others=0.0)
    poor = Figure("poor_ratio", "ms", 90.0, 10.0, 9.0, Target(4, at_most=True), others=1.5, details={"messages": 7})
    report = Report({"cores": 2}, (good, poor), 12.3, "2026-01-02T03:04:05+00:00")
    found = report.to_json({})
    assert (found["good_ratio"], found["poor_ratio"]) == (0.9, 9.0)
    assert found["figures"]["poor_ratio"] == {
        "unit": "ms",
        "ours": 90.0,
        "beside": 10.0,
        "ratio": 9.0,
        "target": "<= 4",
        "missed": True,
        "others_cores": 1.5,
        "messages": 7,
        "run": "2026-01-02T03:04:05+00:00",
    }
    rows = {line.split()[0]: line for line in report.table().splitlines() if "_ratio" in line}
    assert "MISSED; disturbed: others used 1.5 cores" in rows["poor_ratio"]
    assert "MISSED" not in rows["good_ratio"]
    assert "disturbed" not in rows["good_ratio"]


def test_what_is_not_measured_again_stays_if_the_machine_is_the_same() -> None:
    first = Report({"cores": 2}, (_figure("a_ratio", 0.5), _figure("b_ratio", 0.7)), 1.0, "monday").to_json({})
    again = Report({"cores": 2}, (_figure("b_ratio", 0.9),), 1.0, "tuesday").to_json(first)
    assert (again["a_ratio"], again["b_ratio"]) == (0.5, 0.9)
    assert {name: item["run"] for name, item in again["figures"].items()} == {"a_ratio": "monday", "b_ratio": "tuesday"}
    assert "a_ratio" not in Report({"cores": 8}, (_figure("b_ratio", 0.9),), 1.0, "tuesday").to_json(first)


def test_of_two_rounds_the_worse_stands_with_its_own_rates() -> None:
    found = [Round(Turn(900, None), Turn(1000, None)), Round(Turn(700, None), Turn(500, None))]
    row = drained("x_ratio", "messages/s", Work("ro", ("bg",), 10), found, None)
    assert (row.ours, row.beside, row.ratio) == (900, 1000, 0.9)


def _figure(name: str, ratio: float) -> Figure:
    return Figure(name, "messages/s", ratio, 1.0, ratio)
