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
from nodes import cli_operation
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
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Type:
    """Types a command; returns the exit code and what it printed, to stdout and to stderr."""
    sent = [message for message in _messages() if message["sender"] == CENTRE]
    got = [message for message in _messages() if message["sender"] != CENTRE]

    def call(home: Path, method: str, path: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        asked = params or {}
        assert (home, method) == (Path("seci"), "GET")
        if path == "/v1/inbox":
            page = [m for m in got if m["kind"] == asked["kind"] and m["seq"] > asked["after"]][:PAGE]
            return {"messages": page, "after": page[-1]["seq"] if page else asked["after"]}
        if path == "/v1/messages":
            older = [m for m in reversed(sent) if m["seq"] < asked.get("before", 10**6)]
            return {"messages": older[:2], "before": older[1]["seq"] if len(older) > 2 else None}
        return next(message for message in sent if message["id"] == path.removeprefix("/v1/messages/"))

    monkeypatch.setattr(cli_operation, "call", call)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["seci-node", "operation", "tables", *arguments, "--home", "seci"])
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
    assert "counted once: heroin of BG: customs 24 kg (message m" in text
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

    monkeypatch.setattr(cli_operation, "call", call)
    code, text, _ = typed(body["name"], str(body["year"]))
    assert code == 0
    assert r"found\nHeroin  0 kg\x1b[2J\u202e  3" in text.splitlines()
