"""A TSA on loopback: HTTP around `tests.crypto.tsa`, or any behaviour a test wants."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from hub.settings import Tsa as Settings
from tests.crypto.tsa import Tsa

Answer = Callable[[BaseHTTPRequestHandler, bytes], None]
REPLY = "application/timestamp-reply"


def gives(response: bytes, status: int = 200, **headers: str) -> Answer:
    """Answers with these bytes."""

    def answer(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.send_response(status)
        for name, value in ({"Content-Type": REPLY, "Content-Length": str(len(response))} | headers).items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(response)

    return answer


def signs(tsa: Tsa, change: Callable[[bytes], bytes] = lambda request: request) -> Answer:
    """Answers as it should, but to the changed request."""
    return lambda handler, request: gives(tsa.reply(change(request)))(handler, request)


@dataclass
class TsaServer:
    """It answers as `answer` says at the time."""

    url: str
    answer: Answer
    asked: list[bytes] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)

    def settings(self, roots: Path, interval_s: float = 3600.0) -> Settings:
        """For a hub that is to ask it."""
        return Settings(self.url, roots, interval_s)


@contextmanager
def serving(answer: Answer) -> Iterator[TsaServer]:
    """Serves while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.kinds.append(self.headers["Content-Type"])
            found.asked.append(self.rfile.read(int(self.headers["Content-Length"])))
            # Who has had enough hangs up.
            try:
                found.answer(self, found.asked[-1])
            except OSError:
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        found = TsaServer(f"http://127.0.0.1:{server.server_address[1]}/tsa", answer)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()
