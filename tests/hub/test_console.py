"""The hub's console: what it shows for a situation, who gets in, for how long, and that it only reads."""

import asyncio
import re
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.applications import Starlette
from starlette.routing import Route

from crypto import certificates
from crypto.certificates import Profile
from crypto.pages import HEADERS
from crypto.tls import server_context
from hub import authorities, database, registrar
from hub.admission import Office
from hub.console import lookout, pages
from hub.console.door import opened
from hub.console.lookout import Lookout
from hub.console.view import MOST_ENDS, Seen, View, view
from hub.errors import LoginRefused, PlainRefused
from hub.joindesk import EACH
from hub.pen import writing
from hub.reading import Waiting
from hub.sessions import Holder
from hub.setup import CONSOLE, desk_certificate
from hub.situation import REACHABLE, Situation, node_ends
from schemas.roster import Cause, NodeState, RosterNode, Standing
from tests.crypto.people import BG, NOW, RO, Person, roster_key, roster_node
from tests.hub.applicants import office_of
from tests.hub.ownhub import OwnHub
from tests.hub.test_operator_commands import PASSWORD, People

DAY = 86_400_000
HOSTILE = "<script>alert('x')</script>\"&"
TOLD: dict[str, Any] = {
    "ledger": {"size": 40, "root": "ab" * 32, "at": None, "witnessed": 40, "vkey": "k", "vkey_mldsa": "k"},
    "roster": {"version": 3, "nodes": ["bg", "ro", "tr"], "absent": {"tr": "suspended"}},
    "messages": 12,
    "acknowledged": 11,
    "refused": {"expired": 1, "not_a_member": 2},
    "quarantined": 0,
    "overdue": 0,
    "contradictions": 0,
    "held": 0,
    "timestamps": {"on": False, "newest": None, "late": False, "unstamped_s": 0.0},
    "last_message_at": "2004-11-15T00:00:00.000Z",
    "workers": 2,
    "operators": {"enabled": 3, "officers": 2, "failed_logins": 0},
    "joining": 0,
}


def _queue(name: str, ready: int, consumers: int) -> dict[str, Any]:
    return {"name": name, "ready": ready, "unacked": 0, "consumers": consumers, "state": "running"}


QUEUES = [_queue(f"q.{way}.{node}", 0, 1) for way in ("in", "inbox") for node in ("bg", "ro", "tr")]
WELL = Seen(
    Situation(NOW, TOLD, {"the CA": NOW + 3000 * DAY}, {"the signing key of ro": NOW + 800 * DAY}),
    REACHABLE,
    QUEUES,
    None,
    [],
)


def _with(told: dict[str, Any] | None = None, **changes: Any) -> Seen:
    return replace(WELL, situation=replace(WELL.situation, told=TOLD | (told or {}), **changes))


def _facts(found: View) -> dict[str, str]:
    return {name: value for name, value, _ in found.facts}


def test_all_is_well() -> None:
    found = view(WELL)
    assert found.alerts == ()
    assert _facts(found)["Witnessed"] == "yes, to all 40 entries"
    assert _facts(found)["Refused"] == "3 (expired 1, not_a_member 2)"
    assert [(item.node, item.standing, item.agent, item.marked) for item in found.nodes] == [
        ("bg", "active", "at work", False),
        ("ro", "active", "at work", False),
        ("tr", "suspended", "shut out", True),
    ]
    assert (found.queues, found.quiet) == ((), len(QUEUES))


@pytest.mark.parametrize(
    ("told", "name", "loud", "step"),
    [
        ({"contradictions": 1}, "witness_contradicts", True, "A witness contradicts"),
        ({"workers": 0}, "no_worker", True, "seci-hub run"),
        ({"roster": None}, "no_roster", False, "seci-hub provision"),
        ({"overdue": 2}, "overdue", False, "seci-hub deadlines"),
        ({"quarantined": 2}, "quarantined", False, "seci-hub quarantine list"),
        ({"held": 2}, "held", False, "seci-hub queues"),
        ({"joining": 1}, "joining", False, "seci-hub requests"),
        ({"timestamps": TOLD["timestamps"] | {"late": True}}, "timestamps_late", False, "External time"),
        ({"operators": TOLD["operators"] | {"officers": 1}}, "officers_lacking", False, "operator add"),
        ({"operators": TOLD["operators"] | {"failed_logins": 5}}, "failed_logins", False, "operator show"),
        ({"ledger": TOLD["ledger"] | {"vkey_mldsa": None}}, "no_second_key", False, "seci-hub init"),
    ],
)
def test_what_status_says_is_wrong_is_on_the_page_with_what_to_do(
    told: dict[str, Any], name: str, loud: bool, step: str
) -> None:
    [alert] = view(_with(told)).alerts
    assert (alert.name, alert.loud) == (name, loud)
    assert step in alert.next


@pytest.mark.parametrize(
    ("what", "days", "words", "step", "todo"),
    [
        ("the certificate of hub-ingest", 29.5, "expires in 29 days", "30 days", "seci-hub renew"),
        ("the certificate of hub-ingest", 6.5, "expires in 6 days", "7 days", "seci-hub renew"),
        ("the CA", 13.5, "expires in 13 days", "14 days", "seci-hub ca roll"),
        ("the TLS certificate of ro", 0.5, "expires in a day or less", "1 day or less", "telephone"),
        ("the signing key of ro", -0.5, "expired at", "EXPIRED", "telephone"),
    ],
)
def test_what_ends_soon_is_said_whosever_it_is(what: str, days: float, words: str, step: str, todo: str) -> None:
    where = "node_ends" if what.endswith(" ro") else "ends"
    found = view(_with(**{where: {what: NOW + int(days * DAY)}}))
    [alert] = found.alerts
    assert f"{what} {words}" in alert.text and todo in alert.next
    assert (found.expiries[0].step, found.expiries[0].soon) == (step, True)


def test_of_what_ends_late_only_the_first_are_shown_and_of_what_ends_soon_all() -> None:
    many = {f"the signing key of {number}": NOW + (5 + number) * DAY for number in range(60)}
    found = view(_with(node_ends=many))
    assert sum(item.soon for item in found.expiries) == len(found.alerts) == 26
    assert found.later == 60 + 1 - 26
    assert len(view(_with(node_ends=dict.fromkeys(many, NOW + 400 * DAY))).expiries) == MOST_ENDS


def test_alarms_are_first_and_silent_nodes_are_named() -> None:
    silent = [_queue("q.inbox.ro", 7, 0), _queue("q.inbox.tr", 0, 0), _queue("q.inbox.bg", 0, 1)]
    seen = replace(_with({"overdue": 1, "workers": 0}), queues=silent, undelivered=[Waiting("ro", 7, 90.0)])
    found = view(replace(seen, broker="unreachable: why"))
    assert [alert.name for alert in found.alerts] == ["no_worker", "broker_unreachable", "overdue", "nodes_silent"]
    assert "the inbox of ro" in found.alerts[-1].text
    ro = found.nodes[1]
    assert (ro.agent, ro.undelivered, ro.oldest, ro.marked) == ("SILENT", 7, "for 90 s", True)
    assert (found.queues[0].name, found.queues[0].idle) == ("q.inbox.ro", "no agent of ro")
    unknown = view(replace(WELL, queues=None, queues_trouble="RabbitMQ does not answer"))
    assert [alert.name for alert in unknown.alerts] == ["queues_unknown"]
    assert {node.agent for node in unknown.nodes} == {"not known", "shut out"}


def test_whatever_comes_from_outside_is_text_and_nothing_else() -> None:
    told = TOLD | {
        "roster": {"version": 3, "nodes": [HOSTILE], "absent": {HOSTILE: HOSTILE}},
        "refused": {HOSTILE: 1},
    }
    seen = Seen(
        Situation(NOW, told, {HOSTILE: NOW + DAY}, {}), HOSTILE, [_queue(f"q.inbox.{HOSTILE}", 1, 0)], HOSTILE, []
    )
    ends, holder = view(seen).at, Holder(HOSTILE, HOSTILE, b"", 0, 0)  # type: ignore[arg-type]
    values = {"view": view(seen), "holder": holder, "ends": ends}
    text = pages._TEMPLATES.get_template("look.html").render(pages._PLACES | values)
    assert "<script" not in text
    assert text.count("&lt;script&gt;") >= 9


def _browser_at(url: str) -> tuple[httpx2.AsyncClient, AsyncEngine]:
    """At a console whose database is there, and which nobody has set up."""
    settings, engine = SimpleNamespace(session_idle_s=900, session_s=28_800), database.engine_of(url)
    office = Office(cast(Any, settings), engine, cast(Any, None))
    console = pages.Console(office, Lookout(office.settings, engine, office.log), cast(Any, None))
    app = Starlette(routes=[Route(pages.PATH, console.look), Route(pages.SIGN_IN, console.sign_in, methods=["POST"])])
    own, there = "http://127.0.0.1", httpx2.ASGITransport(app=app)
    return httpx2.AsyncClient(transport=there, base_url=own, headers={"Origin": own}), engine


async def test_a_database_that_says_nothing_does_not_keep_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "DATABASE_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        browser, engine = _browser_at(f"postgresql://seci_hub:x@127.0.0.1:{silent.getsockname()[1]}/seci")
        async with browser, asyncio.timeout(5):
            answer = await browser.get("/console", headers={"Cookie": f"{pages.COOKIE}=any"})
        await engine.dispose()
    assert (answer.status_code, "database_unreachable" in answer.text) == (503, True)
    # Nor is this the last that whoever watches sees.
    assert '<meta http-equiv="refresh" content="15; url=/console?again">' in answer.text


async def test_a_log_in_that_does_not_end_keeps_nobody_waiting_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "DATABASE_S", 0.2)

    def hang(*_: object) -> None:
        ended.wait(20)
        raise LoginRefused("at last", "none")

    ended = threading.Event()
    monkeypatch.setattr(pages, "enter", hang)
    browser, _ = _browser_at("postgresql://seci_hub:x@127.0.0.1:1/seci")
    async with browser, asyncio.timeout(10):
        first = asyncio.create_task(_log_in(browser, "ana", "000000"))
        await asyncio.sleep(0.1)
        second = await _log_in(browser, "ion", "000000")
        ended.set()
        assert (second.status_code, (await first).status_code) == (503, 403)


async def test_a_broker_that_says_nothing_does_not_keep_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookout, "QUEUES_S", 0.2)
    settings = SimpleNamespace(broker_ctl=("sh", "-c", "exec sleep 20"), vhost="seci")
    began = time.monotonic()
    found = await Lookout(cast(Any, settings), cast(Any, None), cast(Any, None))._queues()
    assert found == (None, "RabbitMQ did not answer within 0.2 s")
    assert time.monotonic() - began < 10


async def test_one_address_tries_to_log_in_only_so_often() -> None:
    browser, _ = _browser_at("postgresql://seci_hub:x@127.0.0.1:1/seci")
    async with browser:
        answers = [await _log_in(browser, HOSTILE, "000000") for _ in range(pages.LOG_INS[0] + 2)]
    assert [answer.status_code for answer in answers] == [403] * pages.LOG_INS[0] + [429] * 2
    assert "Wait 30 seconds" in answers[-1].text and answers[-1].headers["retry-after"] == "30"


@pytest.fixture
def people(own: OwnHub, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> People:
    """Nobody yet."""
    return People(own, tmp_path, monkeypatch)


@asynccontextmanager
async def _served(own: OwnHub, engine: AsyncEngine, *, tls: bool = False) -> AsyncIterator[httpx2.AsyncClient]:
    """A browser at the console of that hub."""
    office = office_of(own, engine)
    async with opened(office, "127.0.0.1", 0, ("127.0.0.1",), tls=tls) as url:
        context = server_context((own.home / "ca.pem").read_text())
        origin = url.removesuffix("/console")
        async with httpx2.AsyncClient(base_url=origin, verify=context, headers={"Origin": origin}, timeout=60) as found:
            yield found


async def _log_in(
    browser: httpx2.AsyncClient, name: str, code: str, password: str = PASSWORD, **headers: str
) -> httpx2.Response:
    given = {"name": name, "password": password, "code": code}
    return await browser.post("/console/sign-in", data=given, headers=headers)


@pytest.mark.system
async def test_operators_log_in_as_with_the_command_and_only_look(
    own: OwnHub, own_engine: AsyncEngine, people: People
) -> None:
    async with _served(own, own_engine) as browser:
        assert people.type("ana", "provision")[0] == 0
        # Nobody yet: whoever is there acts by the shell, and gets no page.
        assert (await browser.get("/console")).headers["location"] == "/console/sign-in"
        answer = await _log_in(browser, "ana", "123456")
        assert (answer.status_code, "There are no operators yet" in answer.text) == (409, True)
        assert people.add("ana", "ana", "security-officer")[0] == people.login("ana")[0] == 0
        assert people.add("ana", "bob", "auditor")[1]["code"] == "approval_waiting"
        used = people.code("ana")
        for name, password, code in (
            ("ana", "wrong horse battery", used),
            ("ana", PASSWORD, "000000"),
            ("eve", PASSWORD, "000000"),
            (HOSTILE, PASSWORD, "000000"),
        ):
            answer = await _log_in(browser, name, code, password)
            assert answer.status_code == 403 and "set-cookie" not in answer.headers
            assert "Name, password or code is wrong" in answer.text and "<script" not in answer.text
        assert (await _log_in(browser, "ana", used, Origin="http://evil.example")).status_code == 403
        answer = await _log_in(browser, "ana", used)
        assert (answer.status_code, answer.headers["location"]) == (303, "/console")
        cookie = answer.headers["set-cookie"]
        assert {part.strip() for part in cookie.split(";")[1:]} == {"HttpOnly", "Path=/console", "SameSite=strict"}
        found = await browser.get("/console")
        assert {name: found.headers[name] for name in HEADERS} == HEADERS
        assert "ana, security-officer" in found.text and "no_worker" in found.text and "queues_unknown" in found.text
        assert '<meta http-equiv="refresh" content="15; url=/console?again">' in found.text
        assert not re.search(r"<script|<style|\sstyle=|\son[a-z]+=", found.text)
        token = browser.cookies[pages.COOKIE]
        # A session like any other, on record.
        assert "ana: login by=password" in people.acts()
        size = people.type("ana", "status")[1]["ledger"]["size"]
        for _ in range(3):
            await browser.get("/console?again")
        assert people.type("ana", "status")[1]["ledger"]["size"] == size
        # Not more: an address is heard so often at once, and no oftener.
        for method in ("POST", "DELETE"):
            assert (await browser.request(method, "/console")).status_code == 405
        assert (await browser.post("/console/sign-out", headers={"Origin": "null"})).status_code == 403
        # Logged out in the database, and not only in this browser.
        assert (await browser.post("/console/sign-out")).status_code == 303
        assert people.acts()[-2].startswith("ana: logout")
        answer = await browser.get("/console", headers={"Cookie": f"{pages.COOKIE}={token}"})
        assert (answer.status_code, answer.text) == (303, "")
        assert (await _log_in(browser, "ana", used)).status_code == 403, "no code is good twice"


@pytest.mark.system
async def test_a_session_over_tls_ends_by_itself_and_with_whose_it_is(
    own: OwnHub, own_engine: AsyncEngine, people: People
) -> None:
    people.officers()
    assert people.add("ana", "eve", "auditor")[1]["code"] == "approval_waiting"
    assert people.type("bob", "approvals", "confirm", "1", "--yes")[0] == 0
    assert people.add("ana", "eve", "auditor")[0] == 0
    desk_certificate(own.home, office_of(own, own_engine).settings.secret(), ("127.0.0.1",), CONSOLE)
    async with _served(own, own_engine, tls=True) as browser:
        answer = await _log_in(browser, "eve", people.code("eve"))
        assert answer.status_code == 303 and "; Secure" in answer.headers["set-cookie"]
        assert "eve, auditor" in (await browser.get("/console")).text
        # A page that loads itself again keeps nobody logged in; who asks for it does.
        for path, later, status in (
            ("/console?again", 800_000, 200),
            ("/console?again", 200_000, 303),
            ("/console", -200_000, 200),
            ("/console", 800_000, 200),
            ("/console", 800_000, 200),
        ):
            own.sql(f"UPDATE operator_session SET last_used = last_used - {later} WHERE operator = 'eve'")  # noqa: S608
            assert (await browser.get(path)).status_code == status
        assert people.type("ana", "operator", "disable", "eve")[0] == 0
        assert (await browser.get("/console")).status_code == 303
        await asyncio.to_thread(_speaks_tls_1_3_only, own, int(str(browser.base_url).rstrip("/").rsplit(":", 1)[1]))
        statuses = {(await browser.get("/console/sign-in")).status_code for _ in range(3 * EACH[0])}
        assert statuses == {200, 429}


def _speaks_tls_1_3_only(own: OwnHub, port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), 10) as plain:
        plain.sendall(b"GET /console HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert b"HTTP" not in plain.recv(100)
    old = ssl.create_default_context(cafile=str(own.home / "ca.pem"))
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection(("127.0.0.1", port), 10) as line, pytest.raises((ssl.SSLError, ConnectionError)):
        old.wrap_socket(line, server_hostname="127.0.0.1")


@pytest.mark.system
async def test_it_takes_no_passwords_in_plain_from_elsewhere(own: OwnHub, own_engine: AsyncEngine) -> None:
    for listen in ("0.0.0.0", "::", "192.0.2.1"):  # noqa: S104 it must not listen there
        with pytest.raises(PlainRefused):
            async with opened(office_of(own, own_engine), listen, 0, ("localhost",), tls=False):
                pass
    assert own.type("console", "--listen", "localhost")[1]["code"] == "usage"


@pytest.mark.system
async def test_what_nodes_have_runs_out_too_and_of_each_the_newest_counts(
    own: OwnHub, own_engine: AsyncEngine, people: People
) -> None:
    def listed(who: Person, end: int, standing: Standing | None = None) -> RosterNode:
        keys = (roster_key(who.signing, end=NOW), roster_key(who.signing, end=end), roster_key(who.encryption, end=end))
        return roster_node(who.node, *keys).model_copy(update={"standing": standing})

    log, soon = own.log, 4_000_000_000_000
    gone = Standing(state=NodeState.REVOKED, since=NOW, cause=Cause.KEY_COMPROMISE)
    ca = authorities.issuing(own.home, office_of(own, own_engine).settings.secret())
    csr = certificates.create_csr("node-ro", certificates.new_tls_key())
    issued = [
        certificates.issue(csr, ca.certificate, ca.key, Profile.CLIENT, common_name="node-ro", days=days)
        for days in (300, 7)
    ]
    async with writing(own_engine, log) as connection:
        for certificate in issued:
            await registrar.keep_certificate(connection, certificates.to_pem(certificate), "ro")
        nodes = [listed(BG, soon, gone), listed(RO, soon)]
        await registrar.publish_roster(connection, log, nodes, log.signer.key)
        found = await node_ends(connection, log.keys)
    assert set(found) == {"the signing key of ro", "the encryption key of ro", "the TLS certificate of ro"}
    assert (found["the signing key of ro"], found["the encryption key of ro"]) == (soon, soon)
    assert found["the TLS certificate of ro"] == int(issued[0].not_valid_after_utc.timestamp() * 1000)
    code, said = people.type("ana", "status")
    assert code != 0 and "the TLS certificate of ro" in said["node_ends"]
