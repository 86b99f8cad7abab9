"""Fan-out: the hub delivers messages to twelve recipients, counted in deliveries.

A message is one envelope with twelve wrapped keys around 4 KB of content, about 19 KB. The bare relay publishes
twelve copies of as many random bytes to the same inboxes, all in flight at once, and acknowledges when all are
confirmed.
"""

from typing import Final

from bench.drain import figure
from bench.figure import Figure, Target
from bench.load import SIZE, content_letters, sealer
from bench.place import Place
from bench.turn import HUB, RELAY, Work, rounds

TARGET: Final = Target(0.8)


def measure(place: Place, sender: str, messages: int, count: int) -> list[Figure]:
    """From one node to all others. Raises BenchFailed."""
    recipients = tuple(sorted(node for node in place.exchange.nodes if node != sender))
    envelope = sealer(place.exchange.node_home(sender), recipients)(content_letters(SIZE))
    work = Work(sender, recipients, messages, len(envelope))
    found = rounds(place, work, HUB, RELAY, count)
    return [figure("fanout_ratio", "deliveries/s", work, found, TARGET, f"{work.size} bytes to {len(recipients)}")]
