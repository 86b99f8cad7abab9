"""The benchmark's HTTP client against a real socket: whole answers only, and one connection for many requests."""

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from bench.http import Answer, Connection, post_alert
from bench.place import BenchFailed

ACCEPTED = b'HTTP/1.1 202 Accepted\r\ncontent-length: 12\r\n\r\n{"id": "an"}'


@contextlib.asynccontextmanager
async def agent(home: Path, answers: Sequence[Sequence[bytes]], seen: list[bytes]) -> AsyncIterator[None]:
    """Answers one request after the other on a connection, each in these pieces, then closes it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for pieces in answers:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            seen.append(head + await reader.readexactly(length))
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.01)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    (home / "api.json").write_text(json.dumps({"url": f"http://127.0.0.1:{port}"}))
    (home / "api.token").write_text("a token\n")
    async with server:
        yield


async def test_requests_follow_each_other_on_one_connection(tmp_path: Path) -> None:
    seen: list[bytes] = []
    pieces = [ACCEPTED[:20], ACCEPTED[20:50], ACCEPTED[50:]]
    async with agent(tmp_path, [pieces, [ACCEPTED]], seen):
        connection = await Connection.open(tmp_path)
        assert await connection.post("/one", {"n": 1}) == Answer(202, b'{"id": "an"}')
        assert await connection.post("/two", {"n": 2}) == Answer(202, b'{"id": "an"}')
        await connection.close()
    assert [request.split(b" ", 2)[1] for request in seen] == [b"/one", b"/two"]
    assert all(b"\r\nAuthorization: Bearer a token\r\n" in request for request in seen)
    assert seen[1].endswith(b'\r\n\r\n{"n": 2}')


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 202 Accepted\r\ncontent-length: 12\r\n\r\n{",
        b"HTTP/1.1 202 Accepted\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.0 202 Accepted\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 fine\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 \r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 202 Accepted\r\ncontent-length: \xb2\r\n\r\n".encode("latin-1"),
        b"HTTP/1.1 202 Accepted\r\nendless: " + b"x" * 100_000,
    ],
)
async def test_what_is_no_whole_answer_is_an_error(tmp_path: Path, answer: bytes) -> None:
    async with agent(tmp_path, [[answer]], []):
        connection = await Connection.open(tmp_path)
        with pytest.raises(BenchFailed):
            await connection.post("/one", {})
        await connection.close()


async def test_a_message_that_is_not_taken_is_an_error(tmp_path: Path) -> None:
    refused = b"HTTP/1.1 422 Unprocessable\r\ncontent-length: 2\r\n\r\n{}"
    async with agent(tmp_path, [[ACCEPTED], [refused]], []):
        connection = await Connection.open(tmp_path)
        assert await post_alert(connection, "bg", {}) == "an"
        with pytest.raises(BenchFailed, match="422"):
            await post_alert(connection, "bg", {})
        await connection.close()


@pytest.mark.parametrize("body", [b"[]", b"{}", b"<html>", b"\xff", b""])
async def test_an_answer_without_an_id_is_an_error(tmp_path: Path, body: bytes) -> None:
    answer = b"HTTP/1.1 202 Accepted\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    async with agent(tmp_path, [[answer]], []):
        connection = await Connection.open(tmp_path)
        with pytest.raises(BenchFailed, match="no id"):
            await post_alert(connection, "bg", {})
        await connection.close()


async def test_a_connection_that_is_reset_is_an_error(tmp_path: Path) -> None:
    async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Closed at once, with an RST instead of an end.
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    server = await asyncio.start_server(reset, "127.0.0.1", 0)
    (tmp_path / "api.json").write_text(json.dumps({"url": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"}))
    (tmp_path / "api.token").write_text("a token\n")
    async with server:
        connection = await Connection.open(tmp_path)
        await asyncio.sleep(0.1)
        with pytest.raises(BenchFailed):
            await connection.post("/one", {"text": "x" * 1_000_000})
        await connection.close()


@pytest.mark.parametrize("said", [None, "{", "[]", "{}", '{"url": "http://127.0.0.1:1"}', '{"url": "http://h:x"}'])
async def test_an_agent_that_is_not_there_is_an_error(tmp_path: Path, said: str | None) -> None:
    (tmp_path / "api.token").write_text("a token\n")
    if said is not None:
        (tmp_path / "api.json").write_text(said)
    with pytest.raises(BenchFailed, match="no agent answers"):
        await Connection.open(tmp_path)
