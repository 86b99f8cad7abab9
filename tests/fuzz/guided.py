"""`python -m tests.fuzz.guided`: what comes from the broker, by atheris: what reaches new lines is altered further.

The alterations are those of `mutation`, and libFuzzer's own. Each target has a process of its own, for libFuzzer ends
the one that it runs in. Progress on stderr, everything in build/fuzz-guided.json. Exit code 0; 1 if anything came out
but a documented error (its input is then in build/fuzz-guided/), or a target tried nothing (its words are on stderr); 2
for wrong arguments. Where atheris has no wheel, nothing is done.
"""

import argparse
import contextlib
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

import structlog

from deploy.local.instance import REPOSITORY, say

SECONDS = 600.0
OUTPUT = REPOSITORY / "build" / "fuzz-guided.json"
FOUND = REPOSITORY / "build" / "fuzz-guided"
LIMITS = ("-timeout=20", "-rss_limit_mb=2048", "-max_len=65536")
# What a target has to load before the first input; libFuzzer's own clock begins behind that.
LOADING_S = 120.0
ROOMS = ("schemas", "crypto", "hub", "nodes")
_STATISTIC = re.compile(rb"^stat::(\w+):\s+(\d+)", re.MULTILINE)
_COVERED = re.compile(rb"cov: (\d+)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzzes each target for its part of the time, or one in this process; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.guided", description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for how long, all targets together (600)")
    parser.add_argument("--inputs", type=int, default=-1, metavar="N", help="so many of each target at most")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**31, help="of libFuzzer")
    parser.add_argument(
        "--only",
        action="append",
        metavar="NAME",
        help="this target of tests/fuzz/wire.py (Header, Receipts, ...); may be repeated",
    )
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if importlib.util.find_spec("atheris") is None:
        say("fuzz: atheris is not there for this machine; nothing was followed")
        return 0
    if asked.here:
        _follow(asked.only[0], asked.seconds, asked.inputs, asked.seed)
    names = asked.only or _names()
    if unknown := set(names) - set(_names()):
        parser.error(f"no target {', '.join(sorted(unknown))}; there are: {', '.join(_names())}")
    found = {name: _run(name, asked.seconds / len(names), asked.inputs, asked.seed) for name in names}
    faults = sum(not item["passed"] for item in found.values())
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(json.dumps({"seed": asked.seed, "seconds": asked.seconds, "targets": found}, indent=2) + "\n")
    total = sum(item["inputs"] for item in found.values())
    say(f"fuzz: {total} inputs by coverage, {faults} faults; see {OUTPUT}")
    return 1 if faults else 0


def _names() -> list[str]:
    from tests.fuzz.wire import wire

    return [target.name for target in wire()]


def _run(name: str, seconds: float, inputs: int, seed: int) -> dict[str, object]:
    command = [sys.executable, "-m", "tests.fuzz.guided", "--here", "--only", name]
    command += ["--seconds", str(max(1, round(seconds))), "--inputs", str(inputs), "--seed", str(seed)]
    try:
        done = subprocess.run(command, cwd=REPOSITORY, stderr=subprocess.PIPE, timeout=seconds + LOADING_S, check=False)
    except subprocess.TimeoutExpired as error:
        said, passed = error.stderr or b"", False
    else:
        said, passed = done.stderr, done.returncode == 0
    numbers = {key.decode(): int(value) for key, value in _STATISTIC.findall(said)}
    covered = [int(value) for value in _COVERED.findall(said)]
    tried = numbers.get("number_of_executed_units", 0)
    # One that tried nothing proves nothing.
    passed = passed and tried > 0
    say(f"fuzz: {name}: {tried} inputs by coverage" + ("" if passed else "; FAULT"))
    if not passed:
        sys.stderr.buffer.write(said[-4000:])
    reached = {"edges_of_seeds": covered[0], "edges": covered[-1]} if covered else {}
    return {"inputs": tried, "passed": passed, **reached}


def _follow(name: str, seconds: float, inputs: int, seed: int) -> None:
    import atheris

    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    with atheris.instrument_imports(include=ROOMS):
        from tests.fuzz import mutation
        from tests.fuzz.bounds import bounded_time
        from tests.fuzz.wire import wire
    target = next(one for one in wire() if one.name == name)

    def alter(data: bytes, most: int, number: int) -> bytes:
        random = Random(number)
        if random.random() < 0.3:
            return bytes(atheris.Mutate(data, most))
        try:
            return random.choice(target.mutations)(data, random)[:most]
        except Exception:
            # What was altered before need not be CBOR or JSON any more.
            return mutation.bits(data, random)[:most]

    def attempt(data: bytes) -> None:
        with bounded_time(), contextlib.suppress(*target.refusals):
            target.parse(data)

    FOUND.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for number, bytes_ in enumerate(target.seeds):
            (Path(folder) / str(number)).write_bytes(bytes_)
        prefix = FOUND / re.sub(r"\W+", "-", name)
        options = (
            f"-max_total_time={round(seconds)}",
            f"-runs={inputs}",
            f"-seed={seed}",
            f"-artifact_prefix={prefix}-",
        )
        atheris.Setup([name, *LIMITS, *options, "-print_final_stats=1", folder], attempt, custom_mutator=alter)
        atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
