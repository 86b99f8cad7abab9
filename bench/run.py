"""`make bench`: the hub and the whole exchange beside a bare relay, in one run, on private services.

A table on stdout, progress on stderr, everything in build/bench.json. Exit code 0; 1 if a measurement
failed; 2 for wrong arguments; 3 if the hub drains slower than its floor.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence

from bench import drain, endtoend
from bench.load import SIZE
from bench.place import Place, Route, place, versions
from bench.report import Report
from deploy.local.errors import LocalError
from deploy.local.instance import REPOSITORY, say

# One queue to one queue for draining; three nodes to three for the exchange as it runs.
ROUTES = (Route("ro", "hr"), Route("bg", "gr"), Route("tr", "hu"))
MOST = 19_000  # an ingress queue holds 20 000
OUTPUT = REPOSITORY / "build" / "bench.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs what is asked for; returns the exit code."""
    asked = _parser().parse_args(arguments)
    nodes = tuple(node for route in ROUTES for node in (route.sender, route.recipient))
    begin = time.monotonic()
    try:
        with place(nodes) as here:
            report = _measured(here, asked, begin)
    except (LocalError, OSError, TimeoutError) as error:
        say(f"bench: {type(error).__name__}: {error}")
        return 1
    except KeyboardInterrupt:
        say("bench: interrupted")
        return 1
    found = report.to_json()
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found) if asked.json else report.table())
    say(f"{OUTPUT.relative_to(REPOSITORY)} written after {report.seconds:.0f} s")
    return 3 if report.under_floor else 0


def _measured(here: Place, asked: argparse.Namespace, begin: float) -> Report:
    rounds = whole = None
    if asked.only != "e2e":
        say(f"draining {asked.messages} messages, {asked.rounds} rounds:")
        rounds = drain.measure(here, ROUTES[0], asked.messages, asked.rounds)
    if asked.only != "drain":
        say("the whole exchange running:")
        whole = endtoend.measure(here, ROUTES)
    return Report(versions(here), asked.messages, SIZE, rounds, whole, time.monotonic() - begin)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=__doc__)
    parser.add_argument("--only", choices=("drain", "e2e"), help="one of the two measurements")
    parser.add_argument("--messages", type=_messages, default=15_000, metavar="N", help="per drain (default 15000)")
    parser.add_argument("--rounds", type=_rounds, default=3, metavar="N", help="of draining (default 3)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    return parser


def _messages(text: str) -> int:
    return _within(text, 1000, MOST)


def _rounds(text: str) -> int:
    return _within(text, 1, 20)


def _within(text: str, least: int, most: int) -> int:
    number = int(text)
    if not least <= number <= most:
        raise argparse.ArgumentTypeError(f"{number} is not between {least} and {most}")
    return number


if __name__ == "__main__":
    sys.exit(main())
