"""HTTP/1.1 as join desk and console speak it, which is with strangers: what is sent is bounded, and has its time.

uvicorn's own protocol holds a header or an address of any length in memory, and waits for the end of a request for
ever; so few slow callers would keep all others out.
"""

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from crypto.log import log
from hub.errors import PortTaken
from hub.fairness import place_of

# Of a request's first line and headers; a piece of what was read may go beyond.
MOST_HEAD: Final = 16 * 1024
# In so many seconds a whole request must be there, from when one may come.
READ_S: Final = 20.0
# What a slow caller may have to get its answer at the end.
CLOSE_S: Final = 3
# Of one address (of IPv6, its /64), at a time.
CONNECTIONS_EACH: Final = 16
# The same before TLS has begun, for which asyncio gives each a minute; and of all addresses.
OPEN_EACH: Final = 2 * CONNECTIONS_EACH
OPEN: Final = 512


class DeskProtocol(HttpToolsProtocol):
    """One connection. `cut_off` is what is logged when it is ended."""

    cut_off: ClassVar[str] = "join_cut_off"
    _in_head = True
    _head = 0
    _place = ""
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Lets only so many in of one address."""
        super().connection_made(transport)
        self._place = place_of(self.client[0] if self.client else "")
        if sum(getattr(other, "_place", None) == self._place for other in self.connections) > CONNECTIONS_EACH:
            self._leave("too_many_connections")
            return
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops the clock."""
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Ends the connection if what should be headers goes on and on."""
        super().data_received(data)
        if self._in_head:
            self._head += len(data)
            if self._head > MOST_HEAD:
                self._leave("head_too_large")

    def on_message_begin(self) -> None:
        """Another request."""
        super().on_message_begin()
        self._in_head, self._head = True, 0

    def on_headers_complete(self) -> None:
        """What comes now is counted by who reads it."""
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Now it is the desk's turn; if that has answered before, this was for nothing."""
        if not self.cycle.response_complete:
            self._stop()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Another request may come."""
        super().on_response_complete()
        self._wait()

    def _wait(self) -> None:
        self._stop()
        self._timer = self.loop.call_later(READ_S, self._leave, "request_late")

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _leave(self, why: str) -> None:
        self._stop()
        transport: Any = self.transport
        if not transport.is_closing():
            log.warning(self.cut_off, reason=why)
            transport.abort()


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """A certificate and its sealed key, and what opens that."""

    certificate: Path
    key: Path
    password: str = field(repr=False)


class _Listener(socket.socket):
    """Closes what is too much at once: of who never says a word no protocol hears, and each has a file of ours."""

    def __init__(self, family: int) -> None:
        super().__init__(family, socket.SOCK_STREAM)
        self._open: list[tuple[str, socket.socket]] = []

    def accept(self) -> tuple[socket.socket, Any]:
        """As asyncio calls it. Raises ConnectionAbortedError, after which it goes on."""
        connection, address = super().accept()
        self._open = [(place, one) for place, one in self._open if one.fileno() != -1]
        own = place_of(address[0])
        if len(self._open) >= OPEN or sum(place == own for place, _ in self._open) >= OPEN_EACH:
            connection.close()
            raise ConnectionAbortedError
        self._open.append((own, connection))
        return connection, address


@contextmanager
def listening(listen: str, port: int) -> Iterator[socket.socket]:
    """A socket at that address. Raises PortTaken."""
    family = socket.AF_INET6 if ":" in listen else socket.AF_INET
    with _Listener(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((listen, port))
        except OSError as error:
            raise PortTaken(
                f"{listen} port {port}: {error.strerror}", "choose others with --listen and --port"
            ) from error
        yield listener


def configured(app: ASGIApp, protocol: type[DeskProtocol], files: TlsFiles | None, connections: int) -> uvicorn.Config:
    """How an application is served: over TLS 1.3, or in plain without `files`."""
    tls: dict[str, Any] = {}
    if files is not None:
        tls = {"ssl_certfile": files.certificate, "ssl_keyfile": files.key, "ssl_keyfile_password": files.password}
    config = uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        proxy_headers=False,
        server_header=False,
        lifespan="off",
        access_log=False,
        log_config=None,
        log_level="warning",
        limit_concurrency=connections,
        timeout_graceful_shutdown=CLOSE_S,
        **tls,
    )
    config.load()
    if config.ssl is not None:
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_3
    return config
