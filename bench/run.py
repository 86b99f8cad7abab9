"""`make bench`: the hub and the whole exchange beside a bare relay, in one run, on private services.

A table on stdout, progress on stderr, everything in build/bench.json: what this run did not measure stays there with
its older `run`, if cores and versions are the same. Each row is a ratio of two figures of one run. Exit code 0; 1 if a
measurement failed; 2 for wrong arguments; 3 if a row missed its target and is not marked disturbed.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from bench import append, drain, endtoend, fairness, fanout, growth, latency, memory, urgent, validate, workers
from bench.figure import Figure
from bench.place import Place, Route, place, versions
from bench.report import Report
from deploy.local.errors import LocalError
from deploy.local.exchange import NODES
from deploy.local.instance import REPOSITORY, say

# One queue to one queue for draining; three nodes to three for the exchange as it runs.
ROUTES: Final = (Route("ro", "hr"), Route("bg", "gr"), Route("tr", "hu"))
# The urgent messages go along the first of ROUTES: their recipient has normal ones coming too.
BACKLOG: Final = (Route("bg", "hr"), Route("tr", "gr"), Route("si", "hu"))
MOST: Final = 19_000  # an ingress queue holds 20 000
OUTPUT: Final = REPOSITORY / "build" / "bench.json"


@dataclass(frozen=True, slots=True)
class Asked:
    """The sizes asked for: messages and rounds of each drain, and of the long measurements."""

    messages: int
    rounds: int
    entries: int
    urgent_messages: int
    memory_messages: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """Something to measure, under the name that `--only` takes; the long ones are not part of `make bench`."""

    title: str
    run: Callable[[Place, Asked], list[Figure]]
    long: bool = False


# In this order: growth begins with an empty ledger, and memory leaves full stores behind.
MEASUREMENTS: Final = {
    "growth": Measurement(
        "the hub with a large ledger",
        lambda here, asked: growth.measure(here, ROUTES[0], asked.messages, asked.rounds, asked.entries),
        long=True,
    ),
    "ledger": Measurement("the ledger by itself", lambda here, asked: append.measure(here, asked.entries), long=True),
    "validate": Measurement("validating a body of each kind", lambda here, asked: validate.measure(here)),
    "drain": Measurement(
        "the hub draining a queue", lambda here, asked: drain.measure(here, ROUTES[0], asked.messages, asked.rounds)
    ),
    "workers": Measurement(
        "two workers of the hub", lambda here, asked: workers.measure(here, ROUTES[0], asked.messages, 1)
    ),
    "fanout": Measurement(
        "the hub delivering to twelve", lambda here, asked: fanout.measure(here, "seci", asked.messages // 8, 2)
    ),
    "latency": Measurement("latency", lambda here, asked: latency.measure(here, ROUTES[0])),
    "fairness": Measurement(
        "fairness", lambda here, asked: fairness.measure(here, ROUTES[1], ROUTES[0], messages=MOST)
    ),
    "e2e": Measurement("the whole exchange running", lambda here, asked: endtoend.measure(here, ROUTES)),
    "urgent": Measurement(
        "urgent messages past a backlog",
        lambda here, asked: urgent.measure(here, BACKLOG, ROUTES[0], asked.urgent_messages),
        long=True,
    ),
    "memory": Measurement(
        "memory", lambda here, asked: memory.measure(here, ROUTES[0], asked.memory_messages), long=True
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs what is asked for; returns the exit code."""
    asked = _parser().parse_args(arguments)
    sizes = Asked(asked.messages, asked.rounds, asked.entries, asked.urgent_messages, asked.memory_messages)
    names = asked.only or [name for name, item in MEASUREMENTS.items() if item.long == asked.long]
    begin, began = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
    try:
        with place(NODES) as here:
            machine = versions(here)
            found = {name: _measured(here, sizes, name) for name in MEASUREMENTS if name in names}
    except (LocalError, OSError, TimeoutError) as error:
        say(f"bench: {type(error).__name__}: {error}")
        return 1
    except KeyboardInterrupt:
        say("bench: interrupted")
        return 1
    figures = tuple(item for those in found.values() for item in those or ())
    _write(Report(machine, figures, time.monotonic() - begin, began), as_json=asked.json)
    if None in found.values():
        return 1
    return 3 if any(item.missed and not item.disturbed for item in figures) else 0


def _measured(here: Place, sizes: Asked, name: str) -> list[Figure] | None:
    # One that fails takes no other with it: the long ones take half an hour.
    say(f"{MEASUREMENTS[name].title}:")
    try:
        return MEASUREMENTS[name].run(here, sizes)
    except (LocalError, OSError, TimeoutError) as error:
        say(f"bench: {name}: {type(error).__name__}: {error}")
        return None


def _write(report: Report, *, as_json: bool) -> None:
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    found = report.to_json(_earlier())
    draft = OUTPUT.with_suffix(".draft")
    draft.write_text(json.dumps(found, indent=2) + "\n")
    draft.rename(OUTPUT)
    print(json.dumps(found) if as_json else report.table())
    say(f"{OUTPUT.relative_to(REPOSITORY)} written after {report.seconds:.0f} s")


def _earlier() -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(OUTPUT.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=__doc__)
    parser.add_argument(
        "--only", action="append", choices=tuple(MEASUREMENTS), help="this measurement; may be repeated"
    )
    parser.add_argument("--long", action="store_true", help="the long measurements instead of the usual ones")
    parser.add_argument("--messages", type=_within(1000, MOST), default=10_000, metavar="N", help="per drain")
    parser.add_argument("--rounds", type=_within(1, 20), default=3, metavar="N", help="of draining")
    parser.add_argument(
        "--entries", type=_within(1000, 10_000_000), default=1_000_000, metavar="N", help="for growth, ledger"
    )
    parser.add_argument(
        "--urgent-messages", type=_within(3000, 3 * MOST), default=50_000, metavar="N", help="normal ones that wait"
    )
    parser.add_argument(
        "--memory-messages", type=_within(1000, 10_000_000), default=200_000, metavar="N", help="for memory"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    return parser


def _within(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        number = int(text)
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(f"{number} is not between {least} and {most}")
        return number

    return parse


if __name__ == "__main__":
    sys.exit(main())
