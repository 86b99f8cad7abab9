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
    ours, beside = (median(item.ours.per_s for item in found) for found in (full, empty))
    parts = {"full": median(item.ratio for item in full), "empty": median(item.ratio for item in empty)}
    others = most([turn.others for item in (*full, *empty) for turn in (item.ours, item.beside)])
    note = f"{size} entries beside {2 * count * messages - messages} or fewer, each by the relay's rate"
    details = {
        "messages": messages,
        "entries": size,
        **{f"{name}_by_relay": round(it, 3) for name, it in parts.items()},
    }
    ratio = parts["full"] / parts["empty"]
    return [Figure("growth_ratio", "messages/s", ours, beside, ratio, TARGET, note, others, details)]
