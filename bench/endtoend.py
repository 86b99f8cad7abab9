"""End to end: from a post to an agent's REST API until the recipient's signed acknowledgement is in the ledger.

Senders and recipients run their agents, the hub runs, and integrators keep a number of requests in flight
at each sender for some seconds. The time runs from the first post to the last delivery that the ledger
records, so what was accepted faster than it could be delivered is paid for too. Every message counts only
if its sender holds the verified receipt and the recipient's acknowledgement.

Beside it, in the same run, the bare relay with a producer and a sink: the same routes, TLS and size of
messages. The comparison says what the whole exchange costs (storing twice with a sync to disk, sealing,
opening, signing and recording acknowledgements, HTTP), not what its hub costs: that is `bench.drain`.
"""

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import httpx2

from bench.load import SIZE, alert, letters_for, sealer
from bench.place import BenchFailed, Place, Route
from bench.poster import Poster
from bench.wire import Depths
from deploy.local.instance import say
from deploy.local.processes import Process

IN_FLIGHT: Final = 16
POST_S: Final = 10.0
ANSWER_S: Final = 30
DELIVER_S: Final = 60.0
PAGE: Final = 500
RELAY_S: Final = 8.0
RELAY_LIMIT_S: Final = 40.0


@dataclass(frozen=True, slots=True)
class EndToEnd:
    """Rates in messages per second. `posted_per_s` is how fast the agents took messages in."""

    relay_running_per_s: float
    messages_per_s: float
    posted_per_s: float
    messages: int

    @property
    def ratio(self) -> float:
        """The exchange's rate as a part of the relay's."""
        return self.messages_per_s / self.relay_running_per_s


def measure(place: Place, routes: tuple[Route, ...]) -> EndToEnd:
    """The relay with producer and sink, then the exchange. Raises BenchFailed."""
    asyncio.run(_empty(place))
    say(f"  relay with producer and sink, {RELAY_S:.0f} s ...")
    relayed = _relay_running(place, routes)
    say(f"  relay running: {relayed:.0f} messages/s")
    asyncio.run(_empty(place))
    say("  starting the hub and the agents ...")
    hub, agents = _start(place, routes)
    try:
        say(f"  posting for {POST_S:.0f} s, {IN_FLIGHT} in flight at each of {len(routes)} senders ...")
        rate, posted, messages = asyncio.run(_exchange(place, routes))
    finally:
        place.end(*agents, hub)
    say(f"  end to end: {rate:.0f} messages/s")
    return EndToEnd(relayed, rate, posted, messages)


def _relay_running(place: Place, routes: tuple[Route, ...]) -> float:
    senders = [str(place.exchange.node_home(route.sender)) for route in routes]
    recipients = [str(place.exchange.node_home(route.recipient)) for route in routes]
    relay = place.start("relay", str(place.exchange.hub_home), *map(str, routes), name="relay")
    sink = place.start("traffic", "sink", *recipients, "--seconds", str(RELAY_S), name="sink")
    producer = place.start("traffic", "produce", *senders, name="producer")
    try:
        found = place.result(sink, RELAY_LIMIT_S)
    finally:
        # The relay last: it empties the ingress queues, so that nothing is left for the hub to refuse.
        place.end(producer)
        asyncio.run(_await_empty(place, routes))
        place.end(relay)
    return float(found["received"]) / float(found["seconds"])


async def _await_empty(place: Place, routes: tuple[Route, ...]) -> None:
    until = time.monotonic() + DELIVER_S
    for route in routes:
        ingress = await Depths.ingress(place.exchange.node_home(route.sender))
        while await ingress.read():
            if time.monotonic() > until:
                raise BenchFailed(f"the relay has not emptied {route.sender}'s ingress queue")
            await asyncio.sleep(0.1)
        await ingress.close()
    await asyncio.sleep(0.5)


async def _empty(place: Place) -> None:
    for node in place.exchange.nodes:
        inbox = await Depths.inbox(place.exchange.node_home(node))
        await inbox.purge()
        await inbox.close()


def _start(place: Place, routes: tuple[Route, ...]) -> tuple[Process, list[Process]]:
    nodes = [node for route in routes for node in (route.sender, route.recipient)]
    hub = place.exchange.start_hub()
    agents = [place.exchange.start_node(node) for node in nodes]
    place.exchange.await_nodes(nodes)
    return hub, agents


async def _exchange(place: Place, routes: tuple[Route, ...]) -> tuple[float, float, int]:
    clients = {route: _client(place, route.sender) for route in routes}
    letters = {
        route: letters_for(SIZE, sealer(place.exchange.node_home(route.sender), route.recipient)) for route in routes
    }
    begin, began = time.monotonic(), time.time()
    posting = [
        _post(clients[route], route, letters[route], begin + POST_S) for route in routes for _ in range(IN_FLIGHT)
    ]
    counts = await asyncio.gather(*posting)
    posted = sum(counts)
    rate_in = posted / (time.monotonic() - begin)
    say(f"  {posted} posted ({rate_in:.0f}/s); waiting until all are delivered ...")
    until = time.monotonic() + DELIVER_S
    last = max(await asyncio.gather(*(_await_delivered(client, until) for client in clients.values())))
    for client in clients.values():
        await client.aclose()
    return posted / (last - began), rate_in, posted


def _client(place: Place, node: str) -> httpx2.AsyncClient:
    with place.exchange.api(node) as api:
        return httpx2.AsyncClient(base_url=api.base_url, headers=api.headers, timeout=30)


async def _post(client: httpx2.AsyncClient, route: Route, letters: int, until: float) -> int:
    count = 0
    poster = await Poster.connect(client)
    while time.monotonic() < until:
        async with asyncio.timeout(ANSWER_S):
            await poster.post(
                {"kind": "alert", "task_force": "trafficking", "to": [route.recipient], "body": alert(letters)}
            )
        count += 1
    poster.close()
    return count


async def _await_delivered(client: httpx2.AsyncClient, until: float) -> float:
    """When the ledger recorded the last delivery of this sender's messages, in seconds since the epoch."""
    # Counting is cheap for an agent, listing is not: list only once everything has its receipt.
    while time.monotonic() < until:
        counts = (await client.get("/v1/status")).json()["counts"]
        if not counts.get("queued") and not counts.get("sent"):
            messages = await _listed(client)
            times = [_delivered(message) for message in messages]
            if all(times):
                return max(times, default=0.0)
        await asyncio.sleep(0.5)
    raise BenchFailed(f"not everything was delivered {DELIVER_S:.0f} s after the last post")


async def _listed(client: httpx2.AsyncClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    before: int | None = None
    while True:
        parameters = {"limit": PAGE} if before is None else {"limit": PAGE, "before": before}
        page = (await client.get("/v1/messages", params=parameters)).json()
        found += page["messages"]
        before = page["before"]
        if before is None:
            return found


def _delivered(message: dict[str, Any]) -> float:
    """When the last recipient's acknowledgement was recorded; 0 if one is missing or the receipt is."""
    deliveries = message["deliveries"]
    settled = message["state"] == "accepted" and message["receipt_verified"]
    if not settled or any(item["state"] != "delivered" for item in deliveries):
        return 0.0
    return max(datetime.fromisoformat(item["at"]).timestamp() for item in deliveries)
