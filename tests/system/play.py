"""What a test does on a running exchange: post, wait, look. Every wait is bounded."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
from aio_pika.exceptions import AMQPError

from deploy.local import processes
from deploy.local.attacker import open_connection, publish
from deploy.local.exchange import Exchange
from deploy.local.processes import Process

PATIENCE_S = 60.0
LONGEST_S = 600.0
# Less than 5 s are promised, and a program that is deaf to its stop would need all of these.
END_S = 10.0
ALERT: dict[str, Any] = {
    "kind": "alert",
    "task_force": "fraud",
    "body": {"title": "Lorry with double floor", "text": "White lorry, plate B 99 XYZ."},
}


def post(exchange: Exchange, node: str, **changes: Any) -> str:
    """Posts an alert, altered by `changes`, and returns its id."""
    with exchange.api(node) as api:
        answer = api.post("/v1/messages", json=ALERT | changes)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


@contextmanager
def talking(exchange: Exchange, *ways: tuple[str, str], pause_s: float = 0.1) -> Iterator[list[tuple[str, str]]]:
    """Sends along each way until the block ends; who sent what. Fails if it could not go on until then."""
    sent: list[tuple[str, str]] = []
    end, last = threading.Event(), time.monotonic() + LONGEST_S

    def talk() -> None:
        while not end.wait(pause_s) and time.monotonic() < last:
            for sender, recipient in ways:
                # Of an agent that is being started again nothing is accepted.
                with suppress(httpx2.HTTPError, OSError):
                    sent.append((sender, post(exchange, sender, to=[recipient])))

    with ThreadPoolExecutor(1) as pool:
        load = pool.submit(talk)
        try:
            yield sent
        finally:
            end.set()
            # Also if the block has failed: an answer that is not the expected one may be why.
            load.result()


def state(exchange: Exchange, node: str, id: str) -> dict[str, Any]:
    """A sent message as its sender's API shows it."""
    with exchange.api(node) as api:
        found: dict[str, Any] = api.get(f"/v1/messages/{id}").raise_for_status().json()
        return found


def inbox(exchange: Exchange, node: str) -> list[dict[str, Any]]:
    """All of a node's inbox, read page by page."""
    messages: list[dict[str, Any]] = []
    with exchange.api(node) as api:
        after = 0
        while page := api.get("/v1/inbox", params={"after": after, "limit": 500}).raise_for_status().json()["messages"]:
            messages += page
            after = page[-1]["seq"]
    return messages


def until(what: str, condition: Callable[[], bool]) -> None:
    """Waits for a condition; fails with `what` if it does not come true in time."""
    deadline = (begun := time.monotonic()) + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S:.0f} s: {what}"
        # Who asks a program of ours takes a whole core while it starts, and what is waited for needs it, too.
        time.sleep(max(0.1, time.monotonic() - begun))
        begun = time.monotonic()


def _is_delivered_at(exchange: Exchange, sender: str, id: str) -> bool:
    found = state(exchange, sender, id)
    every = all(delivery["state"] == "delivered" for delivery in found["deliveries"])
    return found["state"] == "accepted" and found["receipt_verified"] and every


def await_delivered(exchange: Exchange, posted: Iterable[tuple[str, str]]) -> None:
    """Waits until all posted messages (sender, id) are accepted and all recipients' acknowledgements proven."""
    for sender, id in posted:
        until(f"{id} of {sender} delivered", partial(_is_delivered_at, exchange, sender, id))


def check_nothing_lost(exchange: Exchange, posted: Iterable[tuple[str, str]], nodes: Iterable[str]) -> None:
    """Every recipient holds each of the posted messages once, nobody holds an unexpected one, the ledger verifies."""
    known = tuple(posted)
    expected: dict[str, Counter[str]] = {node: Counter() for node in nodes}
    for sender, id in known:
        for recipient in state(exchange, sender, id)["recipients"]:
            expected[recipient][id] += 1
    ours = {id for _, id in known}
    for node, wanted in expected.items():
        held = Counter(message["id"] for message in inbox(exchange, node) if message["id"] in ours)
        assert held == wanted, f"inbox of {node}: lost {wanted - held}, unexpected or twice {held - wanted}"
    assert exchange.hub("ledger", "verify")["ok"] is True


def process(folder: Path, name: str) -> Process:
    """A process of the exchange by its name."""
    return next(found for found in processes.recorded(folder) if found.name == name)


def end(exchange: Exchange, *names: str) -> None:
    """Ends processes of the exchange in order; those that have ended already are no error, one that does not end is."""
    ours = [found for found in processes.recorded(exchange.folder) if found.name in names]
    killed = processes.end(exchange.folder, ours, END_S)
    assert not killed, f"did not end when told to: {killed}"


def start_missing(exchange: Exchange, *names: str) -> None:
    """Starts hub workers and nodes' agents (`node-ro`), except those that run: two of one name would be in a muddle."""
    running = {found.name for found in processes.recorded(exchange.folder)}
    for name in names:
        if name in running:
            continue
        if name.startswith("node-"):
            exchange.start_node(name.removeprefix("node-"))
        else:
            exchange.start_hub(name)


def kill(exchange: Exchange, name: str) -> None:
    """SIGKILL to a process of the exchange."""
    processes.kill(exchange.folder, [process(exchange.folder, name)])


def lose_keys(exchange: Exchange, node: str, *terms: str) -> tuple[Path, str]:
    """A node's folder is lost, and it asks to come back with new keys; where the folder is, and the request's words."""
    home = exchange.node_home(node)
    lost, token, request = home.with_name(f"{node}.lost"), exchange.folder / "token", exchange.folder / "join.json"
    home.rename(lost)
    exchange.hub("invite", node, "--agency", "police,customs", "--replace-keys", "--out", str(token), *terms)
    waits = exchange.node(node, "join", "--hub", str(request), "--token-file", str(token))
    exchange.hub("requests", "import", str(request))
    return lost, str(waits["words"])


def come_back(exchange: Exchange, node: str) -> None:
    """The node whose new keys were approved is welcomed, and runs."""
    answer = exchange.folder / "answer.json"
    exchange.hub("requests", "export", node, "--out", str(answer))
    assert exchange.node(node, "join", "--hub", str(answer), "--lost-keys")["stage"] == "enrolled"
    exchange.start_node(node)
    exchange.await_nodes([node])


def put_out(home: Path, work: Callable[[], Any]) -> Any:
    """Does something while somebody is connected under a node's certificate: it puts him out, and he stays out."""
    return asyncio.run(_put_out(home, work))


async def _put_out(home: Path, work: Callable[[], Any]) -> Any:
    thief, closed = await open_connection(home), asyncio.Event()
    thief.close_callbacks.add(lambda *_: closed.set())
    done = await asyncio.to_thread(work)
    async with asyncio.timeout(PATIENCE_S):
        await closed.wait()
    await keep_out(home)
    return done


async def keep_out(home: Path) -> None:
    """Nobody can connect under the certificate in that folder."""
    with pytest.raises(AMQPError, match="ACCESS_REFUSED"):
        await open_connection(home)


async def bury(exchange: Exchange, letters: list[tuple[str, bytes, str]]) -> None:
    """Publishes letters (queue, body, type) that become dead letters at once, as if workers had died of them."""
    # Through queues whose messages the broker expires to `dlx`, while no hub is there to take them.
    broker = exchange.services.broker
    for queue, body, kind in letters:
        node = queue.removeprefix("q.in.")
        end(exchange, "hub")
        broker.run_ctl(
            [
                "set_policy",
                "-p",
                "siex",
                "--priority",
                "9",
                "--apply-to",
                "queues",
                "bury",
                f"^{queue}$",
                '{"message-ttl": 1, "dead-letter-exchange": "dlx"}',
            ]
        )
        await publish(exchange.node_home(node), [body], kind)
        await asyncio.sleep(1)
        broker.run_ctl(["clear_policy", "-p", "siex", "bury"])
        exchange.start_hub()
