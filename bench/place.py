"""Where it is measured: a private broker and database in `.local/bench`, made anew, and processes on them.

Relay, hub, agents and load are processes of their own, as in operation, and all end with the benchmark,
however it dies (deploy.local.services.running). The helpers print one JSON line when they are done.
"""

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from deploy.local import instance, processes
from deploy.local.errors import LocalError
from deploy.local.exchange import Exchange, prepare_tls
from deploy.local.instance import REPOSITORY
from deploy.local.processes import Process
from deploy.local.services import running

FOLDER: Final = REPOSITORY / ".local" / "bench"
POLL_S: Final = 0.05


class BenchFailed(LocalError):
    """A measurement did not come to its end, or what it measured was not the work it should have been."""

    code = "bench_failed"


@dataclass(frozen=True, slots=True)
class Route:
    """Who sends to whom. A relay forwards one's ingress queue to the other's inbox, and so does the hub."""

    sender: str
    recipient: str

    def __str__(self) -> str:
        return f"{self.sender}:{self.recipient}"

    @classmethod
    def parse(cls, text: str) -> "Route":
        """What `str` wrote."""
        sender, recipient = text.split(":")
        return cls(sender, recipient)


@dataclass(frozen=True, slots=True)
class Place:
    """A set-up exchange with nothing running on it yet but broker and database."""

    exchange: Exchange

    def start(self, module: str, *arguments: str, name: str) -> Process:
        """Starts a helper of this room, `python -m bench.<module>`, with a fresh log."""
        exchange = self.exchange
        log = exchange.logs / f"{name}.log"
        log.unlink(missing_ok=True)
        argv = [sys.executable, "-m", f"bench.{module}", *arguments]
        return processes.spawn(exchange.folder, name, argv, env=os.environ.copy(), log=log, cwd=REPOSITORY)

    def result(self, process: Process, seconds: float) -> dict[str, Any]:
        """Waits for a helper to end and returns what it printed. Raises BenchFailed."""
        until = time.monotonic() + seconds
        while processes.alive(process):
            if time.monotonic() > until:
                processes.kill(self.exchange.folder, [process])
                raise BenchFailed(f"{process.name} was not done after {seconds:.0f} s; {self.tail(process)}")
            time.sleep(POLL_S)
        last = processes.last_lines(self.exchange.logs / f"{process.name}.log", 1)
        try:
            found: dict[str, Any] = json.loads(last)
        except ValueError:
            raise BenchFailed(f"{process.name} failed; {self.tail(process)}") from None
        return found

    def end(self, *those: Process) -> None:
        """Ends processes in order."""
        processes.end(self.exchange.folder, those)

    def check_alive(self, process: Process) -> None:
        """Raises BenchFailed if a process that should be at work has ended."""
        if not processes.alive(process):
            raise BenchFailed(f"{process.name} ended too early; {self.tail(process)}")

    def tail(self, process: Process) -> str:
        """The end of a process's log, for an error message."""
        log = self.exchange.logs / f"{process.name}.log"
        return f"log {log}\n{processes.last_lines(log, 5)}"


@contextlib.contextmanager
def place(nodes: tuple[str, ...]) -> Iterator[Place]:
    """An exchange of these nodes, set up with its own commands, while the block runs. Raises LocalError."""
    instance.discard(FOLDER)
    FOLDER.mkdir(mode=0o700, parents=True)
    with running(FOLDER, prepare_tls(FOLDER)) as services:
        exchange = Exchange(FOLDER, services, nodes)
        exchange.set_up()
        yield Place(exchange)


def versions(place: Place) -> dict[str, Any]:
    """The machine, for whoever compares figures."""
    services = place.exchange.services
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": sys.version.split()[0],
        "rabbitmq": services.broker.run_ctl(["version"]).strip(),
        "postgresql": services.postgres.run_sql("show server_version").split()[0],
    }
