"""What the fault tests do and look at on the way. Every wait is bounded."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

from deploy.local.exchange import Exchange
from tests.faults.load import Post
from tests.system.play import until


def start_nodes(exchange: Exchange, *nodes: str) -> None:
    """Starts nodes' agents and waits for their connections."""
    for node in nodes:
        exchange.start_node(node)
    exchange.await_nodes(nodes)


def status(exchange: Exchange, node: str) -> dict[str, Any]:
    """A node's state as its API shows it."""
    with exchange.api(node) as api:
        found: dict[str, Any] = api.get("/v1/status").raise_for_status().json()
        return found


def waiting_at(exchange: Exchange, queue: str) -> int:
    """How many messages are in a queue at the broker, given to a consumer or not.

    Asked of the queue itself: `rabbitmqctl list_queues` shows what was up to 5 s ago.
    """
    query = f"""
    {{ok, Queue}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"siex">>, queue, <<"{queue}">>)),
    {{ok, {{_, Count}}, _}} = ra:leader_query(amqqueue:get_pid(Queue), fun rabbit_fifo:query_messages_total/1),
    Count.
    """
    return int(exchange.services.broker.run_ctl(["eval", query]))


def is_linked(exchange: Exchange, node: str) -> bool:
    """Whether a node's agent has its connections."""
    with exchange.api(node) as api:
        return bool(api.get("/v1/status").json()["link"]["connected"])


def await_links(exchange: Exchange) -> None:
    """Waits until all agents have their connections."""
    until("links up again", lambda: all(is_linked(exchange, node) for node in exchange.nodes))


def states(exchange: Exchange, posts: Sequence[Post]) -> set[str]:
    """What the senders' agents say of these messages."""
    said: dict[str, str] = {}
    for sender in {post.sender for post in posts}:
        wanted = {post.id for post in posts if post.sender == sender}
        with exchange.api(sender) as api:
            page: dict[str, Any] = {"before": None}
            while not wanted <= said.keys():
                options = {"limit": 500} if page["before"] is None else {"limit": 500, "before": page["before"]}
                page = api.get("/v1/messages", params=options).raise_for_status().json()
                said |= {message["id"]: str(message["state"]) for message in page["messages"]}
                if page["before"] is None:
                    break
    return {said[post.id] for post in posts}


def quarantined(exchange: Exchange) -> list[str]:
    """What the hub has in quarantine: SHA-256 of each, in hexadecimal, in the order of the ledger."""
    query = "SELECT encode(digest, 'hex') FROM quarantine ORDER BY leaf_index"
    return exchange.services.postgres.run_sql(query).split()


@contextlib.contextmanager
def policy(exchange: Exchange, pattern: str, definition: dict[str, Any]) -> Iterator[None]:
    """In place of the provisioner's policy, another one for the queues of this pattern, while the block runs."""
    ctl = exchange.services.broker.run_ctl
    options = ["--priority", "9", "--apply-to", "queues"]
    try:
        ctl(["set_policy", "-p", "siex", *options, "fault", pattern, json.dumps(definition)])
        yield
    finally:
        ctl(["clear_policy", "-p", "siex", "fault"])
