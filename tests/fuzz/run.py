"""`make fuzz`: hostile bytes for every parser of what comes from outside, for as long as is asked.

Beside it, in a process of its own, `guided` follows what comes from the broker by coverage. Progress on stderr,
everything in build/fuzz.json and build/fuzz-guided.json. Exit code 0; 1 if anything came out but a documented error.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import structlog

from deploy.local.instance import REPOSITORY, say
from tests.fuzz.bounds import TooSlow, bounded_memory, bounded_time
from tests.fuzz.target import Target
from tests.fuzz.targets import targets

SLICE_S = 0.3
SECONDS = 600.0
OUTPUT = REPOSITORY / "build" / "fuzz.json"


@dataclass
class Tally:
    """What became of a target's inputs. `faults` has one input, in hex, for each place where one went wrong."""

    outcomes: Counter[str] = field(default_factory=Counter)
    slowest_ms: float = 0.0
    faults: dict[str, str] = field(default_factory=dict)


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzzes; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run", description=__doc__)
    seconds = float(os.environ.get("SECI_FUZZ_SECONDS", SECONDS))
    parser.add_argument("--seconds", type=float, default=seconds, help="for how long (SECI_FUZZ_SECONDS; 600)")
    parser.add_argument("--seed", type=int, default=time.time_ns(), help="the same seed tries the same inputs")
    asked = parser.parse_args(arguments)
    # What is fuzzed would log each of a million faults.
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    say(f"fuzz: {asked.seconds:.0f} s with seed {asked.seed}")
    guided = subprocess.Popen([sys.executable, "-m", "tests.fuzz.guided", "--seconds", str(asked.seconds)])
    try:
        with tempfile.TemporaryDirectory() as folder:
            tallies = _run(targets(Path(folder)), Random(asked.seed), asked.seconds)
    except BaseException:
        guided.terminate()
        guided.wait()
        raise
    found = {
        name: {
            "inputs": tally.outcomes.total(),
            "outcomes": dict(tally.outcomes.most_common()),
            "slowest_ms": round(tally.slowest_ms, 1),
            "faults": tally.faults,
        }
        for name, tally in tallies.items()
    }
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps({"seed": asked.seed, "seconds": asked.seconds, "targets": found}, indent=2) + "\n")
    faults = sum(len(tally.faults) for tally in tallies.values())
    total = sum(tally.outcomes.total() for tally in tallies.values())
    say(f"fuzz: {total} inputs, {faults} faults; see {OUTPUT}")
    return 1 if guided.wait() or faults else 0


def _run(every: Sequence[Target], random: Random, seconds: float) -> dict[str, Tally]:
    tallies = {target.name: Tally() for target in every}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for target in every:
            with bounded_memory():
                _try(target, random, tallies[target.name], time.monotonic() + min(SLICE_S, seconds / len(every)))
        total = sum(tally.outcomes.total() for tally in tallies.values())
        say(f"fuzz: {total} inputs, {max(end - time.monotonic(), 0):.0f} s left")
    return tallies


def _try(target: Target, random: Random, tally: Tally, end: float) -> None:
    while time.monotonic() < end:
        data = random.choice(target.mutations)(random.choice(target.seeds), random)
        begin = time.process_time()
        try:
            with bounded_time():
                target.parse(data)
            outcome = "parsed"
        except target.refusals as error:
            outcome = type(error).__name__
        except (Exception, TooSlow) as error:
            outcome = f"FAULT {type(error).__name__}"
            frame = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{type(error).__name__} in {Path(frame.filename).name}:{frame.lineno}"
            if where not in tally.faults:
                tally.faults[where] = data.hex()
                say(f"fuzz: {target.name}: {where}")
        tally.slowest_ms = max(tally.slowest_ms, 1000 * (time.process_time() - begin))
        tally.outcomes[outcome] += 1


if __name__ == "__main__":
    sys.exit(main())
