"""Asking a TSA on loopback: what a good one gives, and that a hostile one costs nothing but an error with its code."""

import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from crypto.errors import TimestampInvalid
from crypto.timestamp import MAX_RESPONSE
from hub import tsa as asking
from hub.errors import HubError
from hub.tsa import TOLERANCE_S, stamp
from tests.crypto.tsa import Tsa
from tests.hub.tsaserver import TsaServer, gives, serving, signs

DATA = b"a checkpoint"


@pytest.fixture(scope="module")
def tsa(tmp_path_factory: pytest.TempPathFactory) -> Tsa:
    """The one that is trusted."""
    return Tsa.create(tmp_path_factory.mktemp("tsa") / "good")


@pytest.fixture
def server(tsa: Tsa) -> Iterator[TsaServer]:
    """It answers as it should, until a test says otherwise."""
    with serving(signs(tsa)) as found:
        yield found


async def _code(server: TsaServer, roots: Path) -> str:
    with pytest.raises((HubError, TimestampInvalid)) as refused:
        await stamp(server.settings(roots), DATA)
    return refused.value.code


async def test_a_tsa_that_answers_gives_a_timestamp(server: TsaServer, tsa: Tsa) -> None:
    found = await stamp(server.settings(tsa.roots), DATA)
    assert found.said.tsa == "CN=TSA of good"
    assert server.kinds == ["application/timestamp-query"]
    assert DATA not in server.asked[0]


@pytest.mark.parametrize(
    ("response", "status", "code"),
    [
        (b"<html>", 200, "timestamp_malformed"),
        (b"", 200, "timestamp_malformed"),
        (b"busy", 503, "tsa_answer_unfit"),
        (b"", 204, "tsa_answer_unfit"),
        (bytes(MAX_RESPONSE + 1), 200, "tsa_answer_unfit"),
    ],
)
async def test_what_is_no_answer_is_refused(
    server: TsaServer, tsa: Tsa, response: bytes, status: int, code: str
) -> None:
    server.answer = gives(response, status)
    assert await _code(server, tsa.roots) == code


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed(server: TsaServer, tsa: Tsa, status: int) -> None:
    with serving(signs(tsa)) as elsewhere:
        server.answer = gives(b"", status, Location=elsewhere.url)
        assert await _code(server, tsa.roots) == "tsa_answer_unfit"
        assert not elsewhere.asked


async def test_a_body_without_end_is_given_up(server: TsaServer, tsa: Tsa) -> None:
    sent = 0

    def endless(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        nonlocal sent
        handler.send_response(200)
        handler.end_headers()
        while True:
            sent += handler.wfile.write(bytes(4096))

    server.answer = endless
    assert await _code(server, tsa.roots) == "tsa_answer_unfit"
    # What is under way fills buffers of the operating system's, no more.
    assert sent < 64 * 1024 * 1024


@pytest.mark.parametrize("slow", ["silent", "head", "body"])
async def test_who_is_slow_is_given_up_however_he_goes_about_it(
    server: TsaServer, tsa: Tsa, monkeypatch: pytest.MonkeyPatch, slow: str
) -> None:
    monkeypatch.setattr(asking, "ANSWER_S", 1.0)
    until, came_to_its_end = time.monotonic() + 30, False

    def drip(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        nonlocal came_to_its_end
        if slow == "body":
            handler.send_response(200)
            handler.end_headers()
        while time.monotonic() < until:
            # Each byte comes well before any wait for a single one would end.
            handler.wfile.write(b"" if slow == "silent" else b"H")
            handler.wfile.flush()
            time.sleep(0.1)
        came_to_its_end = True

    server.answer = drip
    assert await _code(server, tsa.roots) == "tsa_unreachable"
    assert not came_to_its_end


async def test_one_that_is_not_there_is_told(tsa: Tsa) -> None:
    with serving(signs(tsa)) as gone:
        pass
    assert await _code(gone, tsa.roots) == "tsa_unreachable"


@pytest.mark.parametrize("url", ["https://127.0.0.1:1/", "http://["])
async def test_a_url_that_leads_nowhere_is_told(server: TsaServer, tsa: Tsa, url: str) -> None:
    server.url = url
    assert await _code(server, tsa.roots) == "tsa_unreachable"


async def test_an_answer_to_another_question_is_refused(server: TsaServer, tsa: Tsa) -> None:
    await stamp(server.settings(tsa.roots), DATA)
    server.answer = signs(tsa, lambda _: server.asked[0])
    assert await _code(server, tsa.roots) == "timestamp_foreign"


async def test_a_timestamp_of_other_bytes_is_refused(server: TsaServer, tsa: Tsa) -> None:
    def changed(request: bytes) -> bytes:
        place = request.index(b"\x04\x20") + 2
        return request[:place] + bytes(32) + request[place + 32 :]

    server.answer = signs(tsa, changed)
    assert await _code(server, tsa.roots) == "timestamp_foreign"


async def test_another_signer_is_refused(server: TsaServer, tsa: Tsa, tmp_path: Path) -> None:
    server.answer = signs(Tsa.create(tmp_path / "good"))
    assert await _code(server, tsa.roots) == "timestamp_untrusted"


@pytest.mark.parametrize("off", [-2 * TOLERANCE_S, 2 * TOLERANCE_S])
async def test_a_time_far_from_ours_is_refused(server: TsaServer, tsa: Tsa, off: float) -> None:
    settings = server.settings(tsa.roots)
    with pytest.raises(HubError) as refused:
        await stamp(settings, DATA, lambda: time.time() + off)
    assert refused.value.code == "tsa_clock_off"
    await stamp(settings, DATA, lambda: time.time() + off / 4)


@pytest.mark.parametrize("content", [None, b"", b"no certificates"])
async def test_roots_that_do_not_read_are_told_before_anybody_is_asked(
    server: TsaServer, tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "roots.pem").write_bytes(content)
    assert await _code(server, tmp_path / "roots.pem") == "tsa_roots_unusable"
    assert not server.asked
