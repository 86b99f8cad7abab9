"""A clock that is wrong, or jumps, for one process: `python -m tests.faults.clock FILE MODULE ARGUMENT ...`.

FILE holds by how many seconds that process's clock is ahead. It may be written anew at any time; the process
follows within a moment. What it measures by (`time.monotonic`) goes on as ever.
"""

import json
import os
import runpy
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.local import processes
from deploy.local.exchange import Exchange
from deploy.local.instance import REPOSITORY
from deploy.local.processes import Process

READ_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class Clock:
    """The clock of the processes that are started with it."""

    file: Path

    def set_ahead(self, seconds: int) -> None:
        """Makes it so many seconds ahead of the machine's clock, at once; negative is behind."""
        draft = self.file.with_suffix(".draft")
        draft.write_text(str(seconds))
        draft.replace(self.file)

    def start_node(self, exchange: Exchange, node: str) -> Process:
        """Starts a node's agent by this clock."""
        return self._spawn(exchange, f"node-{node}", "nodes.cli", exchange.node_home(node))

    def start_hub(self, exchange: Exchange) -> Process:
        """Starts a hub worker by this clock."""
        return self._spawn(exchange, "hub", "hub.cli", exchange.hub_home)

    def doctor(self, exchange: Exchange, node: str) -> Any:
        """What `seci-node doctor` says of a node by this clock: its stages."""
        argv = self._by_it("nodes.cli", "doctor", "--json", "--home", str(exchange.node_home(node)))
        done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
        return json.loads(done.stdout)["stages"]

    def _spawn(self, exchange: Exchange, name: str, module: str, home: Path) -> Process:
        return processes.spawn(
            exchange.folder,
            name,
            self._by_it(module, "run", "--home", str(home)),
            env=os.environ.copy(),
            log=exchange.logs / f"{name}.log",
            cwd=REPOSITORY,
        )

    def _by_it(self, module: str, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "tests.faults.clock", str(self.file), module, *arguments]


def _shift(file: Path) -> None:
    """Makes this process's `time.time` and `time.time_ns` go by the file."""
    true_seconds, true_ns, monotonic = time.time, time.time_ns, time.monotonic
    ahead, read_again = 0, 0.0

    def seconds_ahead() -> int:
        nonlocal ahead, read_again
        if monotonic() >= read_again:
            ahead, read_again = int(file.read_text()), monotonic() + READ_EVERY_S
        return ahead

    shifted_seconds: Callable[[], float] = lambda: true_seconds() + seconds_ahead()  # noqa: E731
    shifted_ns: Callable[[], int] = lambda: true_ns() + seconds_ahead() * 1_000_000_000  # noqa: E731
    time.time, time.time_ns = shifted_seconds, shifted_ns


def main(arguments: Sequence[str]) -> None:
    """Becomes the module named, under the shifted clock."""
    file, module, *rest = arguments
    _shift(Path(file))
    sys.argv = [module, *rest]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
