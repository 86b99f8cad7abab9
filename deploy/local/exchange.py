"""A whole exchange on one machine: broker, database, hub and nodes as processes of their own.

The hub is set up with the commands that a real operator would type, the nodes by what is behind theirs: a process for
each step of each node would take longer than all the rest. The services' folder holds `hub/` and a folder for each
node; logs are in `log/`.
"""

import asyncio
import json
import os
import shlex
import ssl
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from crypto.keyfile import SecretSource
from deploy.local import processes
from deploy.local.broker import TlsFiles
from deploy.local.clock import Clock
from deploy.local.errors import CommandFailed, StartFailed
from deploy.local.instance import REPOSITORY, say
from deploy.local.processes import Process
from deploy.local.services import Services
from hub.setup import BrokerNames, broker_password, make_keys
from nodes import setup

NODES = ("al", "ba", "bg", "hr", "gr", "hu", "md", "mk", "ro", "cs", "si", "tr", "seci")
READY_S = 60
# The API is plain HTTP: to read all authorities of the machine for it would take longer than the request.
_NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def prepare_tls(folder: Path) -> TlsFiles:
    """The hub's keys, made before the broker starts: it needs the certificate that the hub's CA issues."""
    home = folder / "hub"
    make_keys(home, BrokerNames(("localhost",), ("127.0.0.1",)))
    password = broker_password(home, SecretSource().read(home))
    return TlsFiles(home / "ca.pem", home / "broker.pem", home / "broker.key", password)


@dataclass(frozen=True)
class Exchange:
    """The hub and the nodes on running services. Set up with `set_up`, then start what is wanted.

    Of a test only, `clock` is what they go by instead of the machine's.
    """

    folder: Path
    services: Services
    nodes: tuple[str, ...]
    survives: bool = False
    clock: Clock | None = None

    @property
    def hub_home(self) -> Path:
        """The hub's folder."""
        return self.folder / "hub"

    @property
    def logs(self) -> Path:
        """Where the processes' logs are, `<name>.log`."""
        return self.folder / "log"

    def node_home(self, node: str) -> Path:
        """A node's folder."""
        return self.folder / "node" / node

    def set_up(self) -> None:
        """Initialises hub and nodes and enrols them, as their people would. Safe to repeat."""
        self.logs.mkdir(exist_ok=True)
        broker, postgres = self.services.broker, self.services.postgres
        environment = [f"{name}={value}" for name, value in broker.env.items()]
        ctl = shlex.join(["env", *environment, *broker.ctl])
        say("setting up the hub ...")
        options = ["--broker-host", "localhost", "--broker-port", str(broker.port), "--broker-ctl", ctl]
        urls = {
            "SECI_HUB_ADMIN_DATABASE_URL": postgres.owner_url,
            "SECI_HUB_DATABASE_URL": postgres.application_url,
        }
        self.hub("init", *options, environment=urls)
        enrolled = self.hub("provision")["nodes"]
        new = [node for node in self.nodes if node not in enrolled or not self._knows_broker(node)]
        if not new:
            say(f"{len(self.nodes)} nodes are enrolled already")
            return
        say(f"making the keys of {', '.join(new)} ...")
        for node in new:
            setup.create(self.node_home(node), node)
        say(f"enrolling {len(new)} nodes ...")
        requests = [str(self.node_home(node) / "enrolment.json") for node in new]
        self.hub("enrol", *requests, "--out", str(self.folder / "welcome"))
        # A thread has no event loop yet, whoever calls.
        with ThreadPoolExecutor(1) as pool:
            list(pool.map(self._take_in_welcome, new))

    def hub(self, *arguments: str, environment: dict[str, str] | None = None) -> Any:
        """Runs `seci-hub` and returns its JSON. Raises CommandFailed."""
        return self._run("hub.cli", self.hub_home, arguments, environment or {})

    def node(self, node: str, *arguments: str) -> Any:
        """Runs `seci-node` for a node and returns its JSON. Raises CommandFailed."""
        return self._run("nodes.cli", self.node_home(node), arguments, {})

    def start_hub(self, name: str = "hub") -> Process:
        """Starts a hub worker."""
        return self._spawn(name, "hub.cli", ["run", "--home", str(self.hub_home)])

    def start_desk(self) -> Process:
        """Starts the hub's join desk; its log begins with its URL, as JSON."""
        options = ["--port", "0", "--listen", "127.0.0.1", "--name", "localhost", "--json"]
        return self._spawn("desk", "hub.cli", ["join-desk", "--home", str(self.hub_home), *options])

    def start_node(self, node: str, port: int = 0) -> Process:
        """Starts a node's agent."""
        home = str(self.node_home(node))
        return self._spawn(f"node-{node}", "nodes.cli", ["run", "--home", home, "--port", str(port)])

    def await_nodes(self, nodes: Iterable[str], *, linked: bool = True) -> None:
        """Waits until the nodes' APIs answer and their links are up. Raises StartFailed with the log's end."""
        until = time.monotonic() + READY_S
        for node in nodes:
            while not self._is_ready(node, linked):
                if time.monotonic() > until:
                    tail = processes.last_lines(self.logs / f"node-{node}.log")
                    raise StartFailed(f"node {node} is not ready after {READY_S} s\n{tail}")
                time.sleep(0.1)

    def api(self, node: str) -> httpx2.Client:
        """A client of a node's REST API, authorised."""
        home = self.node_home(node)
        address = json.loads((home / "api.json").read_text())["url"]
        token = (home / "api.token").read_text().strip()
        authorisation = {"Authorization": f"Bearer {token}"}
        return httpx2.Client(base_url=address, headers=authorisation, timeout=30, verify=_NO_AUTHORITIES)

    def _knows_broker(self, node: str) -> bool:
        # It may have had to take another port since the node was enrolled.
        with suppress(OSError, ValueError):
            settings = json.loads((self.node_home(node) / "node.json").read_bytes())
            return bool(settings.get("hub_key")) and settings.get("broker_port") == self.services.broker.port
        return False

    def _take_in_welcome(self, node: str) -> None:
        asyncio.run(setup.welcome(self.node_home(node), self.folder / "welcome" / f"{node}.welcome.json"))

    def _is_ready(self, node: str, linked: bool) -> bool:
        with suppress(OSError, httpx2.HTTPError, ValueError, KeyError), self.api(node) as api:
            return bool(api.get("/v1/status").json()["link"]["connected"]) or not linked
        return False

    def _argv(self, module: str, arguments: Sequence[str]) -> list[str]:
        run = ["-m", module] if self.clock is None else self.clock.argv(module)
        return [sys.executable, *run, *arguments]

    def _spawn(self, name: str, module: str, arguments: Sequence[str]) -> Process:
        return processes.spawn(
            self.folder,
            name,
            self._argv(module, arguments),
            env=os.environ.copy(),
            log=self.logs / f"{name}.log",
            cwd=REPOSITORY,
            survives=self.survives,
        )

    def _run(self, module: str, home: Path, arguments: Sequence[str], environment: dict[str, str]) -> Any:
        argv = self._argv(module, [*arguments, "--home", str(home), "--json"])
        done = subprocess.run(
            argv, cwd=REPOSITORY, env={**os.environ, **environment}, capture_output=True, text=True, timeout=300
        )
        if done.returncode not in (0, 3, 6):
            said = (done.stderr.strip() or done.stdout.strip())[-2000:]
            raise CommandFailed(f"{module} {arguments[0]} ended with {done.returncode}: {said}")
        return json.loads(done.stdout) if done.stdout.strip() else None
