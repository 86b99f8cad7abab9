"""Growth: how fast the hub drains a queue with a million entries in its ledger, beside an empty ledger.

A bare relay takes a turn beside each drain, before and after: its rate knows nothing of the ledger, so what it
changes by is the machine's doing, and each of the hub's rates counts as a part of the relay's beside it.
"""

from statistics import median
from typing import Final

from bench import history
from bench.figure import Figure, Target, most
from bench.place import BenchFailed, Place, Route
from bench.turn import HUB, RELAY, Work, rounds
from deploy.local.instance import say

TARGET: Final = Target(0.9)


def measure(place: Place, route: Route, messages: int, count: int, entries: int) -> list[Figure]:
    """So many rounds before and after so many entries were written. Raises BenchFailed."""
    work = Work(route.sender, (route.recipient,), messages)
    say("  before:")
    empty = rounds(place, work, HUB, RELAY, count)
    history.write(place, route, entries)
    say("  after:")
    full = rounds(place, work, HUB, RELAY, count)
    size = place.exchange.hub("ledger", "verify")["size"]
    if size < entries:
        raise BenchFailed(f"the ledger has {size} entries, not {entries}")
    parts = [median(item.ratio for item in found) for found in (full, empty)]
    ours, beside = (median(item.ours.per_s for item in found) for found in (full, empty))
    others = most([turn.others for item in (*full, *empty) for turn in (item.ours, item.beside)])
    note = f"with {size} entries, beside empty; the ratio is of {parts[0]:.2f} and {parts[1]:.2f} of the relay's rate"
    details = {"messages": messages, "entries": size, "by_relay": [round(part, 3) for part in parts]}
    return [Figure("growth_ratio", "messages/s", ours, beside, parts[0] / parts[1], TARGET, note, others, details)]
