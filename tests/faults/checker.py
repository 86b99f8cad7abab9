"""Whether a fault cost anything: the senders' log held against the hub's ledger and the recipients' stores.

The questions are those of RabbitMQ's own Jepsen suite (attempted, accepted, delivered, lost, unexpected,
duplicated, recovered), and two more: is it all proven, and does it say what was sent? The stores are read as they lie
on the disk, and what messages say as the recipients' systems read it.
"""

import contextlib
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import httpx2
from sqlalchemy import create_engine, func, select
from sqlalchemy.engine import Connection

from deploy.local.exchange import Exchange
from nodes import store
from schemas.control import Entry, Event
from tests.faults.load import ACCEPTED, Post

PATIENCE_S = 300.0
POLL_S = 0.5
PAGE = 500
# Which queues were never empty in some seconds of looking: the ingress queues first, for what is in them goes to the
# inboxes; the hub's canary is nobody's mail. Asked of the queues themselves, for `rabbitmqctl list_queues` shows what
# was up to 5 s ago; and it waits there, for to ask anew takes seconds of a machine that has much to do.
_NEVER_EMPTY = """
Busy = fun({_, Queue}) ->
    {ok, {_, Count}, _} = ra:leader_query(amqqueue:get_pid(Queue), fun rabbit_fifo:query_messages_total/1),
    Count > 0 end,
Wait = fun Again([], _) -> []; Again(Queues, 0) -> Queues;
    Again(Queues, Looks) -> timer:sleep(50), Again(lists:filter(Busy, Queues), Looks - 1) end,
Queues = [{element(4, amqqueue:get_name(Queue)), Queue} || Queue <- rabbit_amqqueue:list(<<"siex">>)],
Of = fun(Lane) -> [Found || {Name, _} = Found <- Queues, Name =/= <<"q.in.hub.canary">>,
    binary:longest_common_prefix([Name, Lane]) =:= byte_size(Lane)] end,
Ingress = Wait(Of(<<"q.in.">>), 100),
Inboxes = Wait(Of(<<"q.inbox.">>), 100),
[Name || {Name, _} <- Ingress ++ Inboxes].
"""

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
    refused: posts that their senders gave up without having been told that the message is safe.
    altered: held by a recipient whose system reads something else than was posted.
    unproven: without the hub's receipt, or a recipient's acknowledgement, at the sender.
    unsettled: queues in which something waits although all is there.
    """

    attempted: int
    accepted: int
    delivered: int
    recovered: int
    refused: tuple[str, ...]
    lost: tuple[str, ...]
    unexpected: tuple[str, ...]
    duplicated: tuple[str, ...]
    altered: tuple[str, ...]
    unproven: tuple[str, ...]
    unsettled: tuple[str, ...]
    chain: bool

    @property
    def passed(self) -> bool:
        """Nothing is wrong, the ledger verifies, and there was a load at all."""
        wrong = self.refused + self.lost + self.unexpected + self.duplicated + self.altered + self.unproven
        return not wrong and not self.unsettled and self.chain and self.accepted > 0

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


def check(
    exchange: Exchange,
    posts: Sequence[Post],
    since: Mark,
    patience: float = PATIENCE_S,
    *,
    may_refuse: bool = False,
) -> Verdict:
    """The verdict over `posts`, once nothing is missing and nothing is under way, or `patience` seconds have passed.

    `may_refuse`: the fault is one in which an agent cannot take what it is given, and says so.
    """
    end = time.monotonic() + patience
    while _is_missing(posts, _stores(exchange, since)) and time.monotonic() < end:
        time.sleep(POLL_S)
    unsettled = _unsettled(exchange, end)
    found = judge(posts, _stores(exchange, since), _record(exchange, since), _read(exchange, since))
    return replace(found, refused=() if may_refuse else found.refused, unsettled=unsettled)


def judge(posts: Sequence[Post], stores: Stores, record: Record, read: Mapping[Delivery, Any]) -> Verdict:
    """The verdict: what was accepted, or is kept by its sender's agent, must be everywhere once, and be proven.

    `read` has what the recipients' systems read.
    """
    promised = _promised(posts, stores)
    attempted = {delivery for post in posts for delivery in _deliveries(post)}
    strange = [item for item in {*stores.held, *record.delivered} if item not in attempted]
    ours = {_sent(post) for post in posts}
    strange += [(*item, "the hub") for item in record.accepted if item not in ours]
    delivered = [post for post in posts if all(item in stores.held for item in _deliveries(post))]
    unrecorded = [(*_sent(post), "the hub") for post in promised if _sent(post) not in record.accepted]
    entries_twice = [(*item, "the hub") for item in _twice(record.accepted)]
    return Verdict(
        attempted=len(posts),
        accepted=sum(post.accepted for post in posts),
        delivered=len(delivered),
        recovered=sum(any(answer != ACCEPTED for answer in post.answers) for post in delivered),
        refused=_names((*_sent(post), post.sender) for post in posts if not post.accepted),
        lost=_names([*unrecorded, *_unheld(promised, stores)]),
        unexpected=_names(sorted(strange)),
        # An inbox cannot hold a message twice, its table sees to that; that it must is what this says. What would be
        # seen is a second entry of the hub's.
        duplicated=_names([*entries_twice, *_twice(stores.held), *_twice(record.delivered)]),
        altered=_names(_altered(posts, stores, read)),
        unproven=_names(_unproven(promised, stores)),
        unsettled=(),
        chain=record.chain,
    )


def _is_missing(posts: Sequence[Post], stores: Stores) -> bool:
    promised = _promised(posts, stores)
    return bool(_unheld(promised, stores) or _unproven(promised, stores))


def _promised(posts: Sequence[Post], stores: Stores) -> list[Post]:
    return [post for post in posts if post.accepted or _sent(post) in stores.kept]


def _unheld(promised: Sequence[Post], stores: Stores) -> list[Delivery]:
    return [item for post in promised for item in _deliveries(post) if item not in stores.held]


def _unproven(promised: Sequence[Post], stores: Stores) -> list[Delivery]:
    receipts = [(*_sent(post), post.sender) for post in promised if _sent(post) not in stores.receipts]
    return receipts + [item for post in promised for item in _deliveries(post) if item not in stores.acknowledged]


def _altered(posts: Sequence[Post], stores: Stores, read: Mapping[Delivery, Any]) -> list[Delivery]:
    held = [(item, post.body) for post in posts for item in _deliveries(post) if item in stores.held]
    return [item for item, body in held if read.get(item) != body]


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


def _unsettled(exchange: Exchange, end: float) -> tuple[str, ...]:
    """Waits until each queue was empty once, for a copy of what is there may still come; what would not be, at `end`.

    Not all of them at one time, for the witnesses never rest.
    """
    while _held(exchange):
        if time.monotonic() > end:
            return ("held",)
        time.sleep(POLL_S)
    while left := _never_empty(exchange):
        if time.monotonic() > end:
            return left
    return ()


def _held(exchange: Exchange) -> int:
    return int(exchange.services.postgres.run_sql("SELECT count(*) FROM held"))


def _never_empty(exchange: Exchange) -> tuple[str, ...]:
    return tuple(re.findall(r'<<"(.+?)">>', exchange.services.broker.run_ctl(["eval", _NEVER_EMPTY])))


def _read(exchange: Exchange, since: Mark) -> dict[Delivery, Any]:
    found: dict[Delivery, Any] = {}
    for node in exchange.nodes:
        after = since.inboxes[node]
        with exchange.api(node) as api:
            while page := _page(api, after):
                found |= {(item["sender"], item["id"], node): item["body"] for item in page}
                after = page[-1]["seq"]
    return found


def _page(api: httpx2.Client, after: int) -> list[dict[str, Any]]:
    answer = api.get("/v1/inbox", params={"after": after, "limit": PAGE}).raise_for_status()
    found: list[dict[str, Any]] = answer.json()["messages"]
    return found


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
