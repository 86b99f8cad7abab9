"""The least of an HTTP/1.1 client that keeps its connection: what it costs is not the agent's to pay for.

A request with a JSON body or none, an answer with a Content-Length; anything else of HTTP is an error here.
"""

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from bench.place import BenchFailed


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer's status and body."""

    status: int
    body: bytes


class Connection:
    """One connection to a node's REST API, authorised, for one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, headers: str) -> None:
        self._reader = reader
        self._writer = writer
        self._headers = headers

    @classmethod
    async def open(cls, home: Path) -> Self:
        """Connects to the agent of the node in `home`. Raises BenchFailed."""
        try:
            address = urlsplit(json.loads((home / "api.json").read_text())["url"])
            token = (home / "api.token").read_text().strip()
            reader, writer = await asyncio.open_connection(address.hostname, address.port)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BenchFailed(f"no agent answers for {home}: {type(error).__name__}: {error}") from error
        return cls(reader, writer, f"Host: {address.netloc}\r\nAuthorization: Bearer {token}\r\n")

    async def post(self, path: str, content: dict[str, Any]) -> Answer:
        """Posts `content` as JSON. Raises BenchFailed for an answer that is not understood or does not come."""
        body = json.dumps(content).encode()
        head = f"POST {path} HTTP/1.1\r\n{self._headers}"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)
        try:
            return await self._answer()
        except (asyncio.IncompleteReadError, OSError) as error:
            raise BenchFailed(f"the agent closed a connection without an answer: {type(error).__name__}") from None
        except asyncio.LimitOverrunError:
            raise BenchFailed("the agent's answer has no end of its head") from None

    async def _answer(self) -> Answer:
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip().split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = headers.get("content-length", "")
        status = first.removeprefix("HTTP/1.1 ").partition(" ")[0]
        if not (status.isdecimal() and length.isdecimal()):
            raise BenchFailed(f"the agent's answer has no status or no length: {first[:80]}")
        return Answer(int(status), await self._reader.readexactly(int(length)))

    async def close(self) -> None:
        """Closes the connection."""
        self._writer.close()
        # One that the agent has broken is closed too.
        with suppress(OSError):
            await self._writer.wait_closed()


async def post_alert(connection: Connection, recipient: str, body: dict[str, Any], **fields: Any) -> str:
    """Posts an alert to one recipient and returns its id. Raises BenchFailed unless the agent takes it."""
    request = {"kind": "alert", "task_force": "trafficking", "to": [recipient], "body": body, **fields}
    answer = await connection.post("/v1/messages", request)
    if answer.status != 202:
        raise BenchFailed(f"an agent answered {answer.status}: {answer.body[:300]!r}")
    try:
        return str(json.loads(answer.body)["id"])
    except (ValueError, KeyError, TypeError):
        raise BenchFailed(f"an agent's answer names no id: {answer.body[:300]!r}") from None
