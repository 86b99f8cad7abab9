"""A worker's own small HTTP server on loopback, for monitors: `/healthz`, `/readyz`, `/metrics`.

It has no authentication: it tells counts and ages, and no word of any message. Several workers share one home, so
each says where it listens in a file of its own, `monitor.<pid>.json`.
"""

import asyncio
import fcntl
import json
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from crypto.log import log
from hub import database, metrics, reading
from hub.database import DATABASE_TROUBLE
from hub.errors import HubError, PortTaken
from hub.ingest import Ingest
from hub.readiness import Shortcoming, Vitals, shortcomings
from hub.reading import Reading

T = TypeVar("T")
DATABASE_S: Final = 2.0
# What a slow caller may have to get its answer at the end: it asks again anyway. Before it come the batches in hand and
# the broker's connection, behind it those of the database, all before the worker is cut short (crypto/stopping.py).
CLOSE_S: Final = 1
PROBLEM: Final = "application/problem+json"


def make_app(
    ingest: Ingest, engine: AsyncEngine, stamping_s: float | None = None, ends: Callable[[], Mapping[str, int]] = dict
) -> Starlette:
    """The application of one worker; `stamping_s` is the interval of timestamps, None if no TSA is set.

    `ends` says when certificates end, ms.
    """

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> Response:
        # Whoever asks each second must not cost the hub a count of all that it holds.
        found = await _ask(engine, reading.probe)
        trouble = found if isinstance(found, HubError) else None
        vitals = Vitals(trouble, ingest.consuming, ingest.canary.state, ingest.canary.period_s, time.time())
        lacking = shortcomings(vitals)
        return _problem(lacking) if lacking else JSONResponse({"status": "ok"})

    async def exposition(_: Request) -> Response:
        found = await _ask(engine, partial(reading.read, stamped=stamping_s is not None))
        now = found if isinstance(found, Reading) else None
        age = time.time() - (ingest.canary.state.received or metrics.STARTED)
        text = metrics.exposition(now, consuming=ingest.consuming, canary_age_s=age, stamping_s=stamping_s, ends=ends())
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    return Starlette(
        routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", exposition)],
    )


async def _ask(engine: AsyncEngine, question: Callable[[AsyncConnection], Awaitable[T]]) -> T | HubError:
    """What the database says, or why it says nothing."""
    try:
        async with asyncio.timeout(DATABASE_S), engine.connect() as connection:
            return await question(connection)
    except DATABASE_TROUBLE as error:
        return database.explained(error)


def _problem(found: list[Shortcoming]) -> Response:
    body = {
        "type": "about:blank",
        "title": "Not ready",
        "status": 503,
        "code": found[0].code,
        "detail": "; ".join(item.detail for item in found),
        "next": found[0].next,
        "errors": [asdict(item) for item in found],
    }
    return JSONResponse(body, 503, media_type=PROBLEM)


class Server(uvicorn.Server):
    """Leaves the signals to the program, which ends in order and ends this with it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def monitored(app: Starlette, home: Path, port: int) -> AsyncIterator[str]:
    """Serves `app` on loopback while the block runs, and gives its URL. Raises PortTaken."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            raise PortTaken(
                f"the monitor's port {port} is in use", "choose another with --monitor-port, or 0 for any free one"
            ) from error
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = Server(
            uvicorn.Config(
                app,
                # What it has to say goes where everything goes, as JSON.
                log_config=None,
                log_level="warning",
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=CLOSE_S,
            )
        )
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            with _announced(home, url):
                yield url
        finally:
            server.should_exit = True
            for result in await asyncio.gather(serving, return_exceptions=True):
                if result is not None:
                    log.error("monitor_failed", error=type(result).__name__)


@contextmanager
def _announced(home: Path, url: str) -> Iterator[None]:
    """Keeps `monitor.<pid>.json` in `home`, and removes what workers that were killed have left there.

    A worker's file is locked for as long as it lives: its pid may be another's by now.
    """
    for file in home.glob("monitor.*.json"):
        _remove_if_dead(file)
    pid = os.getpid()
    draft, file = home / f".monitor.{pid}.draft", home / f"monitor.{pid}.json"
    with draft.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        json.dump({"url": url, "pid": pid}, held)
        held.flush()
        draft.rename(file)
        try:
            yield
        finally:
            file.unlink(missing_ok=True)


def _remove_if_dead(file: Path) -> None:
    # Gone already, or locked by one that lives.
    with suppress(FileNotFoundError, BlockingIOError), file.open() as found:
        fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.unlink(missing_ok=True)
