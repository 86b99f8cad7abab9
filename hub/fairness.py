"""Who gets how much of the hub: pure arithmetic, no clock and no broker of its own."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass


def share(ready: Mapping[str, int], total: int, each: int, turn: int) -> dict[str, int]:
    """Divides a batch of at most `total` between nodes with `ready` messages; nobody gets more than `each`.

    All get the same, but for those who want less; what they leave goes to the others. `turn` says who comes
    first where the rest does not go round.
    """
    wanted = {node: min(count, each) for node, count in ready.items() if count}
    names = sorted(wanted)
    start = turn % len(names) if names else 0
    order = names[start:] + names[:start]
    got = dict.fromkeys(order, 0)
    left = total
    while left and order:
        portion = max(1, left // len(order))
        for node in order:
            more = min(portion, wanted[node] - got[node], left)
            got[node] += more
            left -= more
        order = [node for node in order if got[node] < wanted[node]]
    return {node: count for node, count in got.items() if count}


@dataclass(slots=True)
class Allowance:
    """A token bucket: `burst` messages at once, `rate` messages per second in the long run.

    Times are seconds of the monotonic clock.
    """

    rate: float
    burst: int
    _spent: float = 0.0
    _at: float = 0.0

    def grant(self, wanted: int, now: float) -> int:
        """How many of the wanted messages may go now."""
        return min(wanted, int(self.burst - self._owed(now)))

    def spend(self, count: int, now: float) -> None:
        """Takes so many, granted or not; what is more than `burst` is forgiven."""
        self._spent, self._at = min(self._owed(now) + count, self.burst), now

    def _owed(self, now: float) -> float:
        return max(0.0, self._spent - (now - self._at) * self.rate)


def place_of(address: str) -> str:
    """What counts as one caller: an IPv4 address, or the /64 that an IPv6 address is in."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(known, ipaddress.IPv4Address):
        return address
    # So a socket for both calls them: all of IPv4 is no one caller.
    if known.ipv4_mapped is not None:
        return str(known.ipv4_mapped)
    return str(ipaddress.ip_network(f"{address}/64", strict=False))
