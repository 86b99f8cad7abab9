"""The agent as a process: one for each folder, its API on loopback, and its end in order.

It ends when SIGTERM or SIGINT tells it to, however often they do: `api.json` goes, requests, writes and batches under
way are finished, the link and the store are closed. What would take too long is cut short (crypto/stopping.py). A kill
at any moment loses nothing either, and leaves only files that the next start replaces: `api.json`, and the write-ahead
log of the store.
"""

import asyncio
import gc
import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import uvicorn
import uvloop

from crypto.keyfile import load_node_keys, put_tls, tls_password
from crypto.log import log
from crypto.stopping import Stop, stoppable
from crypto.tls import client_context
from nodes import handovers, renewal, rosters
from nodes.agent import Agent
from nodes.api import make_app
from nodes.errors import AgentEnded, NotSetUp, PortTaken
from nodes.link import Link
from nodes.locked import alone, keys_alone
from nodes.older import read_older
from nodes.settings import Settings
from nodes.signing import finish
from nodes.store import Store

# What a slow caller may have to get its answer at the end. Behind it the store is closed, all before it is cut short.
CLOSE_S: Final = 2


async def open_agent(settings: Settings) -> Agent:
    """An agent ready to run. Raises NotSetUp, WrongPassphrase, CertificateRefused, KeyFileRefused."""
    if not settings.enrolled:
        raise NotSetUp(
            f"{settings.node} is not enrolled yet", "run `seci-node join` with the hub's token (docs/node.md)"
        )
    home, secret = settings.home, settings.secret()
    with keys_alone(home, wait=True):
        put_tls(home, renewal.TLS)
    keys = load_node_keys(home / "node.key", secret)
    context = client_context(
        home / "ca.pem", home / "tls.pem", home / "tls.key", tls_password(home / "tls.key", secret)
    )
    box = Store.open(home / "node.db", keys.storage)
    await box.run(read_older, box)
    hub = await box.run(handovers.keys_of, settings.log_verifier())
    trust = await box.run(rosters.trust_of, hub)
    if trust is None:
        raise NotSetUp("the store has no roster", "run `seci-node init --welcome FILE` again")
    agent = Agent(settings, keys, box, Link(settings, context), trust, hub)
    await agent.prepare()
    return agent


def serve(settings: Settings, port: int, announce: Callable[[str], None]) -> None:
    """Runs the agent until it is told to stop; `announce` is given the API's URL.

    Raises AlreadyRunning, PortTaken, what `open_agent` does, and what the agent failed of, if it did; AgentEnded if it
    did not say of what.
    """
    with stoppable() as told, alone(settings.home), _listening(port) as listener:
        # What is there by now stays: the collector of garbage need not look at it again and again.
        gc.freeze()
        gc.set_threshold(20_000, 20, 20)
        uvloop.run(_serve(settings, listener, told, announce))


class _Server(uvicorn.Server):
    """Leaves the signals to the agent: uvicorn's own way is to die of them once it has ended, and the agent with it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(settings: Settings, listener: socket.socket, told: Stop, announce: Callable[[str], None]) -> None:
    stop = told.event()
    agent = await open_agent(settings)
    try:
        server = _Server(_configured(agent, settings.token()))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        work = asyncio.create_task(agent.run())
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        stopped = asyncio.create_task(stop.wait())
        with _announced(settings.home, url):
            announce(url)
            await asyncio.wait((work, serving, stopped), return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            log.info("told_to_stop", signal=told.signal)
        server.should_exit = True
        stopped.cancel()
        await agent.finish()
        work.cancel()
        results = await asyncio.gather(work, serving, stopped, return_exceptions=True)
    finally:
        agent.box.close()
        finish(CLOSE_S)
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
            raise result
    if not stop.is_set():
        raise AgentEnded(
            "the agent has ended, and nobody told it to", "start it again; nothing that it accepted is lost"
        )


def _configured(agent: Agent, token: str) -> uvicorn.Config:
    return uvicorn.Config(
        make_app(agent, token),
        # Several times as fast as the parser in Python that is the other choice; and no proxy stands before us.
        http="httptools",
        ws="none",
        proxy_headers=False,
        lifespan="off",
        access_log=False,
        # What it has to say goes where everything goes, as JSON.
        log_config=None,
        log_level="warning",
        timeout_graceful_shutdown=CLOSE_S,
    )


@contextmanager
def _announced(home: Path, url: str) -> Iterator[None]:
    """Keeps `api.json` in the folder, with which `seci-node` finds the agent."""
    draft, file = home / "api.json.draft", home / "api.json"
    draft.write_text(json.dumps({"url": url, "pid": os.getpid()}))
    draft.rename(file)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


@contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            raise PortTaken(f"port {port} is in use", "choose another with --port, or 0 for a free one") from error
        yield listener
