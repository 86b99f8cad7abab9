"""docs/threat-model.md keeps its word: what it names exists, and every threat has a control, a place, and tests.

That the tests fail without the control is for who writes them; here they are only looked up, and none is run.
"""

import ast
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Final

import pytest

REPOSITORY: Final = Path(__file__).parents[2]
PAGE: Final = "docs/threat-model.md"
PARTS: Final = ("where", "priority", "control", "enforced in", "default", "verified by", "left")
Threat = dict[str, str]


def _page() -> str:
    return (REPOSITORY / PAGE).read_text()


def _threats(page: str) -> dict[str, Threat]:
    """The parts of each threat, by its id."""
    found: dict[str, Threat] = {}
    for block in re.split(r"^#### ", page, flags=re.M)[1:]:
        id = block.split(" ", 1)[0]
        assert id not in found, f"{id} stands there twice"
        rows = re.findall(r"^\| ([a-z ]+) \| (.*) \|$", block, flags=re.M)
        assert len(dict(rows)) == len(rows), f"a part of {id} stands there twice"
        found[id] = dict(rows)
    return found


@cache
def _tests_in(file: Path) -> frozenset[str]:
    tree = ast.parse(file.read_text())
    made = (node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(node.name for node in made if node.name.startswith("test_"))


def _priority(impact: str, likelihood: str) -> str:
    """As the page's first section says."""
    return "H" if impact == "H" or (impact, likelihood) == ("M", "H") else impact


def _wrong(threat: Threat) -> list[str]:
    """What is wrong with one threat."""
    found = [f"has no {part}" for part in PARTS if not threat.get(part, "").strip()]
    found += [f"{part} is no part" for part in threat if part not in PARTS]
    priority = re.match(r"\*\*([HML])\*\* \((?:impact )?([HML]), (?:likelihood )?([HML])\)", threat.get("priority", ""))
    if priority is None:
        found.append("has a priority without its reasons")
    elif priority[1] != _priority(priority[2], priority[3]):
        found.append("has another priority than its impact and likelihood give")
    places = re.findall(r"`([^`]+)`", threat.get("enforced in", ""))
    found += [f"names no file: {place}" for place in places if not (REPOSITORY / place).is_file()]
    tests = re.findall(r"`([^`]+)`", threat.get("verified by", ""))
    if not tests:
        found.append("has no test")
    for test in tests:
        file, _, name = test.partition("::")
        if not (REPOSITORY / file).is_file() or name not in _tests_in(REPOSITORY / file):
            found.append(f"names no test: {test}")
    return found


def _defined(page: str) -> set[str]:
    """The ids of boundaries, assets and adversaries that the page's tables define."""
    return set(re.findall(r"^\| ([ABX]-\d\d) \|", page, flags=re.M))


def test_every_threat_has_all_parts_and_tests_that_exist() -> None:
    threats = _threats(_page())
    assert len(threats) > 30
    assert {id: wrong for id, threat in threats.items() if (wrong := _wrong(threat))} == {}


def test_boundaries_assets_and_adversaries_are_defined_and_each_is_threatened() -> None:
    page = _page()
    used = {id: set(re.findall(r"[ABX]-\d\d", threat["where"])) for id, threat in _threats(page).items()}
    for id, names in used.items():
        assert {name[0] for name in names} == {"A", "B", "X"}, id
    assert set().union(*used.values()) == _defined(page)
    # So is each boundary that the picture shows.
    assert set(re.findall(r"B-\d\d", page)) <= _defined(page)
    assert set(re.findall(r"T-\d\d", page)) == set(_threats(page))


@pytest.mark.parametrize(
    ("part", "change", "said"),
    [
        ("verified by", "", "has no verified by"),
        ("verified by", "by looking at it", "has no test"),
        ("verified by", "`tests/deploy/test_threat_model.py::_wrong`", "names no test"),
        ("verified by", "`tests/deploy/test_threat_model.py`", "names no test"),
        ("verified by", "`tests/nowhere/test_nothing.py::test_it`", "names no test"),
        ("enforced in", "`hub/nothing.py`", "names no file"),
        ("left", " ", "has no left"),
        ("priority", "**H**", "priority"),
        ("priority", "**M** (H, L)", "another priority"),
        ("priority", "**H** (M, M)", "another priority"),
        ("hope", "it will not happen", "is no part"),
    ],
)
def test_a_threat_that_is_not_kept_is_found(part: str, change: str, said: str) -> None:
    threat = next(iter(_threats(_page()).values()))
    assert _wrong(threat) == []
    assert any(said in wrong for wrong in _wrong(threat | {part: change}))


def test_the_tests_and_files_that_other_pages_name_exist_too() -> None:
    pages = [*(REPOSITORY / "docs").rglob("*.md"), REPOSITORY / "README.md"]
    named = {(page.name, place) for page in pages for place in re.findall(r"\btests/[\w/]+\.py\b", page.read_text())}
    assert [pair for pair in sorted(named) if not (REPOSITORY / pair[1]).is_file()] == []


def test_what_is_installed_is_pinned_by_hash() -> None:
    lock = (REPOSITORY / "requirements.lock").read_text()
    packages = re.split(r"\n(?=\S)", lock.strip())
    assert len(packages) > 20
    assert [block.split()[0] for block in packages if "==" not in block or "--hash=sha256:" not in block] == []
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    names = {_normal(re.split(r"[\[<>=~!; ]", name)[0]) for name in wanted}
    pinned = {_normal(re.split(r"[\[=]", block)[0]) for block in packages}
    assert names - pinned - {_normal(project["name"])} == set()
    assert "--require-hashes -r requirements.lock" in (REPOSITORY / "Makefile").read_text()


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
