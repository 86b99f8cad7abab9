"""A bad line between the exchange's programs and the broker: a TCP proxy that spoils what passes, on demand.

    with bad_line(broker.port) as line:                  # clients connect to line.port; TLS passes untouched
        line.set(Rule(passes=False), Side.BROKER)        # a black hole for what the broker says
        line.reset()                                     # RST on every connection
        line.heal()

It runs in a thread of its own, so that callers without an event loop can drive it.
"""

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum

from deploy.local.errors import StartFailed
from deploy.local.ports import LOOPBACK, free_ports

CHUNK = 16 * 1024
START_SECONDS = 10.0
# With a linger time of zero, closing a socket sends RST and forgets what is not sent yet.
_LINGER_ZERO = struct.pack("ii", 1, 0)


class Side(Enum):
    """An end of the line."""

    CLIENT = "client"
    BROKER = "broker"


@dataclass(frozen=True, slots=True)
class Rule:
    """What happens to the bytes that one side sends.

    `passes` False is a black hole: connections stay open and nothing comes through until it is True again.
    `cut_after` ends a connection after so many bytes, counted from when the rule was set.
    """

    delay_s: float = 0.0
    bytes_per_s: float | None = None
    passes: bool = True
    cut_after: int | None = None


FREE = Rule()


@dataclass(eq=False)
class _Connection:
    """One client's connection: the writer towards each side, and the tasks that carry bytes."""

    writers: dict[Side, asyncio.StreamWriter]
    pumps: list[asyncio.Task[None]] = field(default_factory=list)
    half_open: bool = False


class Line:
    """The running proxy. Its methods may be called from any thread but its own."""

    def __init__(self, port: int, targets: Sequence[int]) -> None:
        self.port = port
        self._targets = targets
        self._rules = dict.fromkeys(Side, FREE)
        self._passes = {side: asyncio.Event() for side in Side}
        self._connections: set[_Connection] = set()
        self._handlers: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()

    def set(self, rule: Rule, *sources: Side) -> None:
        """From now on, `rule` is for what these sides send, on all connections; without any, for both."""
        self._in_loop(lambda: self._apply(rule, sources or tuple(Side)))

    def heal(self) -> None:
        """Everything passes again, and what was held back comes through. Half-open connections stay so."""
        self.set(FREE)

    def reset(self) -> None:
        """Ends every connection with RST to both sides: what was under way is lost."""
        self._in_loop(lambda: self._drop(*Side))

    def half_open(self, gone: Side) -> None:
        """Ends the side `gone` of every connection with RST; the other side is not told and hears nothing more."""
        self._in_loop(lambda: self._drop(gone))

    def run(self, ready: threading.Event) -> None:
        """Serves until `stop`; for the proxy's own thread."""
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve(ready))

    def stop(self) -> None:
        """Closes everything and ends `run`."""
        self._loop.call_soon_threadsafe(self._stopping.set)

    def _in_loop(self, work: Callable[[], None]) -> None:
        async def call() -> None:
            work()

        asyncio.run_coroutine_threadsafe(call(), self._loop).result(START_SECONDS)

    def _apply(self, rule: Rule, sources: Iterable[Side]) -> None:
        for source in sources:
            self._rules[source] = rule
            if rule.passes:
                self._passes[source].set()
            else:
                self._passes[source].clear()

    async def _serve(self, ready: threading.Event) -> None:
        self._apply(FREE, Side)
        server = await asyncio.start_server(self._accept, LOOPBACK, self.port, limit=CHUNK)
        ready.set()
        await self._stopping.wait()
        server.close()
        self._drop(*Side)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handler = self._loop.create_task(self._join(reader, writer))
        self._handlers.add(handler)
        handler.add_done_callback(self._handlers.discard)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found = await _connect(self._targets)
        if found is None:
            writer.close()
            return
        from_broker, to_broker = found
        connection = _Connection({Side.CLIENT: writer, Side.BROKER: to_broker})
        connection.pumps = [
            asyncio.create_task(self._carry(Side.CLIENT, reader, to_broker)),
            asyncio.create_task(self._carry(Side.BROKER, from_broker, writer)),
        ]
        self._connections.add(connection)
        await asyncio.wait(connection.pumps, return_when=asyncio.FIRST_COMPLETED)
        if not connection.half_open:
            self._connections.discard(connection)
            _end(connection)

    async def _carry(self, source: Side, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        rule, passed = FREE, 0
        with contextlib.suppress(OSError):
            while chunk := await reader.read(CHUNK):
                await asyncio.sleep(self._rules[source].delay_s)
                await self._passes[source].wait()
                if rule is not self._rules[source]:
                    rule, passed = self._rules[source], 0
                if rule.bytes_per_s is not None:
                    await asyncio.sleep(len(chunk) / rule.bytes_per_s)
                passed += len(chunk)
                over = 0 if rule.cut_after is None else max(0, passed - rule.cut_after)
                writer.write(chunk[: len(chunk) - over])
                await writer.drain()
                if over:
                    return

    def _drop(self, *sides: Side) -> None:
        for connection in tuple(self._connections):
            connection.half_open = len(sides) == 1
            for side in sides:
                _reset(connection.writers[side])
            for pump in connection.pumps:
                pump.cancel()


async def _connect(ports: Sequence[int]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
    """A connection to any of the ports that listens, in no order; None if none does."""
    for port in random.sample(ports, len(ports)):
        with contextlib.suppress(OSError):
            return await asyncio.open_connection(LOOPBACK, port, limit=CHUNK)
    return None


def _end(connection: _Connection) -> None:
    for pump in connection.pumps:
        pump.cancel()
    for writer in connection.writers.values():
        writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    if not writer.transport.is_closing():
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        writer.transport.abort()


@contextlib.contextmanager
def bad_line(*targets: int) -> Iterator[Line]:
    """A proxy on a free loopback port, until the block ends; it leads to any of the ports that listens."""
    line, ready = Line(free_ports(1)[0], targets), threading.Event()
    thread = threading.Thread(target=line.run, args=(ready,), name="bad-line")
    thread.start()
    try:
        if not ready.wait(START_SECONDS):
            raise StartFailed(f"the proxy does not listen on port {line.port}")
        yield line
    finally:
        line.stop()
        thread.join()
