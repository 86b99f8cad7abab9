"""AMQP by hand, for what no client library would send: one connection under a node's own certificate."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pamqp import commands, frame

from deploy.local.attacker import context_of
from nodes.settings import Settings

GREETING = b"AMQP\x00\x00\x09\x01"
ANSWER_S = 30
# No heartbeats, so that what is kept open stays open.
CHANNELS, FRAME_SIZE, HEARTBEAT_S = 64, 131_072, 0


@dataclass
class Wire:
    """A TLS connection to the broker and what was read of it that is not a whole frame yet."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    rest: bytes = b""

    async def send(self, *parts: Any, channel: int = 0) -> None:
        """Writes bytes as they are, and commands as frames."""
        for part in parts:
            self.writer.write(part if isinstance(part, bytes) else frame.marshal(part, channel))
        await self.writer.drain()

    async def answer(self) -> Any:
        """The next frame; None when the broker has closed. Fails if nothing comes."""
        async with asyncio.timeout(ANSWER_S):
            while len(self.rest) < 7 or len(self.rest) < int.from_bytes(self.rest[3:7]) + 8:
                more = await self._read()
                if not more:
                    return None
                self.rest += more
        taken, _, found = frame.unmarshal(self.rest)
        self.rest = self.rest[taken:]
        return found

    async def _read(self) -> bytes:
        try:
            return await self.reader.read(65_536)
        except (ConnectionError, ssl.SSLError):
            return b""

    async def log_in(self, mechanism: str = "EXTERNAL", response: str = "") -> Any:
        """Says who it is, and returns the broker's answer; None if it closed."""
        await self.send(GREETING)
        await self.answer()
        await self.send(commands.Connection.StartOk({}, mechanism, response, "en_US"))
        return await self.answer()

    async def open(self, vhost: str = "siex") -> Any:
        """Goes into a vhost once logged in, and returns the broker's answer; None if it closed."""
        await self.send(commands.Connection.TuneOk(CHANNELS, FRAME_SIZE, HEARTBEAT_S), commands.Connection.Open(vhost))
        return await self.answer()

    def close(self) -> None:
        """Ends the connection without a word."""
        self.writer.transport.abort()


async def connect(port: int, context: ssl.SSLContext | None) -> Wire:
    """A connection with nothing said on it yet; without TLS if there is no context."""
    name = "localhost" if context else None
    return Wire(*await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name))


@contextlib.asynccontextmanager
async def opened(home: Path) -> AsyncIterator[Wire]:
    """A connection that is logged in as the node of `home` and in its vhost."""
    settings = Settings.load(home)
    wire = await connect(settings.broker_port, context_of(settings))
    try:
        await wire.log_in()
        assert isinstance(await wire.open(settings.vhost), commands.Connection.OpenOk)
        yield wire
    finally:
        wire.close()


async def is_spoken_to(port: int, context: ssl.SSLContext | None) -> bool:
    """Whether the broker answers who comes with this TLS context."""
    try:
        wire = await connect(port, context)
    except (ConnectionError, ssl.SSLError):
        return False
    try:
        await wire.send(GREETING)
        # A method frame on channel 0; a TLS alert begins with 0x15.
        return (await asyncio.wait_for(wire.reader.read(100), 30)).startswith(b"\x01\x00\x00")
    except (ConnectionError, ssl.SSLError):
        return False
    finally:
        wire.close()
