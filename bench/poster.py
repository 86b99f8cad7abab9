"""A connection to an agent's API that posts and does little else.

An HTTP library takes as long over a request as the agent does, on the same two cores; here it must not be
what is measured.
"""

import asyncio
import json
from dataclasses import dataclass
from typing import Any, Final, Self
from urllib.parse import urlsplit

import httpx2

from bench.place import BenchFailed

ACCEPTED: Final = b"HTTP/1.1 202 "
LENGTH: Final = b"content-length:"


@dataclass(frozen=True, slots=True)
class Poster:
    """One connection, kept open, for one request at a time."""

    _reader: asyncio.StreamReader
    _writer: asyncio.StreamWriter
    _head: str

    @classmethod
    async def connect(cls, client: httpx2.AsyncClient) -> Self:
        """To the API that `client` talks to, with its token."""
        address = urlsplit(str(client.base_url))
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        head = (
            f"POST /v1/messages HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: application/json\r\n"
            f"Authorization: {client.headers['Authorization']}\r\nContent-Length: "
        )
        return cls(reader, writer, head)

    async def post(self, message: dict[str, Any]) -> None:
        """Returns once the agent has accepted the message. Raises BenchFailed if it does not."""
        body = json.dumps(message)
        self._writer.write(f"{self._head}{len(body)}\r\n\r\n{body}".encode("ascii"))
        head = await self._reader.readuntil(b"\r\n\r\n")
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(LENGTH)]
        answer = await self._reader.readexactly(int(lengths[0].removeprefix(LENGTH)))
        if not head.startswith(ACCEPTED):
            raise BenchFailed(f"a message was not taken: {answer[:300].decode()}")

    def close(self) -> None:
        """Closes the connection."""
        self._writer.close()
