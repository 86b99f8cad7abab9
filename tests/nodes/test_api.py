"""The agent's REST API: what it answers to good and bad callers."""

import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import ValidationError

from crypto.trust import Trust
from nodes import rosters
from nodes.agent import Agent
from nodes.api import PROBLEM, make_app
from nodes.link import LinkState
from nodes.outgoing import Outgoing
from schemas.header import MAX_BODY
from tests.crypto.people import BG, NOW, RO, TR
from tests.nodes.conftest import roster

TOKEN = "of this test"
ALERT: dict[str, Any] = {"kind": "alert", "task_force": "drugs", "body": {"title": "a", "text": "b"}}


@pytest.fixture
async def api(agent: Agent) -> AsyncIterator[httpx2.AsyncClient]:
    """An authorised client of Bulgaria's API."""
    agent.trust = Trust.of(roster(2, RO, BG, TR))
    transport = httpx2.ASGITransport(app=make_app(agent, TOKEN))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as client:
        yield client


async def test_a_message_is_accepted_and_can_be_followed(api: httpx2.AsyncClient) -> None:
    answer = await api.post("/v1/messages", json=ALERT)
    assert answer.status_code == 202
    assert answer.json()["recipients"] == ["ro", "tr"]
    found = (await api.get(answer.headers["Location"])).json()
    assert (found["state"], found["body"], found["receipt_verified"]) == ("queued", ALERT["body"], False)
    assert found["deliveries"] == [{"recipient": "ro", "state": "waiting"}, {"recipient": "tr", "state": "waiting"}]


@pytest.mark.parametrize(
    ("changes", "status", "code", "field"),
    [
        ({"body": {"title": "a"}}, 422, "body_invalid", "body.text"),
        ({"body": {"title": "a", "text": "b", "colour": "red"}}, 422, "body_invalid", "body.colour"),
        ({"body": {"title": "a", "text": "b" * (MAX_BODY - 10)}}, 413, "too_large", None),
        ({"body": "text"}, 422, "request_invalid", "body"),
        ({"kind": "poem"}, 422, "kind_unknown", None),
        ({"task_force": "piracy"}, 422, "task_force_unknown", None),
        ({"task_force": None}, 422, "task_force_missing", None),
        ({"task_force": "fraud"}, 422, "not_a_member", None),
        ({"to": []}, 422, "request_invalid", "to"),
        ({"kind": "reply", "body": {"result": "hit", "text": "a"}}, 422, "reply_without_question", None),
        ({"to": ["xx"]}, 422, "recipient_unknown", None),
        ({"to": ["bg"]}, 422, "recipient_not_a_member", None),
        ({"agency": "judicial"}, 422, "agency_not_of_sender", None),
        ({"agency": "coastguard"}, 422, "request_invalid", "agency"),
        ({"expires": "2004-11-15T00:00:00Z"}, 422, "request_invalid", "expires"),
        ({"expires": "2104-11-15T00:00:00"}, 422, "time_without_zone", None),
        ({"expires": "2999-12-31T00:00:00Z"}, 422, "expires_too_late", None),
        ({"reply_by": "2104-11-15T00:00:00Z"}, 422, "request_invalid", "reply_by"),
        ({"id": "0f8fad5b-d9cb-469f-a165-70867728950e"}, 422, "request_invalid", "id"),
        ({"in_reply_to": "01a20f97-e270-71d7-88d6-b834d3465199"}, 404, "message_unknown", None),
        ({"urgent": True}, 422, "request_invalid", "urgent"),
    ],
)
async def test_a_bad_request_is_a_problem_that_names_its_field(
    api: httpx2.AsyncClient, changes: dict[str, Any], status: int, code: str, field: str | None
) -> None:
    answer = await api.post("/v1/messages", json=ALERT | changes)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code)
    assert answer.headers["content-type"] == PROBLEM
    assert problem["next"]
    assert [error["field"] for error in problem["errors"]] == ([] if field is None else [field])
    assert (await api.get("/v1/messages")).json()["messages"] == []


@pytest.mark.parametrize("content", [b"", b"{", b"[1", b"\xff\xfe", b'{"kind": }'])
async def test_what_is_no_json_is_told(api: httpx2.AsyncClient, content: bytes) -> None:
    answer = await api.post("/v1/messages", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == PROBLEM


async def test_the_same_id_is_one_message_and_cannot_be_another(api: httpx2.AsyncClient) -> None:
    own = ALERT | {"id": "01a20f97-e270-71d7-88d6-b834d3465199"}
    answers = [await api.post("/v1/messages", json=own) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json() == answers[1].json()
    other = await api.post("/v1/messages", json=own | {"body": {"title": "a", "text": "c"}})
    assert (other.status_code, other.json()["code"]) == (409, "id_reused")
    assert len((await api.get("/v1/messages")).json()["messages"]) == 1


OWN_ID = '"id": "01a20f97-e270-71d7-88d6-b834d3465199"'


@pytest.mark.parametrize(
    "text",
    [
        '{"kind": "alert", "kind_version": "1", "task_force": "drugs", %s, "body": %s}',
        '{"kind": "alert", "kind_version": 1.0, "task_force": "drugs", "to": ["tr", "ro", "ro"], %s, "body": %s}',
        '{"kind": "alert", "task_force": "dr\\u0075gs", "expires": "SOON.5+01:00", %s, "body": %s}',
        '{"kind": "alert", "task_force": "drugs", "expires": SECOND, "reply_by": null, %s, "body": %s}',
    ],
)
async def test_a_request_in_order_is_read_as_fastapi_reads_it(api: httpx2.AsyncClient, text: str) -> None:
    soon = datetime.now(UTC) + timedelta(days=2)
    timed = text.replace("SOON", f"{soon:%Y-%m-%dT%H:%M:%S}").replace("SECOND", f"{soon.timestamp():.0f}")
    written = timed % (OWN_ID, '{"title": "\\ud83d\\ude94", "text": "š\\n\\/"}')
    # In UTF-16 a request is not in order for the short way, and FastAPI reads it all the same.
    answers = [
        await api.post("/v1/messages", content=content, headers={"Content-Type": "application/json"})
        for content in (written.encode(), written.encode("utf-16"))
    ]
    assert Outgoing.model_validate_json(written.encode())
    with pytest.raises(ValidationError):
        Outgoing.model_validate_json(written.encode("utf-16"))
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].content == answers[1].content
    assert dict(answers[0].headers) == dict(answers[1].headers)


@pytest.mark.parametrize(
    "text",
    [
        '{"kind": "alert", "task_force": "salw", "task_force": "drugs", "body": {"title": "a", "text": "b"}}',
        '{"kind": "alert", "task_force": "drugs", "body": {"title": "a", "text": "b", "t\\u0065xt": "c"}}',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
async def test_a_request_that_two_parsers_read_in_two_ways_is_refused(
    api: httpx2.AsyncClient, text: str, encoding: str
) -> None:
    # As above: the first goes the short way, the other FastAPI's.
    answer = await api.post("/v1/messages", content=text.encode(encoding), headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (400, "name_repeated")
    assert answer.headers["content-type"] == PROBLEM
    assert (await api.get("/v1/messages")).json()["messages"] == []


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"expires": "2004-11-15T00:00:00Z"}, "2004-11-15T00:00:00.000Z"),
        ({"reply_by": "2104-11-15T00:00:00Z"}, "2104-11-15T00:00:00.000Z"),
        ({"id": "0f8fad5b-d9cb-469f-a165-70867728950e"}, "0f8fad5b-d9cb-469f-a165-70867728950e"),
        ({"agency": "coastguard"}, "coastguard"),
        ({"operation": "x" * 61}, "string"),
        ({"title": "SECRET"}, "string"),
        ({"body": "SECRET"}, "string"),
        ({"body": {"title": "a", "text": "b", "colour": "SECRET"}}, "string"),
    ],
)
async def test_what_was_found_is_told_unless_it_may_be_content(
    api: httpx2.AsyncClient, changes: dict[str, Any], found: str
) -> None:
    answer = await api.post("/v1/messages", json=ALERT | changes)
    assert [error["found"] for error in answer.json()["errors"]] == [found]
    assert "SECRET" not in answer.text
    assert (await api.get("/v1/inbox", params={"limit": 501})).json()["errors"][0]["found"] == "501"


@pytest.mark.parametrize(
    ("changes", "detail", "step"),
    [
        ({"to": ["TR"]}, "'TR' is no node", "write tr"),
        ({"to": [" tr"]}, "' tr' is no node", "write tr"),
        ({"to": ["ro", "tr,ro"]}, "'tr,ro' is no node", '"to": ["tr", "ro"], or --to tr --to ro'),
        ({"to": ["trk"]}, "'trk' is no node", "did you mean tr? nodes are bg, ro, tr"),
        ({"to": ["xx"]}, "'xx' is no node", "nodes are bg, ro, tr"),
        ({"to": ["bg"]}, "bg is the sender itself", "leave bg out"),
        ({"expires": "9999-12-31T23:59:59-12:00"}, "more than 365 days from now", "a time of at most 20"),
        ({"agency": "judicial"}, "no agency judicial for bg", "name one that bg has: police"),
        ({"task_force": None}, "no task force is named", "trafficking, drugs"),
        ({"task_force": "Drugs"}, "'Drugs' is not one of", "task forces"),
    ],
)
async def test_the_next_step_is_the_right_form_of_what_was_found(
    api: httpx2.AsyncClient, changes: dict[str, Any], detail: str, step: str
) -> None:
    problem = (await api.post("/v1/messages", json=ALERT | changes)).json()
    assert detail in problem["detail"]
    assert step in problem["next"]


async def test_a_kind_that_there_is_not_is_no_empty_inbox(api: httpx2.AsyncClient) -> None:
    answer = await api.get("/v1/inbox", params={"kind": "poem"})
    assert (answer.status_code, answer.json()["code"]) == (422, "kind_unknown")
    assert "drugs.seizure" in answer.json()["detail"]
    assert (await api.get("/v1/inbox", params={"kind": "alert"})).status_code == 200


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/inbox", "/v1/status", "/v1/task-forces"])
@pytest.mark.parametrize("token", ["", "Bearer wrong", "Basic b2Y6dGhpcw==", "Bearer"])
async def test_nobody_gets_in_without_the_token(api: httpx2.AsyncClient, path: str, token: str) -> None:
    answer = await api.get(path, headers={"Authorization": token})
    assert (answer.status_code, answer.json()["code"]) == (401, "token_wrong")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_an_unknown_path_or_method_is_a_problem(api: httpx2.AsyncClient) -> None:
    assert (await api.get("/v2/messages")).json()["code"] == "path_unknown"
    assert (await api.delete("/v1/messages")).json()["code"] == "method_not_allowed"
    assert (await api.get("/v1/messages/xyz")).json()["code"] == "request_invalid"
    assert (await api.get("/v1/inbox", params={"limit": 501})).json()["errors"][0]["field"] == "limit"


async def test_the_description_promises_problems_and_no_page_loads_scripts(api: httpx2.AsyncClient) -> None:
    described = (await api.get("/openapi.json")).json()
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            for status, response in operation["responses"].items():
                good = "text/plain" if path == "/metrics" else "application/json"
                wanted = [good] if status.startswith("2") else [PROBLEM]
                assert list(response["content"]) == wanted, f"{method} {path} {status}"
    assert (await api.get("/docs")).status_code == 404
    assert (await api.get("/redoc")).status_code == 404


async def test_monitors_need_no_token_and_learn_no_message(api: httpx2.AsyncClient, agent: Agent) -> None:
    await api.post("/v1/messages", json=ALERT)
    nobody = {"Authorization": ""}
    assert (await api.get("/healthz", headers=nobody)).status_code == 200
    assert (await api.get("/readyz", headers=nobody)).json()["code"] == "not_ready"
    agent.link.state = LinkState(True, NOW, "")
    assert (await api.get("/readyz", headers=nobody)).status_code == 200
    text = (await api.get("/metrics", headers=nobody)).text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    states = {sample.labels["state"]: sample.value for sample in families["seci_node_messages"].samples}
    assert states == {"queued": 1, "sent": 0, "accepted": 0, "refused": 0, "expired": 0, "inbox": 0, "quarantine": 0}
    assert families["seci_node_link_up"].samples[0].value == 1
    assert 0 <= families["seci_node_oldest_waiting_seconds"].samples[0].value < 60


async def test_the_status_says_which_roster_is_in_force(api: httpx2.AsyncClient, agent: Agent) -> None:
    await agent.box.run(rosters.save, 2, b"signed")
    found = (await api.get("/v1/status")).json()["roster"]
    assert found == {"version": 2, "digest": hashlib.sha256(b"signed").hexdigest(), "nodes": ["bg", "ro", "tr"]}
