"""What both consoles build on: times in words, headers on every answer, forms from their own pages only."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from crypto.pages import HEADERS, LOOPBACK, MOST_FORM, Strict, form, in_words, is_of_own_page, moment, page, templates

NOW = 1_100_000_000_000
DAY = 86_400_000
TYPE = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    ("away", "words"),
    [
        (6 * DAY + DAY // 2, "in 6 days"),
        (47 * 3_600_000, "in 47 hours"),
        (-90_000, "90 seconds ago"),
        (-2 * 60_000, "2 minutes ago"),
        (0, "0 seconds ago"),
        (1500, "in 1 second"),
    ],
)
def test_a_time_is_told_in_words(away: int, words: str) -> None:
    assert in_words(NOW + away, NOW) == words
    assert moment(NOW, NOW).iso == "2004-11-09T11:33:20Z"


@pytest.mark.parametrize(
    ("headers", "own"),
    [
        ({"origin": "http://localhost:8001"}, True),
        ({"origin": "null", "sec-fetch-site": "same-origin"}, True),
        ({"origin": "http://localhost:8001", "sec-fetch-site": "same-origin"}, True),
        ({"origin": "null"}, False),
        ({}, False),
        ({"sec-fetch-site": "same-origin"}, False),
        ({"origin": "null", "sec-fetch-site": "cross-site"}, False),
        ({"origin": "http://localhost:8001", "sec-fetch-site": "same-site"}, False),
        ({"origin": "http://localhost:8002"}, False),
        ({"origin": "https://localhost:8001"}, False),
        ({"origin": "http://evil.example", "sec-fetch-site": "same-origin"}, False),
    ],
)
def test_only_a_form_of_our_own_page_is_taken(headers: dict[str, str], own: bool) -> None:
    assert is_of_own_page(Headers({"host": "localhost:8001"} | headers), "http") is own


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    """Of an application that says which form it was sent, and fails at one path."""

    async def told(request: Request) -> Response:
        found = await form(request)
        return JSONResponse(None if found is None else dict(found))

    async def fails(_: Request) -> Response:
        raise RuntimeError("SECRET")

    app = Strict(Starlette(routes=[Route("/", told, methods=["POST"]), Route("/fails", fails)]), LOOPBACK)
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost:1") as found:
        yield found


@pytest.mark.parametrize(("path", "status"), [("/", 405), ("/nothing", 404), ("/fails", 500)])
async def test_the_headers_are_on_every_answer_and_no_fault_is_told(
    client: httpx2.AsyncClient, path: str, status: int
) -> None:
    answer = await client.get(path)
    assert answer.status_code == status
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert "SECRET" not in answer.text


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:1", "localhost.evil.example", "", "127.0.0.1:x", "[::1"]
)
async def test_whoever_comes_by_another_name_gets_nothing(client: httpx2.AsyncClient, host: str) -> None:
    answer = await client.post("/", content=b"a=b", headers=TYPE | {"Host": host})
    assert answer.status_code == 421
    assert answer.headers["Cache-Control"] == "no-store"
    assert (await client.post("/", content=b"a=b", headers=TYPE | {"Host": "[::1]:8"})).status_code == 200


@pytest.mark.parametrize(
    ("content", "headers", "found"),
    [
        (b"token=a%26b+c&x=", TYPE, {"token": "a&b c", "x": ""}),
        (b"token=a", {}, None),
        (b"token=a", {"Content-Type": "application/json"}, None),
        (b"token=" + b"a" * MOST_FORM, TYPE, None),
        (b"token=\xff", TYPE, None),
        (b"token=%ff", TYPE, None),
        (b"&".join([b"a=b"] * 9), TYPE, None),
    ],
)
async def test_only_a_short_form_is_read(
    client: httpx2.AsyncClient, content: bytes, headers: dict[str, str], found: dict[str, str] | None
) -> None:
    assert (await client.post("/", content=content, headers=headers)).json() == found


def test_whatever_is_put_into_a_template_is_escaped(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text('<p title="{{ value }}">{{ value }}</p>')
    answer = page(templates(tmp_path), "a.html", {"value": "\"><script>alert('x')</script>"}, 403)
    assert answer.status_code == 403
    assert bytes(answer.body).count(b"<") == 2
