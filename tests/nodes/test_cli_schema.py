"""`seci-node schema` as it is typed: what it lists and shows, and that it says what is wrong with a file."""

import json
import re
import sys
from pathlib import Path

import pytest

from nodes.cli import main
from schemas.registry import KINDS, json_schema


class Typed:
    """Types commands, with and without `--json`."""

    def __init__(self, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._patch = patch
        self._capsys = capsys

    def __call__(self, *arguments: str | Path) -> tuple[int, str, str]:
        self._patch.setattr(sys, "argv", ["seci-node", "schema", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = self._capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    return Typed(monkeypatch, capsys)


def test_all_kinds_are_listed(typed: Typed) -> None:
    code, out, _ = typed("list", "--json")
    assert code == 0
    assert {item["kind"] for item in json.loads(out)["kinds"]} == {name for name, _ in KINDS}
    assert len(typed("list")[1].splitlines()) == len({name for name, _ in KINDS})


def test_a_task_force_has_its_own_kinds_and_those_of_all(typed: Typed) -> None:
    found = [item["kind"] for item in json.loads(typed("list", "--task-force", "drugs", "--json")[1])["kinds"]]
    assert {"alert", "request", "reply", "drugs.seizure"} <= set(found)
    vehicles = json.loads(typed("list", "--task-force", "vehicles", "--json")[1])["kinds"]
    assert "drugs.seizure" not in {item["kind"] for item in vehicles}


def test_an_unknown_task_force_or_kind_is_named_and_what_there_is_too(typed: Typed) -> None:
    code, _, err = typed("list", "--task-force", "tea")
    assert (code, "'tea'" in err, "drugs" in err) == (2, True, True)
    for command in ("show", "example"):
        code, out, _ = typed(command, "telex", "--json")
        assert (code, json.loads(out)["code"]) == (2, "kind_unknown")
    assert json.loads(typed("show", "alert", "--version", "99", "--json")[1])["code"] == "kind_unknown"
    assert json.loads(typed("example", "alert", "--number", "99", "--json")[1])["code"] == "example_unknown"


@pytest.mark.parametrize(
    ("said", "step"),
    [
        (
            "vehicle",
            "did you mean vehicle.hit or vehicle.stolen?; the entity Vehicle is in: seci-node schema show entities",
        ),
        ("drug.seizure", "did you mean drugs.seizure?"),
        ("firearm", "did you mean firearm.trace?; the entity Firearm is in: seci-node schema show entities"),
        ("telex", "see: seci-node schema list"),
    ],
)
def test_what_is_near_to_an_unknown_kind_is_named(typed: Typed, said: str, step: str) -> None:
    assert json.loads(typed("show", said, "--json")[1])["next"] == step


@pytest.mark.parametrize("kind", ["vehicle.stolen", "entities"])
def test_a_terminal_is_shown_no_links(typed: Typed, kind: str) -> None:
    assert not re.search(r"\]\([^)]*(\.md|#)", typed("show", kind)[1])


def test_show_prints_the_page_or_the_schema(typed: Typed) -> None:
    code, out, _ = typed("show", "drugs.seizure")
    assert (code, out.splitlines()[0]) == (0, "# drugs.seizure, version 1")
    assert json.loads(typed("show", "drugs.seizure", "--json")[1]) == json_schema("drugs.seizure", 1)
    assert "### Vehicle" in typed("show", "entities")[1]
    assert "Vehicle" in json.loads(typed("show", "entities", "--json")[1])["$defs"]


@pytest.mark.parametrize("kind", sorted({name for name, _ in KINDS}))
def test_the_example_of_every_kind_is_valid(typed: Typed, tmp_path: Path, kind: str) -> None:
    file = tmp_path / "body.json"
    file.write_text(typed("example", kind)[1], encoding="utf-8")
    code, out, _ = typed("validate", file, "--kind", kind, "--json")
    assert (code, json.loads(out)["valid"], json.loads(out)["kind"]) == (0, True, kind)


def test_of_each_wrong_field_one_line_says_what_was_found_and_what_is_wanted(typed: Typed, tmp_path: Path) -> None:
    file = tmp_path / "body.json"
    seizure = {"substance": "tea", "quantity": "0", "unit": "kg", "colour": "red"}
    file.write_text(json.dumps({"seized_on": "21.09.2003", "seizures": [seizure]}), encoding="utf-8")
    code, out, err = typed("validate", file, "--kind", "drugs.seizure")
    assert (code, out) == (2, "")
    lines = {line.split(":")[0].strip(): line for line in err.splitlines()}
    assert "5 fields are wrong [body_invalid]" in err
    assert 'found "21.09.2003"; it must be a date, as 2026-11-24' in lines["seized_on"]
    assert "found nothing; it is required" in lines["country"]
    assert 'found "tea"; it must be one of heroin, ' in lines["seizures.0.substance"]
    assert 'found "0"; it must be more than 0' in lines["seizures.0.quantity"]
    assert 'found "red"; it is not a field of this kind' in lines["seizures.0.colour"]
    _, out, _ = typed("validate", file, "--kind", "drugs.seizure", "--json")
    assert {item["field"] for item in json.loads(out)["errors"]} == set(lines) - {"seci-node", "next"}


def test_what_is_long_is_not_shown(typed: Typed, tmp_path: Path) -> None:
    file = tmp_path / "body.json"
    file.write_text(json.dumps({"title": "x" * 301, "text": ["y"]}), encoding="utf-8")
    _, out, _ = typed("validate", file, "--kind", "alert", "--json")
    assert {item["field"]: item["found"] for item in json.loads(out)["errors"]} == {"title": "string", "text": "array"}


def test_a_whole_message_says_its_kind_itself(typed: Typed, tmp_path: Path) -> None:
    file = tmp_path / "message.json"
    message = {"kind": "alert", "task_force": "drugs", "body": {"title": "t", "text": "x"}}
    file.write_text(json.dumps(message), encoding="utf-8")
    assert typed("validate", file)[0] == 0
    file.write_text(json.dumps(message["body"]), encoding="utf-8")
    code, out, _ = typed("validate", file, "--json")
    assert (code, json.loads(out)["code"]) == (2, "kind_missing")


@pytest.mark.parametrize("text", ["", "[]", '{"title": "a", "title": "b"}', '{"title": NaN}'])
def test_what_is_no_json_object_is_told(typed: Typed, tmp_path: Path, text: str) -> None:
    file = tmp_path / "body.json"
    file.write_text(text, encoding="utf-8")
    code, out, _ = typed("validate", file, "--kind", "alert", "--json")
    assert (code, json.loads(out)["code"]) == (2, "body_not_json")
    code, out, _ = typed("validate", tmp_path / "none.json", "--kind", "alert", "--json")
    assert (code, json.loads(out)["code"]) == (2, "body_unreadable")


def test_of_a_whole_message_what_is_beside_the_body_is_looked_at_too(typed: Typed, tmp_path: Path) -> None:
    file = tmp_path / "message.json"
    wrong = {
        "kind": "reply",
        "task_force": "tea",
        "expires": "2004-11-15T00:00:00Z",
        "reply_by": "2004-11-15T00:00:00",
        "id": "0f8fad5b-d9cb-469f-a165-70867728950e",
        "body": {"result": "hit"},
    }
    file.write_text(json.dumps(wrong), encoding="utf-8")
    code, out, _ = typed("validate", file, "--json")
    told = {item["field"]: item["wanted"] for item in json.loads(out)["errors"]}
    assert (code, json.loads(out)["code"]) == (2, "request_invalid")
    assert set(told) == {"task_force", "in_reply_to", "expires", "reply_by", "id", "body.text"}
    file.write_text(json.dumps(wrong | {"to": "bg", "colour": "red", "body": {"result": "hit", "text": "x"}}))
    told = {item["field"]: item["wanted"] for item in json.loads(typed("validate", file, "--json")[1])["errors"]}
    assert told == {"to": "must be a list", "colour": "is not a known field"}


def test_what_is_odd_or_unverified_is_told_and_valid_all_the_same(typed: Typed, tmp_path: Path) -> None:
    file = tmp_path / "body.json"
    person = {"type": "person", "born": "1802", "documents": [{"mrz": "P<UTO"}]}
    file.write_text(json.dumps({"title": "t", "text": "x", "entities": [person]}), encoding="utf-8")
    code, out, err = typed("validate", file, "--kind", "alert")
    assert (code, out.startswith("a body of alert/1")) == (0, True)
    assert [line.split(":")[1] for line in err.splitlines()] == [
        " body.entities.0.born",
        " body.entities.0.documents.0.mrz",
    ]
    assert len(json.loads(typed("validate", file, "--kind", "alert", "--json")[1])["warnings"]) == 2
    file.write_text(json.dumps({"title": "t", "text": "x", "entities": [person | {"born": "2099"}]}), encoding="utf-8")
    assert "must not be in the future" in typed("validate", file, "--kind", "alert")[2]


def test_spellings_of_one_name_have_one_key_and_others_another(typed: Typed) -> None:
    code, out, _ = typed("key", "Živković Milan", "МИЛАН ЖИВКОВИЋ", "--json")
    found = json.loads(out)
    assert (code, found["same"], found["keys"][1]["text"]) == (0, True, "МИЛАН ЖИВКОВИЋ")
    code, out, _ = typed("key", "Petrov", "Petrović")
    assert (code, [line.split() for line in out.splitlines()]) == (3, [["petrov", "Petrov"], ["petrovic", "Petrović"]])
    assert json.loads(typed("key", "--plate", "СА 4711 ВК", "ca-4711-bk", "--json")[1])["same"]  # noqa: RUF001
