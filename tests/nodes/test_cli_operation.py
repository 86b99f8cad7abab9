"""`seci-node operation tables` as it is typed, on an agent that is made up: what it asks for and how it answers."""

import csv
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.local.replayed import CENTRE, posts
from deploy.local.seedtables import OPERATIONS
from nodes import reported as reporting
from nodes.cli import main

Type = Callable[..., tuple[int, str, str]]
PAGE = 7


def _messages() -> list[dict[str, Any]]:
    """What a replay sends, as the API of the Centre's node shows it."""
    sent = posts()
    ids = {id(post): f"m{place}" for place, post in enumerate(sent)}
    return [
        {
            "seq": place + 1,
            "id": ids[id(post)],
            "received": (at := f"{post.year}-11-01T00:00:00.{place:03}Z"),
            "times": {"accepted": at},
            "state": "accepted" if post.sender == CENTRE else "delivered",
            "kind": post.request["kind"],
            "kind_version": 1,
            "sender": post.sender,
            "agency": post.request.get("agency", "police"),
            "created": "2004-11-15T00:00:00.000Z",
            "operation": post.request["operation"],
            "body": post.request["body"] | ({"message": ids[id(post.mends)]} if post.mends is not None else {}),
        }
        for place, post in enumerate(sent)
    ]


@pytest.fixture
def messages() -> list[dict[str, Any]]:
    """What has come to the Centre's node; a test may change it."""
    return _messages()


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], messages: list[dict[str, Any]]) -> Type:
    """Types a command; returns the exit code and what it printed, to stdout and to stderr."""

    def call(home: Path, method: str, path: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        asked = params or {}
        sent = [message for message in messages if message["sender"] == CENTRE]
        got = [message for message in messages if message["sender"] != CENTRE]
        assert (home, method) == (Path("seci"), "GET")
        if path == "/v1/inbox":
            page = [m for m in got if m["kind"] == asked["kind"] and m["seq"] > asked["after"]][:PAGE]
            return {"messages": page, "after": page[-1]["seq"] if page else asked["after"]}
        if path == "/v1/messages":
            older = [m for m in reversed(sent) if m["seq"] < asked.get("before", 10**6)]
            return {"messages": older[:2], "before": older[1]["seq"] if len(older) > 2 else None}
        return next(message for message in sent if message["id"] == path.removeprefix("/v1/messages/"))

    monkeypatch.setattr(reporting, "call", call)

    def run(*arguments: str) -> tuple[int, str, str]:
        arguments = arguments if arguments[0] == "list" else ("tables", *arguments)
        monkeypatch.setattr(sys, "argv", ["seci-node", "operation", *arguments, "--home", "seci"])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


@pytest.mark.parametrize("printed", OPERATIONS, ids=lambda one: f"{one.name} {one.year}")
def test_the_tables_have_every_cell_as_printed_in_every_form(typed: Type, printed: Any) -> None:
    name = printed.name.lower()
    code, text, _ = typed(name, str(printed.year))
    assert code == 0
    lines = [" ".join(line.split()) for line in text.splitlines()]
    begin = lines.index(" ".join(printed.heading)) + 1
    assert lines[begin : begin + len(printed.rows)] == [" ".join(row) for row in printed.rows]
    found = json.loads(typed(name, str(printed.year), "--json")[1])
    assert [(row["label"], row["cell"]) for row in found[printed.table]] == list(printed.rows)
    table = list(csv.DictReader(io.StringIO(typed(name, str(printed.year), "--csv")[1])))
    assert [(row["label"], row["cell"]) for row in table if row["table"] == printed.table] == list(printed.rows)


def test_what_is_counted_once_mended_or_taken_back_is_told(typed: Type) -> None:
    _, text, told = typed("CONTAINMENT", "2003")
    assert "counted once: Heroin of BG: customs 24 kg (message m" in text
    assert "the same quantity in the same period" in text
    assert "counted as corrected: message m" in told
    assert "not counted, for it was withdrawn: message m" in told
    found = json.loads(typed("CONTAINMENT", "2003", "--json")[1])
    [double] = found["doubles"]
    assert (double["counted"]["agency"], double["left_out"]["seizure"]["quantity"]) == ("customs", "24000")
    assert (len(found["corrected"]), len(found["withdrawn"]), len(found["countries"])) == (1, 1, 4)


def test_an_operation_of_which_nothing_came_is_told(typed: Type) -> None:
    code, text, _ = typed("MIRAGE", "2005", "--json")
    assert (code, json.loads(text)["code"]) == (4, "operation_unknown")
    assert "did you mean MIRAGE 20" in json.loads(text)["detail"]
    assert typed("MIRAGE", "--json")[0] == typed("MIRAGE", "1998", "--json")[0] == 2
    assert typed("MIRAGE", "2003", "--json", "--csv")[0] == 2


def test_what_others_wrote_does_not_steer_the_terminal_nor_pass_for_a_row(
    typed: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported = next(m for m in _messages() if m["kind"] == "operation.report")
    body = {name: reported["body"][name] for name in ("name", "year", "country", "agency", "begins", "ends")}
    results = [{"indicator": "other", "name": "found\nHeroin  0 kg\x1b[2J\u202e", "count": 3}]
    messages = [reported | {"body": body | {"results": results}}]

    def call(home: Path, method: str, path: str, params: dict[str, Any]) -> dict[str, Any]:
        wanted = path == "/v1/inbox" and params["kind"] == "operation.report" and params["after"] == 0
        return {"messages": messages if wanted else [], "before": None}

    monkeypatch.setattr(reporting, "call", call)
    code, text, _ = typed(body["name"], str(body["year"]))
    assert code == 0
    assert r"found\nHeroin  0 kg\x1b[2J\u202e  3" in text.splitlines()


def test_the_operations_are_listed_with_who_has_reported_and_who_has_not(
    typed: Type, messages: list[dict[str, Any]]
) -> None:
    lost = next(m for m in messages if m["kind"] == "drugs.seizure" and m["sender"] == "hr")
    lost["operation"] = "CONTAINMEMT 2003"
    code, out, _ = typed("list", "--json")
    found = {one["operation"]: one for one in json.loads(out)["operations"]}
    assert (code, list(found)[-1], len(found)) == (0, "CONTAINMEMT 2003", 7)
    mirage = found["MIRAGE 2003"]
    assert (mirage["planned_by"], mirage["reports"], mirage["countries"]) == (CENTRE, 4, ["RO", "BG", "TR", "HR"])
    assert mirage["reported"] == [{"country": c, "agency": "police"} for c in ("RO", "BG", "TR", "HR")]
    assert mirage["missing"] == [{"country": c, "agency": "customs"} for c in ("RO", "BG", "TR", "HR")]
    mistyped = found["CONTAINMEMT 2003"]
    assert (mistyped["plan"], mistyped["reports"], mistyped["similar"][0]) == (None, 1, "CONTAINMENT 2003")
    text = typed("list")[1]
    assert "CONTAINMEMT 2003: 1 report, and no plan has this name: CONTAINMENT 2003 or " in text
    assert "4 reports from RO (police), BG (police)" in text

    _, out, _ = typed("CONTAINMENT", "2003", "--json")
    assert json.loads(out)["similar"] == [{"operation": "CONTAINMEMT 2003", "messages": [lost["id"]]}]
    _, _, told = typed("CONTAINMENT 2003")
    assert f"not counted, for it is under CONTAINMEMT 2003, which no plan names: message {lost['id']};" in told
    assert "no plan names CONTAINMEMT 2003 either" in typed("road", "show", "2003")[2]


def test_who_has_not_reported_is_told_in_every_form(typed: Type, messages: list[dict[str, Any]]) -> None:
    messages[:] = [m for m in messages if m["operation"] == "MIRAGE 2003" and m["sender"] in (CENTRE, "ro")]
    assert "from 1 message of RO\nno report yet from RO (customs), BG (police, customs)" in typed("MIRAGE 2003")[1]
    table = list(csv.DictReader(io.StringIO(typed("MIRAGE", "2003", "--csv")[1])))
    assert [row["label"] for row in table if row["table"] == "no report yet"][:2] == ["RO customs", "BG police"]
    assert len(json.loads(typed("MIRAGE", "2003", "--json")[1])["missing"]) == 7
    del messages[1:]
    code, text, _ = typed("MIRAGE", "2003")
    assert (code, "nothing is reported yet" in text) == (3, True)


def test_a_seizure_that_is_counted_once_stands_in_the_csv_too(typed: Type) -> None:
    table = list(csv.DictReader(io.StringIO(typed("CONTAINMENT", "2003", "--csv")[1])))
    [double] = [row for row in table if row["table"] == "counted once"]
    assert (double["label"], double["cell"], double["value"], double["unit"]) == ("Heroin", "24000 gr", "24000", "g")
    assert double["note"].startswith("of BG: police (message m")
