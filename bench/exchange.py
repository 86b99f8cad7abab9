"""The whole exchange at work: the hub and the agents of some routes, as processes of their own."""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from bench.place import BenchFailed, Place, Route
from bench.wire import Depths
from deploy.local.instance import say
from deploy.local.processes import Process

READY_S: Final = 30.0
LOOK_S: Final = 0.1


def start(place: Place, routes: Sequence[Route]) -> list[Process]:
    """Starts all and waits until all are ready; in the order in which they are to be ended, the hub last.

    Raises LocalError.
    """
    say("  starting the hub and the agents ...")
    nodes = [node for route in routes for node in (route.sender, route.recipient)]
    hub = place.exchange.start_hub()
    running = [*(place.exchange.start_node(node) for node in nodes), hub]
    try:
        place.exchange.await_nodes(nodes)
        asyncio.run(_await_hub(place, nodes[0]))
    except BaseException:
        place.end(*running)
        raise
    return running


async def _await_hub(place: Place, node: str) -> None:
    ingress = await Depths.ingress(place.exchange.node_home(node))
    try:
        until = time.monotonic() + READY_S
        while not await ingress.consumers():
            if time.monotonic() > until:
                raise BenchFailed(f"the hub takes nothing from {node} after {READY_S:.0f} s")
            await asyncio.sleep(LOOK_S)
    finally:
        await ingress.close()
