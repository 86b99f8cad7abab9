"""How much of the machine others took while something was measured. Beside a busy neighbour a rate says little."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.local import processes

# More than this, in cores, and a figure is marked.
DISTURBED: Final = 0.25


@dataclass(frozen=True, slots=True)
class Busy:
    """Seconds of processor time, since the start, of the whole machine and of the benchmark's processes."""

    at: float
    machine: float
    ours: float

    def others_since(self, before: "Busy") -> float:
        """How many cores others kept busy in between."""
        theirs = (self.machine - before.machine) - (self.ours - before.ours)
        return max(0.0, theirs / (self.at - before.at))


def look(folder: Path) -> Busy | None:
    """What is known now; None where the kernel does not tell (anything but Linux)."""
    if not Path("/proc/stat").exists():
        return None
    ticks = os.sysconf("SC_CLK_TCK")
    # user nice system idle iowait irq softirq steal (proc(5)); the kernel's own time for us counts as others'.
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    machine = (sum(fields) - fields[3] - fields[4]) / ticks
    # This process, and those that it started and that have ended.
    ours = sum(os.times()[:4])
    for process in processes.recorded(folder):
        for member in (process, *processes.children(process)):
            ours += _seconds(member.pid, ticks)
    return Busy(time.monotonic(), machine, ours)


def others_between(before: Busy | None, after: Busy | None) -> float | None:
    """How many cores others kept busy; None where it is not known."""
    return None if before is None or after is None else after.others_since(before)


def _seconds(pid: int, ticks: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    # Its own, and that of its children that have ended (a database's connections, say).
    return sum(int(field) for field in fields[11:15]) / ticks
