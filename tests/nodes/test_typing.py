"""What `seci-node` says of words that it cannot use: plain lines or one JSON object, the field, what is wanted."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nodes import doctor, setup
from nodes.cli import main
from nodes.cli_read import debt, message_lines, stage
from nodes.cli_send import ANSWER
from nodes.errors import AgentUnreachable, BrokerUnreachable
from nodes.settings import Settings
from schemas.codes import TASK_FORCES
from tests.nodes.welcomes import ROOT, running, welcome
from tests.typed import type_in

ID = "01a20f97-e270-71d7-88d6-b834d3465199"
ALERT = ("send", "--kind", "alert", "--task-force", "drugs")


def _typed(home: Path, *words: str | Path, body: bytes = b"") -> tuple[int, str, str]:
    return type_in(main, *words, body=body, SECI_NODE_HOME=str(home))


def _in_a_process(home: Path, *words: str, body: bytes = b"") -> tuple[int, str, str]:
    argv = [sys.executable, "-m", "nodes.cli", *words]
    environment = {**os.environ, "SECI_NODE_HOME": str(home)}
    done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, input=body, timeout=60)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def _told(home: Path, *words: str | Path, body: bytes = b"") -> tuple[int, dict[str, Any]]:
    code, out, err = _typed(home, *words, "--json", body=body)
    assert err == ""
    found: dict[str, Any] = json.loads(out)
    assert (found["ok"], "\n" in found["detail"] + found["next"]) == (False, False)
    return code, found


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Romania's folder after the first step; nobody runs there."""
    folder = tmp_path_factory.mktemp("typing") / "ro"
    setup.create(folder, "ro")
    return folder


@pytest.mark.parametrize(
    ("words", "field", "found", "wanted"),
    [
        (("inbox", "--limit", "0"), "--limit", "0", "must be at least 1"),
        (("inbox", "--after", "-1"), "--after", "-1", "must be at least 0"),
        (("inbox", "--after", "9" * 20), "--after", "9" * 20, "must be at most 9223372036854775807"),
        (("inbox", "--thread", "x"), "--thread", "x", "must be a message's id"),
        (("notices", "--limit", "many"), "--limit", "many", "must be a whole number"),
        (("show", "7"), "ID", "7", "must be a message's id"),
        (("status", "../status"), "ID", "../status", "must be a message's id"),
        (("receipt", "7"), "ID", "7", "must be a message's id"),
        ((*ALERT, "--priority", "high"), "--priority", "high", "must be one of 'normal', 'urgent'"),
        ((*ALERT, "--in-reply-to", "it"), "--in-reply-to", "it", "must be a message's id"),
        (("run", "--port", "99999"), "--port", "99999", "must be at most 65535"),
    ],
)
def test_a_wrong_word_is_told_with_field_and_what_is_wanted(
    home: Path, words: tuple[str, ...], field: str, found: str, wanted: str
) -> None:
    code, said = _told(home, *words)
    assert (code, said["code"]) == (2, "usage")
    assert len(said["errors"]) == 1
    assert (said["errors"][0]["field"], said["errors"][0]["found"]) == (field, found)
    assert said["errors"][0]["wanted"].startswith(wanted)
    assert said["next"] == f"see seci-node {words[0]} --help"


def test_a_process_of_its_own_says_the_same(home: Path) -> None:
    for words, body in ((("inbox", "--limit", "0"), b""), ((*ALERT, "--json"), b"[1]")):
        assert _in_a_process(home, *words, body=body) == _typed(home, *words, body=body)


def test_people_get_plain_lines(home: Path) -> None:
    code, out, err = _typed(home, "inbox", "--limit", "0")
    assert (code, out) == (2, "")
    assert err == (
        "seci-node: wrong: --limit [usage]\n"
        "  --limit: found 0; it must be at least 1\n"
        "next: see seci-node inbox --help\n"
    )
    code, out, err = _typed(home, "inbox", "--colour")
    assert (code, out) == (2, "")
    assert err == "seci-node: No such option: --colour [usage]\nnext: see seci-node inbox --help\n"
    code, out, err = _typed(home)
    assert (code, out, err.isascii()) == (2, "", True)
    assert "doctor" in err


@pytest.mark.parametrize("when", ["tomorrow", "2026-13-01T00:00:00Z", "2104-11-15T00:00:00"])
def test_a_time_that_is_none_or_has_no_zone_is_told_with_an_example(home: Path, when: str) -> None:
    for option in ("--reply-by", "--expires"):
        code, said = _told(home, *ALERT, option, when)
        assert (code, said["code"]) == (2, "usage")
        assert option in said["detail"]
        assert repr(when) in said["detail"]
        assert "2026-11-24T14:00:00Z" in said["detail"]


def test_a_reply_needs_its_question(home: Path) -> None:
    code, said = _told(home, "send", "--kind", "reply")
    assert (code, said["code"]) == (2, "reply_without_question")
    assert "--in-reply-to" in said["next"]
    assert "seci-node inbox" in said["next"]


def test_a_task_force_is_asked_for_by_name(home: Path) -> None:
    code, said = _told(home, "send", "--kind", "alert")
    assert (code, said["code"]) == (2, "task_force_missing")
    assert ", ".join(TASK_FORCES) in said["next"]
    code, said = _told(home, "send", "--kind", "alert", "--task-force", "piracy")
    assert (code, said["code"]) == (2, "task_force_unknown")
    assert "'piracy'" in said["detail"]
    assert ", ".join(TASK_FORCES) in said["next"]


def test_a_body_file_that_does_not_read_is_told_precisely(home: Path, tmp_path: Path) -> None:
    nowhere, closed = tmp_path / "nope", tmp_path / "closed"
    closed.write_text("{}")
    closed.chmod(0)
    cases = [(nowhere, "does not exist"), (tmp_path, "is a directory, not a file"), (closed, "may not be read by you")]
    for file, why in cases[: 2 if os.geteuid() == 0 else 3]:
        code, said = _told(home, *ALERT, "--body", file)
        assert (code, said["code"], said["detail"]) == (2, "body_unreadable", f"{file} {why}")
        assert "--body" in said["next"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is not JSON: it is empty"),
        (b"{\n x", "is not JSON: Expecting property name enclosed in double quotes: line 2 column 2"),
        (b"[1]", "holds JSON, but no object"),
        (b'{"title": "\xff"}', "is no text in UTF-8"),
        (b"[" * 100_000, "is not JSON: it is nested too deeply"),
        (b'{"title": NaN}', "is not JSON: NaN is no number of JSON"),
        (b'{"title": "\\ud800"}', "has an escape that is no character"),
        (
            b'{"title": "a", "title": "b"}',
            "may be read in two ways: the name 'title' stands in one object more than once",
        ),
    ],
)
def test_a_body_that_is_no_object_is_told_with_the_place(home: Path, tmp_path: Path, content: bytes, why: str) -> None:
    file = tmp_path / "body.json"
    file.write_bytes(content)
    code, said = _told(home, *ALERT, "--body", file)
    assert (code, said["code"]) == (2, "body_not_json")
    assert said["detail"].startswith(f"{file} {why}")
    assert _told(home, *ALERT, body=content)[1]["detail"].startswith(f"standard input {why}")


@pytest.fixture(scope="module")
def at_work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Romania's folder, enrolled."""
    folder = tmp_path_factory.mktemp("at-work") / "ro"
    setup.create(folder, "ro")
    asyncio.run(setup.welcome(folder, welcome(folder)))
    return folder


@pytest.fixture(scope="module")
def agent(at_work: Path) -> Iterator[Path]:
    """Romania's folder, where its agent runs."""
    with running(at_work):
        yield at_work


@pytest.mark.system
def test_what_the_agent_finds_wrong_is_told_field_by_field(agent: Path) -> None:
    code, said = _told(agent, *ALERT, body=b'{"title": 7, "colour": "red"}')
    assert (code, said["code"], said["detail"]) == (2, "body_invalid", "wrong: body.title, body.text, body.colour")
    assert said["errors"] == [
        {"field": "body.title", "found": "number", "wanted": "must be a text"},
        {"field": "body.text", "found": "nothing", "wanted": "is required"},
        {"field": "body.colour", "found": "string", "wanted": "is not a field of this kind"},
    ]
    code, out, err = _typed(agent, *ALERT, body=b'{"title": "a"}')
    assert (code, out) == (2, "")
    assert "\n  body.text: found nothing; it is required\n" in err
    code, said = _told(agent, *ALERT, "--expires", "2004-11-15T00:00:00Z", body=b'{"title": "a", "text": "b"}')
    assert (code, said["errors"][0]["field"]) == (2, "expires")
    assert said["errors"][0]["wanted"] == "must be later than created"
    assert said["errors"][0]["found"] == "2004-11-15T00:00:00.000Z"


@pytest.mark.system
def test_the_nodes_own_task_forces_are_told(agent: Path) -> None:
    for words in ((), ("--task-force", "piracy")):
        code, said = _told(agent, "send", "--kind", "alert", *words)
        assert (code, said["next"].partition("; ")[2]) == (2, "ro is a member of drugs")
    code, said = _told(agent, "send", "--kind", "alert", "--task-force", "fraud", body=b'{"title": "a", "text": "b"}')
    assert (code, said["code"]) == (4, "not_a_member")
    assert said["next"].endswith("; ro is a member of drugs")
    code, said = _told(agent, "send", "--kind", "poem", "--task-force", "drugs", body=b"{}")
    assert (code, said["code"]) == (2, "kind_unknown")


@pytest.mark.system
def test_of_what_was_typed_wrong_the_exit_code_is_2_whatever_it_was(agent: Path) -> None:
    for words, wanted in (
        (("--to", "BG"), "recipient_unknown"),
        (("--to", "ro"), "recipient_not_a_member"),
        (("--agency", "judicial"), "agency_not_of_sender"),
    ):
        code, said = _told(agent, *ALERT, *words, body=b'{"title": "a", "text": "b"}')
        assert (code, said["code"]) == (2, wanted)


@pytest.mark.system
def test_the_doctor_says_whether_the_agent_runs(agent: Path) -> None:
    settings = Settings.load(agent)
    with pytest.raises(BrokerUnreachable, match="no link to the broker since"):
        asyncio.run(doctor._agent(settings))
    (agent / "api.json").rename(agent / "away")
    try:
        with pytest.raises(AgentUnreachable):
            asyncio.run(doctor._agent(settings))
    finally:
        (agent / "away").rename(agent / "api.json")


@pytest.mark.system
def test_the_state_of_a_sent_message_has_no_content_and_showing_it_has(agent: Path) -> None:
    code, out, _ = _typed(agent, *ALERT, "--json", body=b'{"title": "MERIDIAN", "text": "b"}')
    sent = json.loads(out)
    assert (code, list(sent)) == (0, list(ANSWER))
    for command, told in (("status", False), ("show", True)):
        code, out, _ = _typed(agent, command, sent["id"])
        assert (code, "MERIDIAN" in out) == (0, told)


def test_a_message_is_shown_in_lines_for_people() -> None:
    notice = {"seq": 1, "message": ID, "sender": "ro", "recipient": "bg", "at": "2004-11-09T11:33:20.000Z"}
    found = {
        "id": ID,
        "recipients": ["bg", "tr"],
        "receipt_verified": True,
        "code": None,
        "times": {"queued": "2004-11-09T11:33:20.000Z", "sent": None},
        "deliveries": [
            {"recipient": "bg", "state": "waiting"},
            {"recipient": "tr", "state": "declined", "code": "expired"},
            {"recipient": "hu", "state": "delivered", "at": "2004-11-09T11:33:20.000Z", "late": True},
        ],
        "notices": [
            {**notice, "event": "reminded", "ledger_index": 4},
            {**notice, "event": "expired", "recipient": "tr", "ledger_index": 5},
        ],
        "body": {"title": "a"},
    }
    assert message_lines(found).splitlines() == [
        f"id               {ID}",
        "recipients       bg, tr",
        "receipt_verified yes",
        "  queued         2004-11-09T11:33:20.000Z",
        "  bg             waiting",
        "  tr             declined expired",
        "  hu             delivered 2004-11-09T11:33:20.000Z late: after it expired, within what is allowed for clocks "
        "and for the way",
        "notice           2004-11-09T11:33:20  reminded    bg    had not answered by then",
        "notice           2004-11-09T11:33:20  expired     tr    had not taken it by then",
        "{",
        '  "title": "a"',
        "}",
    ]
    assert message_lines({"id": ID, "notices": []}) == f"id               {ID}"
    assert stage(found | {"state": "accepted"}) == "accepted by the hub, delivered 1/3, declined 1, 1 of them late"


def test_a_debt_is_told_in_a_word() -> None:
    asked = {"reply_by": "2004-11-09T11:33:20.000Z", "answered": False, "overdue": False}
    assert debt({}) == ""
    assert debt(asked) == "2004-11-09T11:33:20"
    assert debt(asked | {"overdue": True}) == "2004-11-09T11:33:20 OVERDUE"
    assert debt(asked | {"answered": True}) == "2004-11-09T11:33:20 answered"
