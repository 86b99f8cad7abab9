"""The node's console: what it shows for a status, who gets in, and that it only reads."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from sqlalchemy import select

from crypto.pages import HEADERS
from crypto.trust import Trust
from nodes import histories, outbox, store
from nodes.agent import Agent
from nodes.api import make_app
from nodes.canary import Answers
from nodes.console import sessions
from nodes.console.pages import make_console
from nodes.console.sessions import Attempts, Sessions
from nodes.console.view import ALARMS, View, view
from nodes.histories import HubCaught
from nodes.link import LinkState
from nodes.outgoing import Outgoing
from nodes.status import Status, status
from schemas.roster import RosterNode
from tests.crypto.people import BG, NOW, RO, TR
from tests.nodes.conftest import entry, roster

TOKEN = "of this test, and long enough for one"
DAY = 86_400_000
HOSTILE = "<script>alert('x')</script>\"&"
OWN = {"Origin": "http://127.0.0.1:8001"}
KNOWN: dict[str, Any] = {
    "vkey": None,
    "listed": "own",
    "followed": 40,
    "cosigned": True,
    "half_signed": False,
    "witnessed": 40,
    "unwitnessed_receipts": 0,
    "unwitnessed_since": None,
    "withheld": None,
    "roster_overdue": None,
    "handover_overdue": None,
    "roster_unread_after": None,
    "roster_hearsay": [],
    "alarm": None,
}
WELL = Status(
    at=NOW,
    node="bg",
    link=LinkState(True, NOW - 3 * DAY, ""),
    hub=Answers(NOW - 4000),
    counts={"accepted": 12, "inbox": 7},
    oldest_waiting=None,
    ends={"the TLS certificate": NOW + 300 * DAY, "the signing key": NOW + 800 * DAY},
    ahead=0,
    witness=KNOWN,
    roster={"version": 3, "digest": "ab", "nodes": ["bg", "ro"]},
    let_through=[],
)


def _facts(found: View) -> dict[str, str]:
    return {name: value for name, value, _ in found.facts}


def test_all_is_well() -> None:
    found = view(WELL, entry(BG), [])
    assert found.alerts == ()
    told = _facts(found)
    assert told["Agencies"] == "police"
    assert (told["Link to the hub"], told["Roster in force"]) == ("connected", "version 3")
    assert told["Answers of the hub"] == "the newest came 4 seconds ago"
    assert told["Witnessed"] == "yes, by a quorum, to all 40 entries"
    assert ("accepted", 12) in found.outbox and ("refused", 0) in found.outbox
    assert found.inbox == (("inbox", 7), ("quarantine", 0))
    assert [(item.what, item.days, item.step) for item in found.expiries] == [
        ("the TLS certificate", 300, "more than 30 days"),
        ("the signing key", 800, "more than 30 days"),
    ]


@pytest.mark.parametrize(
    ("days", "name", "words", "step", "loud"),
    [
        (30.0, "expires_soon", "expires in 30 days", "30 days", False),
        (13.5, "expires_soon", "expires in 13 days", "14 days", False),
        (6.5, "expires_soon", "expires in 6 days", "7 days", False),
        (0.5, "expires_soon", "expires in a day or less", "1 day or less", True),
        (-0.5, "expired", "expired at", "EXPIRED", True),
    ],
)
def test_what_ends_soon_is_said_with_its_step_and_what_to_do(
    days: float, name: str, words: str, step: str, loud: bool
) -> None:
    found = view(replace(WELL, ends={**WELL.ends, "the TLS certificate": NOW + int(days * DAY)}), entry(BG), [])
    [alert] = found.alerts
    assert (alert.name, alert.loud) == (name, loud)
    assert f"the TLS certificate {words}" in alert.text
    assert "seci-node renew --wait" in alert.next
    assert (found.expiries[0].step, found.expiries[0].soon) == (step, True)


@pytest.mark.parametrize("code", [*ALARMS, "of_a_newer_program"])
def test_an_alarm_is_first_under_its_name_with_what_to_do(code: str) -> None:
    alarm = {"number": 1, "at": "2004-11-15T00:00:00.000Z", "code": code, "detail": "two of 40 entries"}
    status = replace(WELL, witness=KNOWN | {"alarm": alarm}, ends={"the signing key": NOW - 1})
    first, second = view(status, entry(BG), []).alerts
    assert (first.name, first.loud, second.name) == (code, True, "expired")
    assert "THE HUB IS NOT TRUSTED" in first.text and "two of 40 entries" in first.text
    assert "telephone" in first.next and "docs/node.md" in first.next


def test_every_alarm_that_there_is_has_its_words() -> None:
    assert set(ALARMS) == {
        *(histories.FORKED, histories.ROLLED_BACK, histories.REWRITTEN, histories.KEY_CHANGED, histories.KEY_FOREIGN),
        histories.ROSTER_FORKED,
    }


def test_all_that_status_warns_of_is_on_the_page() -> None:
    heard = {"code": "roster_withheld", "node": "ro", "version": 9, "since": "then", "digest": "ab", "ours": None}
    ill = replace(
        WELL,
        link=LinkState(False, NOW - DAY, "ACCESS_REFUSED"),
        hub=Answers(),
        oldest_waiting=NOW - DAY,
        ahead=3 * DAY,
        witness=KNOWN | {"withheld": 30, "roster_hearsay": [heard], "listed": "other", "witnessed": None},
        let_through=[{"id": "1", "sender": "ro", "code": "not_a_member", "at": "2004-11-15T00:00:00.000Z"}],
        ends={"the signing key": NOW + DAY},
    )
    found = view(ill, None, [])
    assert {alert.text for alert in found.alerts} == set(ill.warnings())
    assert all(alert.next for alert in found.alerts)
    assert _facts(found)["Link to the hub"] == "DOWN: ACCESS_REFUSED"
    assert [item.code for item in found.refusals] == ["not_a_member (from ro, declined here)"]


def test_a_hub_that_does_not_answer_is_told_with_since_when() -> None:
    silent = replace(WELL, hub=Answers(NOW - 100_000, 90.0, late=True))
    found = view(silent, None, [])
    [alert] = found.alerts
    assert "has not answered for 90 s" in alert.text and alert.next
    [(told, since)] = [(value, at) for name, value, at in found.facts if name == "Answers of the hub"]
    assert (told, since and since.words) == ("NONE", "90 seconds ago")
    assert _facts(view(replace(WELL, hub=Answers()), None, []))["Answers of the hub"] == "none yet"


@pytest.fixture
def clock() -> list[float]:
    """What time it is for sessions."""
    return [1000.0]


@pytest.fixture
async def console(agent: Agent, clock: list[float]) -> AsyncIterator[httpx2.AsyncClient]:
    """A browser at Bulgaria's console, nobody signed in."""
    agent.trust = Trust.of(roster(2, RO, BG, TR))
    app = make_console(agent, TOKEN, Sessions(lambda: clock[0]))
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8001") as client:
        yield client


async def _sign_in(console: httpx2.AsyncClient, token: str = TOKEN, **headers: str) -> httpx2.Response:
    return await console.post("/console/sign-in", data={"token": token}, headers=OWN | headers)


async def test_with_the_token_one_gets_in_and_what_is_set_is_a_short_session(console: httpx2.AsyncClient) -> None:
    answer = await _sign_in(console)
    assert (answer.status_code, answer.headers["location"]) == (303, "/console")
    cookie = answer.headers["set-cookie"]
    assert {part.strip() for part in cookie.split(";")[1:]} == {"HttpOnly", "Path=/console", "SameSite=strict"}
    assert TOKEN not in cookie
    found = await console.get("/console")
    assert found.status_code == 200
    assert "node bg" in found.text and 'lang="en"' in found.text
    assert '<meta http-equiv="refresh" content="15; url=/console?again">' in found.text
    assert {name: found.headers[name] for name in HEADERS} == HEADERS
    assert not re.search(r"<script|<style|\sstyle=|\son[a-z]+=", found.text)


async def test_over_tls_the_session_goes_over_tls_only(agent: Agent) -> None:
    transport = httpx2.ASGITransport(app=make_console(agent, TOKEN))
    async with httpx2.AsyncClient(transport=transport, base_url="https://127.0.0.1:8001") as client:
        answer = await _sign_in(client, Origin="https://127.0.0.1:8001")
    assert "; Secure" in answer.headers["set-cookie"]


async def test_nobody_gets_in_without_the_token_and_the_page_tells_nobody_else(console: httpx2.AsyncClient) -> None:
    for wrong in ("", "wrong", TOKEN + "x", "\N{CYRILLIC SMALL LETTER A}"):
        answer = await _sign_in(console, wrong)
        assert answer.status_code == 403
        assert 'role="alert"' in answer.text and "set-cookie" not in answer.headers
    for cookie in ({}, {"Cookie": "seci-console-bg=" + "x" * 43}, {"Cookie": "seci-console-bg="}):
        answer = await console.get("/console", headers=cookie | {"Authorization": f"Bearer {TOKEN}"})
        assert (answer.status_code, answer.headers["location"], answer.text) == (303, "/console/sign-in", "")
    assert (await console.get("/console", params={"token": TOKEN})).status_code == 303


async def test_a_form_of_another_page_signs_nobody_in_or_out(console: httpx2.AsyncClient) -> None:
    assert (await _sign_in(console, Origin="http://evil.example")).status_code == 403
    assert (await console.post("/console/sign-in", data={"token": TOKEN})).status_code == 403
    await _sign_in(console)
    assert (await console.post("/console/sign-out", headers={"Origin": "http://evil.example"})).status_code == 403
    assert (await console.get("/console")).status_code == 200


async def test_who_signs_out_cannot_come_back(console: httpx2.AsyncClient) -> None:
    id = (await _sign_in(console)).cookies["seci-console-bg"]
    assert (await console.post("/console/sign-out", headers=OWN)).status_code == 303
    console.cookies.clear()
    # Not only has the browser forgotten it.
    assert (await console.get("/console", headers={"Cookie": f"seci-console-bg={id}"})).status_code == 303


async def test_a_session_ends_by_itself_however_often_the_page_loads_itself(
    console: httpx2.AsyncClient, clock: list[float]
) -> None:
    await _sign_in(console)
    for _ in range(sessions.IDLE_S // 15 - 1):
        clock[0] += 15
        assert (await console.get("/console?again")).status_code == 200
    clock[0] += 16
    assert (await console.get("/console?again")).status_code == 303
    await _sign_in(console)
    begun = clock[0]
    while clock[0] < begun + sessions.LONGEST_S - 600:
        clock[0] += 600
        assert (await console.get("/console")).status_code == 200
    clock[0] += 600
    assert (await console.get("/console")).status_code == 303


async def test_whoever_guesses_has_to_wait(agent: Agent, clock: list[float]) -> None:
    attempts = Attempts(lambda: clock[0])
    for _ in range(sessions.MOST_WRONG):
        assert not attempts.are_too_many()
        attempts.failed()
    assert attempts.are_too_many()
    clock[0] += sessions.WRONG_S
    assert not attempts.are_too_many()
    transport = httpx2.ASGITransport(app=make_console(agent, TOKEN))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8001") as client:
        answers = [await _sign_in(client, "wrong") for _ in range(sessions.MOST_WRONG + 1)]
        assert [answer.status_code for answer in answers[-2:]] == [403, 429]
        # Nor is the right one looked at.
        assert (await _sign_in(client)).status_code == 429


def test_of_many_sessions_the_oldest_ends(clock: list[float]) -> None:
    kept, ids = Sessions(lambda: clock[0]), []
    for _ in range(sessions.MOST + 1):
        clock[0] += 1
        ids.append(kept.begin())
    assert len(set(ids)) == len(ids) and min(map(len, ids)) >= 43
    assert [kept.left(id, used=False) is None for id in ids] == [True] + [False] * sessions.MOST
    assert kept.left("\udcff", used=True) is None


async def test_what_comes_from_outside_is_text_and_nothing_else(console: httpx2.AsyncClient, agent: Agent) -> None:
    agent.link.state = LinkState(False, NOW, HOSTILE)
    nodes = {**agent.trust.nodes, "bg": entry(BG).model_copy(update={"name": HOSTILE})}
    assert isinstance(nodes["bg"], RosterNode)
    agent.trust = Trust.of(roster(2).model_copy(update={"nodes": tuple(nodes.values())}))
    await agent.box.run(histories.raise_alarm, HubCaught(histories.FORKED, HOSTILE, "note"), NOW)
    await _sign_in(console)
    found = await console.get("/console")
    assert "<script" not in found.text
    assert found.text.count("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&#34;&amp;") >= 4
    assert found.text.index("log_forked") < found.text.index("This node")


async def test_the_console_changes_nothing_and_shows_no_content(console: httpx2.AsyncClient, agent: Agent) -> None:
    marker = "Marker of this test"
    sent = Outgoing.model_validate({"kind": "alert", "task_force": "drugs", "body": {"title": marker, "text": marker}})
    accepted, _ = await outbox.accept(agent.box, sent, "bg", agent.keys, agent.trust)
    refusal = {"state": "refused", "code": "not_a_member", "detail": marker, "settled_at": NOW}
    await agent.box.run(lambda c: c.execute(store.outbox.update().values(refusal)))
    before = await agent.box.run(lambda c: [c.execute(select(table)).all() for table in store.metadata.sorted_tables])
    await _sign_in(console)
    found = await console.get("/console")
    assert accepted["id"] in found.text and "not_a_member" in found.text
    assert marker not in found.text
    for path in ("/console", "/console/sign-in", "/console/sign-out", "/console/console.css"):
        for method in ("PUT", "DELETE", "PATCH", *(() if "sign" in path else ("POST",))):
            assert (await console.request(method, path)).status_code == 405
    assert (
        await agent.box.run(lambda c: [c.execute(select(table)).all() for table in store.metadata.sorted_tables])
        == before
    )


async def test_the_api_is_as_it_was_beside_the_console(agent: Agent) -> None:
    transport = httpx2.ASGITransport(app=make_app(agent, TOKEN))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8001") as client:
        assert (await client.get("/console/console.css")).headers["content-type"].startswith("text/css")
        # A session of the console is none of the API, and the other way round.
        await _sign_in(client)
        assert (await client.get("/v1/status")).status_code == 401
        assert (await client.get("/consoles")).json()["code"] == "path_unknown"
        described = (await client.get("/v1/status", headers={"Authorization": f"Bearer {TOKEN}"})).json()
        assert described["warnings"] == (await status(agent)).warnings()
