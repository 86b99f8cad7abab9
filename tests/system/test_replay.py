"""`make replay` compares every cell of the document with what the real system computes, and says so if one differs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.clock import REFUSED, Clock
from deploy.local.instance import REPOSITORY, SERVICES_FILE, discard
from deploy.local.replay import differences
from deploy.local.seedtables import EXCHANGE, OPERATIONS, Printed

CELLS = sum(len(row) for printed in (EXCHANGE, *OPERATIONS) for row in printed.rows)


@pytest.mark.system
def test_every_cell_of_every_table_is_computed_as_it_is_printed(tmp_path: Path) -> None:
    folder = tmp_path / "replay"
    argv = [sys.executable, "-m", "deploy.local.replay", "--folder", str(folder), "--json"]
    try:
        done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, timeout=400)
        log = (folder / "log" / "hub.log").read_text()
    finally:
        discard(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout) == {"ok": True, "cells": CELLS, "differences": [], "faults": []}
    # By a clock that is not the machine's, and not unseen.
    assert '"event": "clock_shifted", "level": "warning"' in log


@pytest.mark.parametrize("printed", [EXCHANGE, *OPERATIONS], ids=lambda one: f"page {one.page}")
def test_whatever_differs_from_a_printed_table_is_told(printed: Printed) -> None:
    assert list(differences(printed, printed.rows)) == []
    for place, row in enumerate(printed.rows):
        for column in range(1, len(row)):
            other = (*row[:column], "other", *row[column + 1 :])
            [told] = differences(printed, (*printed.rows[:place], other, *printed.rows[place + 1 :]))
            assert told.startswith(f"page {printed.page}: {row[0]}, {printed.heading[column]}: 'other' is computed")
    [missing] = differences(printed, printed.rows[1:])
    assert "no row" in missing
    [more] = differences(printed, (*printed.rows, ("Tea", *printed.rows[0][1:])))
    assert "a row too many, 'Tea'" in more
    [turned] = differences(printed, printed.rows[::-1])
    assert "in another order" in turned
    [twice] = differences(printed, (*printed.rows, printed.rows[-1]))
    assert "computed twice" in twice


@pytest.mark.parametrize(
    "home",
    [
        (),
        ("--home", "/somewhere/else"),
        ("--home", "{folder}/../other"),
        ("--home", "{folder}/hub", "--home=/var/lib/seci-hub"),
    ],
)
def test_another_clock_is_refused_outside_of_its_folder(tmp_path: Path, home: tuple[str, ...]) -> None:
    clock = Clock(tmp_path / "test.clock")
    clock.set_ahead(-3600)
    (tmp_path / SERVICES_FILE).write_text("{}")
    homes = [part.format(folder=tmp_path) for part in home]
    argv = [sys.executable, *clock.argv("hub.cli"), "status", *homes, "--json"]
    done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert (done.returncode, json.loads(done.stderr)["event"]) == (REFUSED, "clock_refused")
    assert done.stdout == ""


@pytest.mark.parametrize(("home", "of_a_test"), [("hub", True), ("hub", False), (".", True)])
def test_another_clock_is_for_a_folder_of_services_of_a_test(tmp_path: Path, home: str, of_a_test: bool) -> None:
    clock = Clock(tmp_path / "test.clock")
    clock.set_ahead(-3600)
    if of_a_test:
        (tmp_path / SERVICES_FILE).write_text("{}")
    argv = [sys.executable, *clock.argv("hub.cli"), "status", "--home", str(tmp_path / home), "--json"]
    done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    told = json.loads(done.stderr.splitlines()[0])["event"]
    # What it is refused for otherwise is that nothing is set up there.
    assert (told, done.returncode == REFUSED) == (
        ("clock_shifted", False) if of_a_test and home == "hub" else ("clock_refused", True)
    )
