"""HTTP/1.1 as the join desk speaks it, which is with strangers: what is sent is bounded, and has its time.

uvicorn's own protocol holds a header or an address of any length in memory, and waits for the end of a request for
ever; so few slow callers would keep all others out.
"""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from crypto.log import log
from hub.fairness import place_of

# Of a request's first line and headers; a piece of what was read may go beyond.
MOST_HEAD: Final = 16 * 1024
# In so many seconds a whole request must be there, from when one may come.
READ_S: Final = 20.0
# Of one address (of IPv6, its /64), at a time.
CONNECTIONS_EACH: Final = 16


class DeskProtocol(HttpToolsProtocol):
    """One connection."""

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
            log.warning("join_cut_off", reason=why)
            transport.abort()
