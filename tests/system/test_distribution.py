"""What a wheel holds: the four rooms that run in production, and nothing by which a test starts or deceives them."""

import tomllib
from typing import Any

import pytest
from setuptools import Distribution

from deploy.local.instance import REPOSITORY

PROJECT: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The packages that setuptools puts into a wheel."""
    monkeypatch.chdir(REPOSITORY)
    distribution = Distribution()
    distribution.parse_config_files()
    assert not distribution.py_modules
    return set(distribution.packages or ())


def test_a_wheel_has_the_four_rooms_and_no_other(packages: set[str]) -> None:
    assert {name.partition(".")[0] for name in packages} == {"schemas", "crypto", "nodes", "hub"}
    assert {"hub.migrations.versions", "schemas.kinds"} <= packages


def test_what_the_consoles_are_made_of_is_in_it() -> None:
    data = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    for package, count in {"crypto": 2, "hub.console": 3, "nodes.console": 3}.items():
        folder = REPOSITORY / package.replace(".", "/")
        others = {file for file in folder.iterdir() if file.is_file() and file.suffix not in (".py", ".typed")}
        assert {file for pattern in data[package] for file in folder.glob(pattern)} == others
        assert len(others) == count


def test_no_clock_can_be_shifted_by_what_is_installed(packages: set[str]) -> None:
    files = [file for name in packages for file in (REPOSITORY / name.replace(".", "/")).glob("*.py")]
    assert len(files) > 100
    assert [file for file in files if "time.time =" in file.read_text() or "deploy.local" in file.read_text()] == []


def test_every_program_is_in_it(packages: set[str]) -> None:
    assert {place.partition(":")[0].rpartition(".")[0] for place in PROJECT["scripts"].values()} <= packages
