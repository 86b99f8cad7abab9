"""A clock that is wrong, or of another year, for processes of a test: `python -m deploy.local.clock FILE MODULE ...`.

FILE holds by how many seconds such a process's clock is ahead. It may be written anew at any time; the process
follows within a moment. What it measures by (`time.monotonic`) goes on as ever. The programs themselves have no
setting of the kind: who runs one by another clock runs it by this module, which tells so in the log, and refuses a
home that is not in the folder of FILE, or a folder that is not one of services that a test has started.
"""

import json
import os
import runpy
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from deploy.local.instance import SERVICES_FILE

READ_EVERY_S = 0.1
REFUSED = 4


@dataclass(frozen=True, slots=True)
class Clock:
    """The clock of the processes that are started with it."""

    file: Path

    def set_ahead(self, seconds: int) -> None:
        """Makes it so many seconds ahead of the machine's clock, at once; negative is behind."""
        draft = self.file.with_suffix(".draft")
        draft.write_text(str(seconds))
        draft.replace(self.file)

    def set_to(self, moment: datetime) -> None:
        """Makes it go on from this moment, and waits until the processes follow."""
        self.set_ahead(round(moment.timestamp() - time.time()))
        time.sleep(2 * READ_EVERY_S)

    def argv(self, module: str) -> list[str]:
        """What Python is called with to run a module by this clock."""
        return ["-m", "deploy.local.clock", str(self.file), module]


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


def _is_of_the_test(file: Path, arguments: Sequence[str]) -> bool:
    """Whether the home that is named, and one must be, is in the folder of the clock, and that is a test's own."""
    folder = file.resolve().parent
    homes = [home for option, home in pairwise(arguments) if option == "--home"]
    # The last one counts for a program, also if it is written --home=DIR.
    named = sum(argument == "--home" or argument.startswith("--home=") for argument in arguments)
    if not len(homes) == named == 1:
        return False
    # Every home there is lies in some folder where a file can be put.
    return (folder / SERVICES_FILE).is_file() and folder in Path(homes[0]).resolve().parents


def _tell(level: str, event: str, **more: object) -> None:
    # In the form of the programs' own logs: this goes where they go.
    sys.stderr.write(json.dumps({"event": event, "level": level, "pid": os.getpid(), **more}) + "\n")


def main(arguments: Sequence[str]) -> None:
    """Becomes the module named, under the shifted clock."""
    name, module, *rest = arguments
    file = Path(name)
    if not _is_of_the_test(file, rest):
        _tell("critical", "clock_refused", detail="another clock is for a test's own folder; run the program itself")
        sys.exit(REFUSED)
    _shift(file)
    _tell("warning", "clock_shifted", detail="NOT THE MACHINE'S CLOCK: a test", now=round(time.time()))
    sys.argv = [module, *rest]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
