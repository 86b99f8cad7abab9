"""A RabbitMQ cluster of three on one machine: quorum queues have three members, and can lose one.

with running_cluster(folder, tls) as services:      # a database too, and one way in that leads to all three
    cluster = services.cluster
"""

import contextlib
import json
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.local import broker as brokers
from deploy.local import postgres as databases
from deploy.local import programs
from deploy.local.broker import Broker, TlsFiles
from deploy.local.errors import CommandFailed
from deploy.local.instance import owned_while_running, say
from deploy.local.ports import free_ports
from deploy.local.postgres import Postgres
from deploy.local.programs import Programs

SIZE = 3


@dataclass(frozen=True, slots=True)
class Cluster:
    """Brokers that are one: what is on one is on all, queues have a leader on one and copies on the others."""

    brokers: tuple[Broker, ...]

    def start(self) -> None:
        """Starts all, which form the cluster the first time. Raises StartFailed."""
        with ThreadPoolExecutor(len(self.brokers)) as pool:
            list(pool.map(Broker.start, self.brokers))

    def leader(self, vhost: str, queue: str) -> Broker | None:
        """Where the queue's leader is; None while there is none."""
        name = self._queue(vhost, queue).get("leader")
        return next((broker for broker in self.brokers if broker.node == name), None)

    def members(self, vhost: str, queue: str) -> int:
        """How many of the queue's members are up."""
        return len(self._queue(vhost, queue).get("online", ()))

    def _queue(self, vhost: str, queue: str) -> dict[str, Any]:
        # As the first node has it that knows of it: one that is cut off answers that there are none.
        columns = ("name", "leader", "online")
        for broker in self.brokers:
            with contextlib.suppress(CommandFailed):
                listed = json.loads(broker.run_ctl(["list_queues", "-p", vhost, "--formatter", "json", *columns]))
                found: dict[str, Any] = next((item for item in listed if item["name"] == queue), {})
                if found:
                    return found
        return {}

    def cut_off(self, broker: Broker) -> None:
        """Parts one from the others, as a broken line between sites would; clients reach it as before."""
        others = [other for other in self.brokers if other is not broker]
        for other in others:
            # Each with a secret of its own for the other side: so they cannot connect again.
            _evaluate(other, _cookie(broker, f"'{secrets.token_hex(8)}'"))
        parted = [_cookie(other, f"'{secrets.token_hex(8)}'") for other in others]
        # At one blow: Erlang takes a node that loses the others one by one for a fault of those, and drops them too.
        _evaluate(broker, ", ".join([*parted, "[erlang:disconnect_node(Node) || Node <- nodes()]"]))

    def join(self, broker: Broker) -> None:
        """Ends `cut_off`; the cluster heals by itself."""
        for other in self.brokers:
            if other is not broker:
                _evaluate(other, _cookie(broker, "erlang:get_cookie()"))
                _evaluate(broker, _cookie(other, "erlang:get_cookie()"))


@contextlib.contextmanager
def running_cluster(folder: Path, tls: TlsFiles) -> Iterator[tuple[Cluster, Postgres]]:
    """Runs a cluster and a database in `folder` while the block runs; their data goes with them.

    Raises ProgramsMissing, AlreadyRunning, StartFailed.
    """
    found = programs.find_or_install()
    with contextlib.ExitStack() as stack:
        stack.enter_context(owned_while_running(folder, erase_after=True))
        cluster = _create(folder, found, tls)
        cluster.brokers[0].start_epmd(folder)
        for broker in cluster.brokers:
            stack.enter_context(owned_while_running(broker.folder, erase_after=True))
        say("starting a cluster of RabbitMQ, and PostgreSQL ...")
        cluster.start()
        postgres = databases.create(folder, found)
        postgres.start()
        databases.create_roles(postgres)
        yield cluster, postgres


def _create(folder: Path, found: Programs, tls: TlsFiles) -> Cluster:
    epmd_port, *ports = free_ports(1 + 2 * SIZE)
    names = tuple(f"seci-{secrets.token_hex(4)}-{number}@localhost" for number in range(SIZE))
    secret = secrets.token_hex(32)
    made = []
    for name, port, dist_port in zip(names, ports[:SIZE], ports[SIZE:], strict=True):
        broker = Broker(
            folder=folder.resolve() / name.partition("@")[0],
            binaries=found.rabbitmq,
            epmd=found.epmd,
            node=name,
            port=port,
            dist_port=dist_port,
            epmd_port=epmd_port,
            tls=tls.resolved(),
            peers=names,
        )
        broker.folder.mkdir()
        brokers.prepare(broker, secret)
        made.append(broker)
    return Cluster(tuple(made))


def _cookie(other: Broker, secret: str) -> str:
    """The Erlang expression that changes the secret under which a node knows another."""
    return f"erlang:set_cookie('{other.node}', {secret})"


def _evaluate(broker: Broker, expression: str) -> None:
    broker.run_ctl(["eval", f"{expression}."])
