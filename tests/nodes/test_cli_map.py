"""`seci-node map` as it is typed: the three examples, what is wrong, and sending twice through a real agent."""

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from sqlalchemy import update

from crypto.trust import Trust
from nodes import outbox, store
from nodes.agent import Agent
from nodes.api import make_app
from nodes.cli import main
from nodes.client import call
from nodes.outgoing import Outgoing
from nodes.settings import HOME_VARIABLE
from tests.crypto.people import BG, RO, TR
from tests.nodes.conftest import roster

EXAMPLES = Path(__file__).parents[2] / "deploy" / "examples" / "mapping"
Type = Callable[..., tuple[int, str, str]]


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Type:
    """Types a command; returns the exit code, and what it printed on stdout and stderr."""
    monkeypatch.delenv(HOME_VARIABLE, raising=False)

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["seci-node", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run


def _example(typed: Type, name: str, suffix: str) -> list[dict[str, Any]]:
    code, out, err = typed("map", "--mapping", EXAMPLES / f"{name}.toml", EXAMPLES / f"{name}.{suffix}")
    assert (code, err) == (0, "2 records; 2 make messages\n")
    return [json.loads(line) for line in out.splitlines()]


def test_a_register_of_stolen_vehicles_in_csv(typed: Type) -> None:
    car, lorry = _example(typed, "vehicles", "csv")
    assert car == {
        "kind": "vehicle.stolen",
        "kind_version": 1,
        "task_force": "vehicles",
        "agency": "police",
        "handling": "H1",
        "body": {
            "vehicle": {
                "type": "vehicle",
                "vehicle_type": "car",
                "plates": [{"number": "СА 4711 ВК", "country": "BG"}],  # noqa: RUF001
                "vin": "WVWZZZ1JZXW000001",
                "make": "Volkswagen",
                "model": "Golf",
                "colour": "grey",
                "year": 1999,
            },
            "stolen_on": "2004-03-03T02:00+02:00",
            "country": "BG",
            "stolen_at": {"type": "location", "place": "София, бул. Витоша"},
            "reference": "СОФ-2004-1183",
            "with_keys": False,
            "value": {"amount": "8250.00", "currency": "EUR"},
        },
    }
    assert lorry["body"]["text"] == 'Без табели; видян при "Лесово"'
    assert (lorry["body"]["stolen_on"], "value" in lorry["body"]) == ("2004-04-17", False)


def test_a_customs_seizure_system_in_xml(typed: Type) -> None:
    bus, parcel = _example(typed, "seizures", "xml")
    assert bus == {
        "kind": "drugs.seizure",
        "kind_version": 1,
        "task_force": "drugs",
        "to": ["seci", "bg"],
        "agency": "customs",
        "operation": "CONTAINMENT 2004",
        "priority": "normal",
        "body": {
            "seized_on": "2004-11-15",
            "country": "RO",
            "place": "Giurgiu",
            "seizures": [
                {"substance": "heroin", "quantity": "3.3", "unit": "kg", "reference": "RO-GR-0412"},
                {
                    "substance": "mdma",
                    "quantity": "6838",
                    "unit": "tablets",
                    "note": "in a spare wheel",
                    "reference": "RO-GR-0412",
                },
            ],
            "suspects": 2,
        },
    }
    assert (parcel["priority"], "operation" in parcel, parcel["body"]["place"]) == ("urgent", False, "Constanța")
    assert (parcel["body"]["seizures"][0]["quantity"], parcel["body"]["suspects"]) == ("1574.25", 0)


def test_a_case_system_in_json(typed: Type) -> None:
    car, phone = _example(typed, "cases", "json")
    assert car == {
        "kind": "request",
        "kind_version": 1,
        "task_force": "trafficking",
        "to": ["tr", "bg"],
        "priority": "urgent",
        "handling": "H2",
        "reply_by": "2027-01-15T14:00+02:00",
        "expires": "2027-01-15T14:00+02:00",
        "body": {
            "purpose": "Stolen vehicle offered for sale",
            "legal_basis": "Order 311/2004 of the Athens Prosecutor",
            "question": "Is this vehicle registered or sought in your country?",
            "subjects": [
                {"type": "vehicle", "identifier": "34 ABC 123", "country": "TR"},
                {
                    "type": "person",
                    "identifier": "Γεώργιος Πετρίδης",
                    "country": "GR",
                    "note": "the seller; speaks Turkish",
                },
            ],
        },
    }
    assert "reply_by" not in phone
    assert phone["body"]["subjects"] == [{"type": "phone", "identifier": "+40 21 303 60 09"}]


def _spoilt(folder: Path) -> Path:
    file = folder / "vehicles.csv"
    text = (EXAMPLES / "vehicles.csv").read_text().replace("17.04.2004", "31.04.2004").replace("БЯЛ", "БЕЖ")
    file.write_text(text)
    return file


def test_what_is_wrong_with_a_record_is_told_and_the_others_are_written(typed: Type, tmp_path: Path) -> None:
    given = ("map", "--mapping", EXAMPLES / "vehicles.toml", _spoilt(tmp_path))
    code, out, err = typed(*given)
    assert (code, len(out.splitlines())) == (3, 1)
    assert err.splitlines() == [
        "record 2, line 3, 'БУР-2004-0042': body.vehicle.colour from Цвят: found 'БЕЖ'; "
        "it must be in the mapping's table of codes 'colours', or the table have '*'",
        "record 2, line 3, 'БУР-2004-0042': body.stolen_on from Откраднат на: found '31.04.2004'; "
        "it must be a date that there is, written as %d.%m.%Y %H:%M or %d.%m.%Y",
        "2 records; 1 make messages",
    ]
    code, out, err = typed(*given, "--json")
    told = json.loads(out)
    assert (code, told["records"], len(told["messages"]), len(told["errors"])) == (3, 2, 1, 2)
    assert told["errors"][1] == {
        "field": "record 2, line 3, 'БУР-2004-0042': body.stolen_on from Откраднат на",
        "found": "'31.04.2004'",
        "wanted": "must be a date that there is, written as %d.%m.%Y %H:%M or %d.%m.%Y",
        "record": 2,
        "line": 3,
        "key": ["БУР-2004-0042"],
        "target": "body.stolen_on",
        "source": "Откраднат на",
    }


def test_strictly_none_is_written_if_any_is_wrong(typed: Type, tmp_path: Path) -> None:
    code, out, err = typed("map", "--strict", "--mapping", EXAMPLES / "vehicles.toml", _spoilt(tmp_path))
    assert (code, out) == (2, "")
    assert "1 of 2 records are wrong, and nothing was written or sent [records_invalid]" in err
    assert "record 2, line 3, 'БУР-2004-0042': body.stolen_on" in err


def test_what_no_record_has_is_noted(typed: Type, tmp_path: Path) -> None:
    mapping = tmp_path / "cases.toml"
    mapping.write_text((EXAMPLES / "cases.toml").read_text().replace('"remarks"', '"remark"'))
    code, _, err = typed("map", "--mapping", mapping, EXAMPLES / "cases.json")
    assert code == 0
    assert "note: no record has anything at remark: " in err
    code, out, _ = typed("map", "--mapping", mapping, EXAMPLES / "cases.json", "--json")
    assert (code, json.loads(out)["unread"]) == (0, ["remark"])
    (tmp_path / "cases.json").write_text('{"cases": []}')
    nothing = (3, "", "there is no record in the input, and so no message\n")
    assert typed("map", "--mapping", mapping, tmp_path / "cases.json") == nothing


def test_files_that_do_not_read_are_told(typed: Type, tmp_path: Path) -> None:
    for given, said in (
        ((EXAMPLES / "cases.toml", tmp_path / "none.json"), "input_unreadable"),
        ((tmp_path / "none.toml", EXAMPLES / "cases.json"), "mapping_invalid"),
        ((EXAMPLES / "cases.json", EXAMPLES / "cases.json"), "mapping_invalid"),
        ((EXAMPLES / "cases.toml", EXAMPLES / "seizures.xml"), "input_unreadable"),
        ((EXAMPLES / "seizures.toml", EXAMPLES / "vehicles.csv"), "input_unreadable"),
        ((EXAMPLES / "vehicles.toml", EXAMPLES / "seizures.xml"), "input_unreadable"),
    ):
        code, out, _ = typed("map", "--mapping", *given, "--json")
        assert (code, json.loads(out)["code"]) == (2, said)
    code, out, _ = typed("map", "--mapping", EXAMPLES / "cases.toml", EXAMPLES / "cases.json", "--send", "--json")
    assert (code, json.loads(out)["code"]) == (2, "usage")


def test_with_the_nodes_folder_each_message_has_the_same_id_every_time(typed: Type, tmp_path: Path) -> None:
    given = ("map", "--mapping", EXAMPLES / "seizures.toml", EXAMPLES / "seizures.xml")
    ids = []
    for home in ("ro", "ro", "bg"):
        typed("init", "--home", tmp_path / home, "--node", home)
        code, out, _ = typed(*given, "--home", tmp_path / home)
        assert code == 0
        ids.append([json.loads(line)["id"] for line in out.splitlines()])
    assert ids[0] == ids[1]
    assert len({*ids[0], *ids[2]}) == 4
    code, out, _ = typed(*given, "--home", tmp_path / "ro", "--send", "--json")
    assert (code, json.loads(out)["code"]) == (5, "agent_unreachable")


@pytest.fixture
async def home(agent: Agent, typed: Type, tmp_path: Path) -> AsyncIterator[Path]:
    """Bulgaria's folder, whose agent answers on a port of this process; what is typed has a thread of its own."""
    agent.trust = Trust.of(roster(2, RO, BG, TR))
    home = tmp_path / "bg"
    assert typed("init", "--home", home, "--node", "bg")[0] == 0
    app = make_app(agent, (home / "api.token").read_text().strip())
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        (home / "api.json").write_text(json.dumps({"url": f"http://127.0.0.1:{listening.getsockname()[1]}"}))
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        yield home
        server.should_exit = True
        await serving


ALERTS = """
name = "bg-alerts"
since = 2026-12-01
kind = "alert"
format = "csv"
key = "no"
[message]
task_force = "drugs"
"to[]" = { from = "to", split = " " }
[body]
title = { from = "title" }
text = { from = "text" }
"""


async def test_sending_twice_sends_nothing_twice(home: Path, agent: Agent, typed: Type, tmp_path: Path) -> None:
    mapping, export = tmp_path / "alerts.toml", tmp_path / "alerts.csv"
    mapping.write_text(ALERTS)
    export.write_text("no,to,title,text\n1,ro,a,b\n2,ro tr,c,d\n3,xx,e,f\n")
    given = ("map", "--mapping", mapping, export, "--home", home, "--send", "--json")
    code, out, _ = await asyncio.to_thread(typed, *given)
    first = json.loads(out)
    assert (code, [item["recipients"] for item in first["sent"]]) == (3, [["ro"], ["ro", "tr"]])
    assert [(item["record"], item["target"]) for item in first["errors"]] == [(3, "message")]
    assert "recipient_unknown" in first["errors"][0]["wanted"]

    export.write_text("no,to,title,text\n2,ro tr,c,d\n1,ro,a,changed\n4,tr,g,h\n")
    code, out, _ = await asyncio.to_thread(typed, *given)
    again = json.loads(out)
    assert (code, [item["key"] for item in again["sent"]]) == (3, [["2"], ["4"]])
    assert again["sent"][0]["id"] == first["sent"][1]["id"]
    found = f"a record that was sent before, as {first['sent'][0]['id']}, and reads differently now"
    assert again["errors"][0]["found"] == found
    assert [item["new"] for item in [*first["sent"], *again["sent"]]] == [True, True, False, True]
    assert len(await agent.box.run(outbox.recent, 50, None)) == 3

    export.write_text("no,to,title,text\n1,ro,a,changed\n")
    code, out, err = await asyncio.to_thread(typed, *given[:-1])
    assert (code, out.strip()) == (4, "")
    assert "0 are with the agent" in err

    # Once a correction says what the record says, there is nothing to tell any more.
    body = {"content": {"kind": "alert", "kind_version": 1, "body": {"title": "a", "text": "changed"}}, "text": "c"}
    mended = await _amend(agent, "correction", {"message": first["sent"][0]["id"], **body})
    code, out, err = await asyncio.to_thread(typed, *given[:-1])
    assert (code, "sent before, corrected since" in out, "0 new, 1 sent before" in err) == (0, True, True)
    export.write_text("no,to,title,text\n1,ro,a,otherwise\n")
    code, out, _ = await asyncio.to_thread(typed, *given)
    assert (code, mended in json.loads(out)["errors"][0]["found"]) == (4, True)
    await _amend(agent, "withdrawal", {"message": first["sent"][0]["id"], "reason": "wrong"})
    code, out, _ = await asyncio.to_thread(typed, *given)
    assert (code, json.loads(out)["sent"][0]["standing"]) == (0, "withdrawn")


async def _amend(agent: Agent, kind: str, body: dict[str, Any]) -> str:
    message = Outgoing(kind=kind, body=body)
    return str((await outbox.accept(agent.box, message, "bg", agent.keys, agent.trust))[0]["id"])


def test_what_lies_in_the_mapping_is_told_once_and_warnings_of_each_record(typed: Type, tmp_path: Path) -> None:
    mapping, export = tmp_path / "alerts.toml", tmp_path / "alerts.csv"
    person = '"entities.0.type" = "person"\n"entities.0.born" = { from = "text" }\n'
    mapping.write_text(ALERTS + person + '"entities.0.role" = "thief"\n')
    export.write_text("no,to,title,text\n1,ro,a,1802\n2,ro,c,2099\n3,ro,c,1975\n")
    code, out, _ = typed("map", "--mapping", mapping, export, "--json")
    told = json.loads(out)["errors"]
    assert (code, [item.get("records") for item in told], told[0]["target"]) == (2, [3], "body.entities.0.role")
    mapping.write_text(ALERTS + person)
    code, out, err = typed("map", "--mapping", mapping, export)
    assert (code, len(out.splitlines())) == (3, 2)
    assert "warning: record 1, line 2, '1': body.entities.0.born: is more than 120 years ago" in err
    assert "record 2, line 3, '2': body.entities.0.born from text: found '2099'; it must not be in the future" in err


@pytest.mark.parametrize("state", ["refused", "expired"])
async def test_what_reached_nobody_when_it_was_sent_is_not_told_as_sent(
    home: Path, agent: Agent, typed: Type, tmp_path: Path, state: str
) -> None:
    mapping, export = tmp_path / "alerts.toml", tmp_path / "alerts.csv"
    mapping.write_text(ALERTS)
    export.write_text("no,to,title,text\n1,ro,a,b\n2,tr,c,d\n")
    given = ("map", "--mapping", mapping, export, "--home", home, "--send", "--json")
    code, out, _ = await asyncio.to_thread(typed, *given)
    first, second = json.loads(out)["sent"]
    assert code == 0
    wanted = update(store.outbox).where(store.outbox.c.id == first["id"]).values(state=state)
    await agent.box.run(lambda connection: connection.execute(wanted))
    code, out, _ = await asyncio.to_thread(typed, *given)
    again = json.loads(out)
    assert (code, [item["id"] for item in again["sent"]]) == (3, [second["id"]])
    assert [(item["record"], item["found"]) for item in again["errors"]] == [
        (1, f"a record that was sent before, as {first['id']}, and {state}")
    ]


PLAN = {
    "kind": "operation.plan",
    "task_force": "drugs",
    "body": {
        "name": "CONTAINMENT",
        "year": 2004,
        "begins": "2004-10-01",
        "ends": "2004-10-20",
        "objective": "Drugs are found.",
        "countries": ["BG", "RO"],
        "agencies": ["customs"],
    },
}


async def test_an_operation_that_no_plan_names_is_told_to_its_sender(
    home: Path, agent: Agent, typed: Type, tmp_path: Path
) -> None:
    async def sending(*options: str) -> tuple[int, str, str]:
        words = ("send", "--home", home, "--kind", "alert", "--task-force", "drugs", "--body", body, *options)
        return await asyncio.to_thread(typed, *words)

    body, mapping, export = tmp_path / "body.json", tmp_path / "alerts.toml", tmp_path / "alerts.csv"
    body.write_text('{"title": "a", "text": "b"}')
    code, _, err = await sending("--operation", "CONTAINMEMT 2004")
    assert (code, "no plan of any operation is here" in err) == (0, True)
    await asyncio.to_thread(call, home, "POST", "/v1/messages", json=PLAN)
    code, out, _ = await sending("--operation", "CONTAINMEMT 2004", "--json")
    said = json.loads(out)
    assert (code, said["code"], "did you mean CONTAINMENT 2004?" in said["detail"]) == (2, "operation_unplanned", True)
    assert (await sending("--operation", "Containment  2004"))[::2] == (0, "")
    assert (await sending("--operation", "CONTAINMEMT 2004", "--new-operation"))[::2] == (0, "")

    mapping.write_text(ALERTS.replace("[body]", 'operation = "MIRAGE 2004"\n[body]'))
    export.write_text("no,to,title,text\n1,ro,a,b\n2,ro,c,d\n")
    given = ("map", "--mapping", mapping, export, "--home", home, "--send", "--json")
    code, out, _ = await asyncio.to_thread(typed, *given)
    found = json.loads(out)
    [error] = found["errors"]
    assert (code, found["sent"], error["field"]) == (4, [], "2 records alike: message")
    assert error["found"].startswith("no plan that is here names 'MIRAGE 2004': plans are here of")
    code, out, _ = await asyncio.to_thread(typed, *given, "--new-operation")
    assert (code, len(json.loads(out)["sent"])) == (0, 2)
    # What was sent once is not sent again, whatever is said of its operation by then.
    code, out, _ = await asyncio.to_thread(typed, *given)
    assert (code, [one["new"] for one in json.loads(out)["sent"]]) == (0, [False, False])

    report = {"name": "MIRAGE", "year": 2004, "country": "BG", "agency": "police"}
    report |= {"results": [{"indicator": "requests-initiated", "count": 1}]}
    body.write_text(json.dumps(report | {"begins": "2004-05-17", "ends": "2004-05-26"}))
    code, out, _ = await sending("--kind", "operation.report", "--operation", "CONTAINMENT 2004", "--json")
    assert (code, json.loads(out)["code"]) == (2, "operation_mismatch")
