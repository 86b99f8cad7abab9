"""The short way of a post: what fails on it is told by the application, and done only once."""

import json
from typing import Any

import httpx2
import pytest
from starlette.types import Receive, Scope, Send

from nodes.outgoing import Outgoing
from nodes.quick import FAILED, QuickPost
from schemas.names import NameRepeated

PATH = "/v1/messages"
BODY = json.dumps({"kind": "alert", "task_force": "drugs", "body": {"title": "a", "text": "b"}}).encode()
Answer = tuple[httpx2.Response, "_Behind"]
IN_ORDER = {"Content-Type": "application/json", "Authorization": "Bearer right"}


class _Behind:
    """The application behind, which notes what it is asked and answers 299."""

    def __init__(self) -> None:
        self.seen: list[tuple[bytes, Exception | None]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.seen.append(((await receive())["body"], scope.get(FAILED)))
        await send({"type": "http.response.start", "status": 299, "headers": []})
        await send({"type": "http.response.body", "body": b""})


async def _post(take: Any, content: bytes = BODY, headers: dict[str, str] = IN_ORDER) -> Answer:
    behind = _Behind()
    transport = httpx2.ASGITransport(app=QuickPost(behind, PATH, "right", 10_000, take))
    async with httpx2.AsyncClient(transport=transport, base_url="http://node") as client:
        return await client.post(PATH, content=content, headers=headers), behind


async def _take(_: Outgoing) -> dict[str, Any]:
    return {"id": "7", "state": "queued"}


async def test_what_is_in_order_does_not_reach_the_application() -> None:
    answer, behind = await _post(_take)
    assert (answer.status_code, answer.json()["id"], answer.headers["location"]) == (202, "7", f"{PATH}/7")
    assert behind.seen == []


async def test_what_fails_is_done_once_and_told_by_the_application() -> None:
    failure, taken = RuntimeError("full"), []

    async def fail(message: Outgoing) -> dict[str, Any]:
        taken.append(message)
        raise failure

    answer, behind = await _post(fail)
    assert (answer.status_code, len(taken)) == (299, 1)
    assert behind.seen == [(BODY, failure)]


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (b"{", {}),
        (BODY, {"Authorization": "Bearer wrong"}),
        (BODY, {"Authorization": ""}),
        (BODY, {"Content-Type": "application/json; charset=utf-8"}),
        (BODY + b" " * 10_000, {}),
    ],
)
async def test_what_is_not_in_order_is_left_to_the_application(content: bytes, headers: dict[str, str]) -> None:
    async def never(_: Outgoing) -> dict[str, Any]:
        raise AssertionError

    answer, behind = await _post(never, content, IN_ORDER | headers)
    assert answer.status_code == 299
    assert behind.seen == [(content, None)]


async def test_a_name_that_stands_twice_is_told_by_the_application_and_nothing_is_taken() -> None:
    async def never(_: Outgoing) -> dict[str, Any]:
        raise AssertionError

    twice = b'{"kind": "poem", ' + BODY[1:]
    answer, behind = await _post(never, twice)
    assert answer.status_code == 299
    [(content, failed)] = behind.seen
    assert (content, type(failed)) == (twice, NameRepeated)


async def test_of_two_headers_of_one_name_the_first_counts_as_it_does_in_the_application() -> None:
    behind = _Behind()
    transport = httpx2.ASGITransport(app=QuickPost(behind, PATH, "right", 10_000, _take))
    for name in ("Content-Type", "Authorization"):
        headers = [(name, "wrong"), *IN_ORDER.items()]
        async with httpx2.AsyncClient(transport=transport, base_url="http://node") as client:
            answer = await client.post(PATH, content=BODY, headers=headers)
        assert answer.status_code == 299
