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
from datetime import datetime
from typing import Any, Final

import httpx2

from bench import exchange
from bench.busy import look, others_between
from bench.figure import Figure, Target
from bench.place import BenchFailed, Place, Route
from bench.post import IN_FLIGHT
from bench.turn import empty_inboxes
from bench.wire import Depths
from deploy.local.instance import say

TARGET: Final = Target(0.3)
POST_S: Final = 10.0
# With the poster's own start.
POST_LIMIT_S: Final = 40.0
DELIVER_S: Final = 60.0
PAGE: Final = 500
# Before the exchange, and after it once more: the machine's speed drifts within a minute.
RELAY_S: Final = 5.0
RELAY_LIMIT_S: Final = 40.0


def measure(place: Place, routes: tuple[Route, ...]) -> list[Figure]:
    """The relay with producer and sink, then the exchange, then the relay again. Raises BenchFailed."""
    begin = look(place.exchange.folder)
    before = _relay_running(place, routes)
    running = exchange.start(place, routes)
    try:
        say(f"  posting for {POST_S:.0f} s, {IN_FLIGHT} in flight at each of {len(routes)} senders ...")
        rate, posted, messages = _exchange(place, routes)
    finally:
        place.end(*running)
    say(f"  end to end: {rate:.0f} messages/s")
    relayed = (before + _relay_running(place, routes)) / 2
    others = others_between(begin, look(place.exchange.folder))
    note = f"REST to the acknowledgement's receipt; agents took in {posted:.0f}/s"
    details = {"messages": messages, "posted_per_s": round(posted)}
    return [Figure("e2e_ratio", "messages/s", rate, relayed, rate / relayed, TARGET, note, others, details)]


def _relay_running(place: Place, routes: tuple[Route, ...]) -> float:
    asyncio.run(empty_inboxes(place))
    say(f"  relay with producer and sink, {RELAY_S:.0f} s ...")
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
    asyncio.run(empty_inboxes(place))
    rate = float(found["received"]) / float(found["seconds"])
    say(f"  relay running: {rate:.0f} messages/s")
    return rate


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


def _exchange(place: Place, routes: tuple[Route, ...]) -> tuple[float, float, int]:
    targets = [f"{place.exchange.node_home(route.sender)}:{route.recipient}" for route in routes]
    poster = place.start("post", *targets, "--seconds", str(POST_S), name="poster")
    posted = place.result(poster, POST_LIMIT_S)
    rate_in = posted["posted"] / posted["seconds"]
    say(f"  {posted['posted']} posted ({rate_in:.0f}/s); waiting until all are delivered ...")
    until = time.monotonic() + DELIVER_S
    listed = [message for route in routes for message in _await_delivered(place, route.sender, posted["begun"], until)]
    if len(listed) != posted["posted"]:
        raise BenchFailed(f"{len(listed)} messages were delivered, not {posted['posted']}")
    last = max(map(_delivered_at, listed))
    return len(listed) / (last - posted["begun"]), rate_in, len(listed)


def _await_delivered(place: Place, sender: str, since: float, until: float) -> list[dict[str, Any]]:
    """A sender's messages, once it holds the receipts of all and of their deliveries. Raises BenchFailed."""
    # Counting is cheap for an agent, listing is not: list only once everything has its receipt.
    with place.exchange.api(sender) as client:
        while time.monotonic() < until:
            counts = client.get("/v1/status").json()["counts"]
            if not counts.get("queued") and not counts.get("sent"):
                messages = _listed(client, since)
                if all(_delivered_at(message) for message in messages):
                    return messages
            time.sleep(0.5)
    raise BenchFailed(f"not everything from {sender} was delivered in time")


def _listed(client: httpx2.Client, since: float) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    before: int | None = None
    while True:
        parameters = {"limit": PAGE} if before is None else {"limit": PAGE, "before": before}
        page = client.get("/v1/messages", params=parameters).json()
        new = [message for message in page["messages"] if _seconds(message["times"]["queued"]) >= since]
        found += new
        before = page["before"]
        if before is None or len(new) < len(page["messages"]):
            return found


def _delivered_at(message: dict[str, Any]) -> float:
    # In seconds since the epoch; 0 if a delivery is missing, or the receipt.
    deliveries = message["deliveries"]
    settled = message["state"] == "accepted" and message["receipt_verified"]
    if not settled or any(item["state"] != "delivered" for item in deliveries):
        return 0.0
    return max(_seconds(item["at"]) for item in deliveries)


def _seconds(iso: str) -> float:
    return datetime.fromisoformat(iso).timestamp()
