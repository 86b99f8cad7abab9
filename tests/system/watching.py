"""What a test sees of an attack: what broker and hub write about it, and whether the neighbours' mail goes on."""

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from deploy.local.exchange import Exchange
from tests.system.play import await_delivered, inbox, post, until


@dataclass(frozen=True)
class Log:
    """What is written to a log file from now on."""

    path: Path
    begin: int

    @classmethod
    def of_broker(cls, exchange: Exchange) -> Self:
        """RabbitMQ's log."""
        broker = exchange.services.broker
        return cls._from_now_on(broker.home / "log" / f"{broker.node}.log")

    @classmethod
    def of(cls, exchange: Exchange, name: str) -> Self:
        """That of a process of the exchange."""
        return cls._from_now_on(exchange.logs / f"{name}.log")

    @classmethod
    def _from_now_on(cls, path: Path) -> Self:
        return cls(path, path.stat().st_size)

    def text(self) -> str:
        """All of it."""
        return self.path.read_bytes()[self.begin :].decode(errors="replace")

    def await_words(self, *words: str) -> None:
        """Waits until every one of `words` is in it."""
        until(f"{words} in {self.path.name}", lambda: all(word in self.text() for word in words))


def check_on_record(exchange: Exchange, node: str, body: bytes, code: str) -> None:
    """Waits until the ledger has what a node published as refused or quarantined with `code`."""
    until(f"{code} on record for {node}", lambda: _verdict(exchange, node, body) == code)


def check_refused(exchange: Exchange, log: Log, node: str, body: bytes, code: str) -> None:
    """`check_on_record`, and that the hub has logged it."""
    check_on_record(exchange, node, body, code)
    log.await_words(f'"{node}"', f'"{code}"')


def _verdict(exchange: Exchange, node: str, body: bytes) -> str:
    key = f"node = '{node}' AND {{}} = '\\x{hashlib.sha256(body).hexdigest()}'"
    query = (
        f"SELECT code FROM refusal WHERE {key.format('envelope')} "  # noqa: S608 ours
        f"UNION ALL SELECT reason FROM quarantine WHERE {key.format('digest')}"
    )
    return exchange.services.postgres.run_sql(query)


def check_neighbours_served(exchange: Exchange) -> None:
    """A message between two nodes that have nothing to do with the attack is delivered and proven."""
    await_delivered(exchange, [("ro", post(exchange, "ro", to=["bg"]))])


def holders(exchange: Exchange, id: str) -> Counter[str]:
    """Which nodes have a message in their inbox, and how many times."""
    return Counter(node for node in exchange.nodes for message in inbox(exchange, node) if message["id"] == id)
