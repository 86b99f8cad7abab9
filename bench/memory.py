"""Memory: the resident size of hub, sending and receiving agent while a great many messages go through them.

All of them go the whole way, from the REST API of one agent to the receipt of the other's acknowledgement, as
fast as they will. Every second the kernel is asked for each process's resident size (VmRSS, proc(5)). The first
plateau is the median of the second tenth of the time, when everything is warm; the last is that of the last tenth.
"""

import time
from pathlib import Path
from statistics import median
from typing import Final

from bench import exchange
from bench.figure import Figure, Target
from bench.place import BenchFailed, Place, Route
from bench.record import check_recorded, recorded
from deploy.local import processes
from deploy.local.instance import say
from deploy.local.processes import Process

SAMPLE_S: Final = 1.0
# Far more than it takes: whoever is slower than this has stopped.
SLOWEST_PER_S: Final = 20
TARGET: Final = Target(1.2, at_most=True)


def measure(place: Place, route: Route, messages: int) -> list[Figure]:
    """How much larger each is in the end than when it was warm. Raises BenchFailed."""
    before = recorded(place)
    sender, recipient, hub = running = exchange.start(place, (route,))
    try:
        sizes = _sampled(place, route, messages, {"hub": hub, "sender": sender, "recipient": recipient})
        check_recorded(before, recorded(place), messages)
    finally:
        place.end(*running)
    found = {name: _plateaus(samples) for name, samples in sizes.items()}
    agent = max(("sender", "recipient"), key=lambda name: found[name][1] / found[name][0])
    return [_figure("memory_ratio_hub", "hub", found, messages), _figure("memory_ratio_agent", agent, found, messages)]


def _figure(name: str, process: str, found: dict[str, tuple[float, float]], messages: int) -> Figure:
    first, last = found[process]
    note = f"{process}, last beside first, over {messages} messages"
    details = {"messages": messages, "plateaus_mib": {who: [round(mib, 1) for mib in it] for who, it in found.items()}}
    return Figure(name, "MiB", last, first, last / first, TARGET, note, details=details)


def _sampled(place: Place, route: Route, messages: int, whose: dict[str, Process]) -> dict[str, list[float]]:
    sizes: dict[str, list[float]] = {name: [] for name in whose}
    home, limit = place.exchange.node_home(route.sender), messages / SLOWEST_PER_S
    say(f"  {messages} messages from agent to agent ...")
    wanted = _acknowledged(place) + messages
    options = ["--messages", str(messages), "--seconds", str(limit)]
    poster = place.start("post", f"{home}:{route.recipient}", *options, name="poster")
    until, tick = time.monotonic() + limit, 0
    while processes.alive(poster) or _acknowledged(place) < wanted:
        if time.monotonic() > until:
            raise BenchFailed(f"{messages} messages had not arrived after {limit:.0f} s")
        for name, process in whose.items():
            place.check_alive(process)
            sizes[name].append(_resident_mib(process))
        if tick % 60 == 0:
            say("  " + ", ".join(f"{name} {samples[-1]:.0f} MiB" for name, samples in sizes.items()))
        tick += 1
        time.sleep(SAMPLE_S)
    if (posted := place.result(poster, 1)["posted"]) != messages:
        raise BenchFailed(f"{posted} messages were posted, not {messages}")
    return sizes


def _acknowledged(place: Place) -> int:
    return int(place.exchange.services.postgres.run_sql("select count(*) from acknowledgement"))


def _resident_mib(process: Process) -> float:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    kib = next(line.split()[1] for line in lines if line.startswith("VmRSS:"))
    return int(kib) / 1024


def _plateaus(samples: list[float]) -> tuple[float, float]:
    tenth = len(samples) // 10
    if not tenth:
        raise BenchFailed(f"{len(samples)} seconds are too short to tell whether memory grows")
    return median(samples[tenth : 2 * tenth]), median(samples[-tenth:])
