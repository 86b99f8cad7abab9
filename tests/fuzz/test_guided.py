"""The lane that follows coverage, for a moment; `make fuzz` is the long run."""

import json
from pathlib import Path

import pytest

from tests.fuzz import guided

pytest.importorskip("atheris")


def test_it_gets_beyond_what_the_seeds_reach(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(guided, "OUTPUT", tmp_path / "found.json")
    assert guided.main(["--inputs", "2000", "--seed", "7", "--only", "Header"]) == 0
    found = json.loads((tmp_path / "found.json").read_text())["targets"]["Header"]
    assert found["passed"]
    assert found["edges"] > found["edges_of_seeds"] > 0
