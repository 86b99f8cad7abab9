"""Whether a fault cost anything: the senders' log held against the hub's ledger and the recipients' stores.

The questions are those of RabbitMQ's own Jepsen suite (attempted, accepted, delivered, lost, unexpected,
duplicated, recovered), and one more: is it all proven? The stores are read as they lie on the disk.
"""

import contextlib
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import create_engine, func, select
from sqlalchemy.engine import Connection

from deploy.local.exchange import Exchange
from nodes import store
from schemas.control import Entry, Event
from tests.faults.load import ACCEPTED, Post

PATIENCE_S = 300.0
POLL_S = 0.5

# Sender and id; the same and the recipient.
Sent = tuple[str, str]
Delivery = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Mark:
    """Where the stores and the ledger ended before the load; what comes later is the load's."""

    inboxes: Mapping[str, int]
    leaves: int


@dataclass(frozen=True, slots=True)
class Stores:
    """What the nodes have: kept and proven at the senders, held by the recipients."""

    kept: frozenset[Sent]
    receipts: frozenset[Sent]
    acknowledged: frozenset[Delivery]
    held: Counter[Delivery]


@dataclass(frozen=True, slots=True)
class Record:
    """What the hub has: how many entries of each kind, and whether the whole ledger verifies."""

    accepted: Counter[Sent]
    delivered: Counter[Delivery]
    chain: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """Messages are counted; what is wrong is named, `sender/id at place`.

    recovered: posts of which an attempt ended in an error, though the message was delivered in the end.
    unproven: without the hub's receipt, or a recipient's acknowledgement, at the sender.
    """

    attempted: int
    accepted: int
    delivered: int
    recovered: int
    lost: tuple[str, ...]
    unexpected: tuple[str, ...]
    duplicated: tuple[str, ...]
    unproven: tuple[str, ...]
    chain: bool

    @property
    def passed(self) -> bool:
        """Nothing is wrong, the ledger verifies, and there was a load at all."""
        wrong = self.lost + self.unexpected + self.duplicated + self.unproven
        return not wrong and self.chain and self.accepted > 0

    def as_json(self) -> dict[str, Any]:
        """The verdict as JSON has it."""
        return asdict(self) | {"passed": self.passed}


def mark(exchange: Exchange) -> Mark:
    """Where everything ends now."""
    inboxes = {}
    for node in exchange.nodes:
        with _reading(exchange, node) as connection:
            inboxes[node] = connection.scalar(select(func.max(store.inbox.c.seq))) or 0
    return Mark(inboxes, int(exchange.services.postgres.run_sql("SELECT count(*) FROM ledger_leaf")))


def check(exchange: Exchange, posts: Sequence[Post], since: Mark, patience: float = PATIENCE_S) -> Verdict:
    """The verdict over `posts`, once nothing is missing any more, or `patience` seconds have passed."""
    end = time.monotonic() + patience
    while True:
        stores = _stores(exchange, since)
        promised = _promised(posts, stores)
        missing = _unheld(promised, stores) or _unproven(promised, stores)
        if not missing or time.monotonic() > end:
            return judge(posts, stores, _record(exchange, since))
        time.sleep(POLL_S)


def judge(posts: Sequence[Post], stores: Stores, record: Record) -> Verdict:
    """The verdict: what was accepted, or is kept by its sender's agent, must be everywhere once, and be proven."""
    promised = _promised(posts, stores)
    attempted = {delivery for post in posts for delivery in _deliveries(post)}
    delivered = [post for post in posts if all(item in stores.held for item in _deliveries(post))]
    unrecorded = [(*_sent(post), "the hub") for post in promised if _sent(post) not in record.accepted]
    entries_twice = [(*item, "the hub") for item in _twice(record.accepted)]
    return Verdict(
        attempted=len(posts),
        accepted=sum(post.accepted for post in posts),
        delivered=len(delivered),
        recovered=sum(any(answer != ACCEPTED for answer in post.answers) for post in delivered),
        lost=_names([*unrecorded, *_unheld(promised, stores)]),
        unexpected=_names(item for item in stores.held if item not in attempted),
        duplicated=_names([*entries_twice, *_twice(stores.held), *_twice(record.delivered)]),
        unproven=_names(_unproven(promised, stores)),
        chain=record.chain,
    )


def _promised(posts: Sequence[Post], stores: Stores) -> list[Post]:
    return [post for post in posts if post.accepted or _sent(post) in stores.kept]


def _unheld(promised: Sequence[Post], stores: Stores) -> list[Delivery]:
    return [item for post in promised for item in _deliveries(post) if item not in stores.held]


def _unproven(promised: Sequence[Post], stores: Stores) -> list[Delivery]:
    receipts = [(*_sent(post), post.sender) for post in promised if _sent(post) not in stores.receipts]
    return receipts + [item for post in promised for item in _deliveries(post) if item not in stores.acknowledged]


def _sent(post: Post) -> Sent:
    return post.sender, post.id


def _deliveries(post: Post) -> list[Delivery]:
    return [(post.sender, post.id, recipient) for recipient in post.recipients]


def _twice(counted: Counter[Any]) -> list[Any]:
    return [item for item, times in counted.items() if times > 1]


def _names(found: Iterable[Delivery]) -> tuple[str, ...]:
    return tuple(f"{sender}/{id} at {place}" for sender, id, place in found)


def _stores(exchange: Exchange, since: Mark) -> Stores:
    kept: set[Sent] = set()
    receipts: set[Sent] = set()
    acknowledged: set[Delivery] = set()
    held: Counter[Delivery] = Counter()
    for node in exchange.nodes:
        with _reading(exchange, node) as connection:
            for row in connection.execute(_OUTBOX):
                kept.add((node, row.id))
                if row.state == "accepted" and row.receipt is not None:
                    receipts.add((node, row.id))
            done = connection.execute(_DELIVERED)
            acknowledged |= {(node, row.id, row.recipient) for row in done}
            arrived = connection.execute(_INBOX.where(store.inbox.c.seq > since.inboxes[node]))
            held.update((row.sender, row.id, node) for row in arrived)
    return Stores(frozenset(kept), frozenset(receipts), frozenset(acknowledged), held)


_OUTBOX = select(store.outbox.c.id, store.outbox.c.state, store.outbox.c.receipt)
_DELIVERED = select(store.delivery.c.id, store.delivery.c.recipient).where(store.delivery.c.outcome == "delivered")
_INBOX = select(store.inbox.c.sender, store.inbox.c.id).where(store.inbox.c.outcome == "delivered")


@contextlib.contextmanager
def _reading(exchange: Exchange, node: str) -> Iterator[Connection]:
    engine = create_engine(f"sqlite:///file:{exchange.node_home(node) / 'node.db'}?mode=ro&uri=true")
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def _record(exchange: Exchange, since: Mark) -> Record:
    rows = exchange.services.postgres.run_sql(
        f"SELECT encode(entry, 'hex') FROM ledger_content WHERE leaf_index >= {since.leaves}"  # noqa: S608 a number
    )
    accepted: Counter[Sent] = Counter()
    delivered: Counter[Delivery] = Counter()
    for row in rows.splitlines():
        entry = Entry.from_bytes(bytes.fromhex(row))
        if entry.event is Event.ACCEPTED:
            accepted[str(entry.sender), str(entry.message)] += 1
        elif entry.event is Event.DELIVERED:
            delivered[str(entry.sender), str(entry.message), entry.node] += 1
    return Record(accepted, delivered, bool(exchange.hub("ledger", "verify")["ok"]))
