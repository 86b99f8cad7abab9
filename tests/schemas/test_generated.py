"""docs/schemas is what the kinds say today, and today's kinds break with nothing that is committed there."""

import json
from pathlib import Path

import pytest

from deploy import schemas
from schemas.registry import KINDS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of what the generator writes."""
    for name, text in schemas.generated().items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_no_kind_breaks_with_its_committed_schema() -> None:
    assert list(schemas.broken()) == []


def test_what_was_valid_once_is_valid_under_the_models_of_today() -> None:
    assert list(schemas.refused()) == []
    assert {(kind, version) for _, kind, version, _ in schemas.bodies_of()} == set(KINDS)


def test_a_rule_between_fields_that_refuses_an_older_body_is_a_break(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # As if it had been valid before plans had to end after they begin: no schema can say that they must.
    body = KINDS["operation.plan", 1].examples[0] | {"ends": "2004-05-01"}
    file = folder / "bodies.jsonl"
    file.write_text(json.dumps({"kind": "operation.plan", "version": 1, "body": body}) + "\n", encoding="utf-8")
    told = "operation.plan/1: the body in line 1 of bodies.jsonl was valid, and is not: operation.plan: "
    assert [line.startswith(told) for line in schemas.refused(file)] == [True]
    assert schemas.main(["--check", "--json"], folder, file) == 1
    assert "ends: must not be before begins" in capsys.readouterr().out


def test_the_committed_files_are_of_today() -> None:
    assert schemas.stale() == [], "write them anew: make schemas"


def test_every_version_of_a_kind_has_a_file(folder: Path) -> None:
    assert {file.name for file in folder.glob("*.json")} == {f"{kind}.{version}.json" for kind, version in KINDS}
    assert list(schemas.broken(folder)) == schemas.stale(folder) == []


def test_a_break_is_named_with_kind_and_place(folder: Path) -> None:
    file = folder / "drugs.seizure.1.json"
    schema = json.loads(file.read_text(encoding="utf-8"))
    schema["$defs"]["Unit"]["enum"].append("stone")
    schema["properties"]["wrapping"] = {"type": "string"}
    file.write_text(json.dumps(schema), encoding="utf-8")
    # A unit stands in several places: the first is named.
    assert set(schemas.broken(folder)) == {
        "drugs.seizure/1: body.wrapping: was a field and is none",
        "drugs.seizure/1: body.entities[].quantity.unit: may not be stone any more",
    }


def test_a_version_that_is_gone_is_a_break(folder: Path) -> None:
    (folder / "telex.1.json").write_text("{}", encoding="utf-8")
    assert list(schemas.broken(folder)) == ["telex/1: is gone; older nodes still send it"]


@pytest.mark.parametrize("name", ["alert.md", "alert.1.json", "README.md"])
def test_a_file_that_is_missing_changed_or_left_over_is_stale(folder: Path, name: str) -> None:
    (folder / name).unlink()
    (folder / "old.md").write_text("# old\n", encoding="utf-8")
    assert schemas.stale(folder) == sorted([name, "old.md"])


def test_what_is_stale_is_written_and_only_looked_at_with_check(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "alert.md").write_text("# alert\n", encoding="utf-8")
    (folder / "old.md").write_text("# old\n", encoding="utf-8")
    assert schemas.main(["--check"], folder) == 1
    assert (folder / "old.md").exists()
    assert schemas.main(["--json"], folder) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told == {"broken": [], "stale": ["alert.md", "old.md"], "written": True}
    assert schemas.main(["--check"], folder) == 0
    assert not (folder / "old.md").exists()


def test_nothing_is_written_over_what_breaks(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder / "alert.1.json"
    file.write_text(file.read_text(encoding="utf-8").replace('"title", "text"', '"text"'), encoding="utf-8")
    committed = file.read_text(encoding="utf-8")
    assert schemas.main([], folder) == 1
    assert file.read_text(encoding="utf-8") == committed
    said = capsys.readouterr().err
    assert "alert/1: body.title: is required by now" in said
    assert "new version" in said
