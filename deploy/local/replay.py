"""`make replay`: the exchanges and operations of the Centre's document, sent through the real system years later.

RabbitMQ, PostgreSQL, the hub and its nodes are real; only their clock is one of 2002, 2003 and 2004. Then every cell of
every table of the document is compared with what `seci-hub stats exchange` and `seci-node operation tables` compute.
Prints what differs; exit code 1 if anything does.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Final

from deploy.local.clock import Clock
from deploy.local.errors import LocalError
from deploy.local.exchange import Exchange, prepare_tls
from deploy.local.instance import REPOSITORY, discard, say
from deploy.local.replayed import ALL, CENTRE, SENDERS, Post, others, posts
from deploy.local.seedtables import EXCHANGE, OPERATIONS, Printed
from deploy.local.services import running
from nodes.cli import app
from nodes.errors import NodeError

PATIENCE_S: Final = 90
# When the keys are made; they are good for two years and a quarter. Then when each year's messages are sent.
BEGIN: Final = datetime(2002, 8, 20, tzinfo=UTC)
SENT: Final = (
    datetime(2002, 10, 7, tzinfo=UTC),
    datetime(2003, 11, 14, tzinfo=UTC),
    datetime(2004, 10, 29, tzinfo=UTC),
)
Rows = tuple[tuple[str, ...], ...]


class Replay:
    """What was sent on a running exchange, and what is computed of it."""

    def __init__(self, exchange: Exchange, clock: Clock) -> None:
        self._exchange = exchange
        self._clock = clock
        self._ids: dict[int, str] = {}
        self._sent: Counter[str] = Counter()
        self._to_centre = 0

    def send(self) -> None:
        """All messages of all years, each year's by its own clock."""
        # Kept until all is sent: what is mended is known by its place in memory.
        everything = [*posts(), *others()]
        for moment in SENT:
            self._clock.set_to(moment)
            by_sender = [
                [post for post in everything if (post.year, post.sender) == (moment.year, sender)] for sender in ALL
            ]
            say(f"{moment.year}: sending {sum(map(len, by_sender))} messages ...")
            # The Centre's are the plans: without them nobody's node knows the names of operations.
            self._send_of(CENTRE, by_sender[ALL.index(CENTRE)])
            self._await_plans()
            with ThreadPoolExecutor(len(SENDERS)) as pool:
                list(pool.map(self._send_of, SENDERS, by_sender))
            self._sent.update({sender: len(mine) for sender, mine in zip(ALL, by_sender, strict=True)})
            self._to_centre += sum(post.request.get("to") == [CENTRE] for mine in by_sender for post in mine)
            self._await_settled()

    def _send_of(self, sender: str, mine: Sequence[Post]) -> None:
        with self._exchange.api(sender) as api:
            for post in mine:
                request = post.request
                if post.mends is not None:
                    request = {**request, "body": request["body"] | {"message": self._ids[id(post.mends)]}}
                answer = api.post("/v1/messages", json=request)
                if answer.status_code != 202:
                    raise LocalError(f"{sender} would not take {request['kind']}: {answer.text}")
                self._ids[id(post)] = answer.json()["id"]

    def _await_plans(self) -> None:
        """Waits until all have what the Centre has sent."""
        until = time.monotonic() + PATIENCE_S
        with self._exchange.api(CENTRE) as api:
            while True:
                plans = api.get("/v1/messages", params={"limit": 500}).json()["messages"]
                if all(to["state"] == "delivered" for plan in plans for to in plan["deliveries"]):
                    return
                if time.monotonic() > until:
                    raise LocalError(f"not all plans are delivered after {PATIENCE_S} s")
                time.sleep(0.2)

    def _await_settled(self) -> None:
        """Waits until all that was sent is accepted, and the Centre's node has what went to it."""
        until = time.monotonic() + PATIENCE_S
        for node in ALL:
            while not self._is_settled(node):
                if time.monotonic() > until:
                    raise LocalError(f"{node}: not all messages settled after {PATIENCE_S} s")
                time.sleep(0.2)

    def _is_settled(self, node: str) -> bool:
        with self._exchange.api(node) as api:
            counts = api.get("/v1/status").json()["counts"]
        received = node != CENTRE or counts["inbox"] == self._to_centre
        return bool(received and counts.get("accepted", 0) == self._sent[node])

    def exchanged(self) -> Rows:
        """The rows of page 8 as the hub computes them."""
        later, earlier = EXCHANGE.heading[2], EXCHANGE.heading[1]
        found = self._exchange.hub("stats", "exchange", "--year", later, "--compare", earlier)
        return tuple(
            (row["name"], *(str(row["counts"][year]["total"]) for year in (earlier, later)), row["comparison"])
            for row in [*found["rows"], found["total"]]
        )

    def reached(self, printed: Printed) -> Rows:
        """The rows of an operation's table as the Centre's node computes them."""
        # The command itself, but not a process for each: those would take as long as all the rest.
        words = ["operation", "tables", printed.name, str(printed.year), "--json"]
        said = StringIO()
        try:
            with redirect_stdout(said):
                app([*words, "--home", str(self._exchange.node_home(CENTRE))], standalone_mode=False)
        except NodeError as error:
            raise LocalError(f"{' '.join(words)}: {error} [{error.code}]") from error
        return tuple((row["label"], row["cell"]) for row in json.loads(said.getvalue())[printed.table])


def differences(printed: Printed, found: Rows) -> Iterator[str]:
    """What is not as printed, a line for each cell or row."""
    wanted, given = ({row[0]: row for row in rows} for rows in (printed.rows, found))
    for label in wanted.keys() - given.keys():
        yield f"page {printed.page}: no row {label!r}"
    for label in given.keys() - wanted.keys():
        yield f"page {printed.page}: a row too many, {label!r}"
    if len(given) != len(found):
        yield f"page {printed.page}: a row that is computed twice"
    if list(wanted) != list(given) and wanted.keys() == given.keys():
        yield f"page {printed.page}: rows in another order: {', '.join(given)}"
    for label in wanted.keys() & given.keys():
        for column, cell, other in zip(printed.heading, wanted[label], given[label], strict=True):
            if cell != other:
                yield f"page {printed.page}: {label}, {column}: {other!r} is computed, {cell!r} is printed"


def run(folder: Path) -> tuple[int, list[str]]:
    """Replays in `folder`, which is made anew: how many cells were compared, and what differs. Raises LocalError."""
    discard(folder)
    folder.mkdir(mode=0o700, parents=True)
    clock = Clock(folder / "replay.clock")
    clock.set_to(BEGIN)
    with running(folder, prepare_tls(folder)) as services:
        exchange = Exchange(folder, services, ALL, clock=clock)
        exchange.set_up()
        exchange.start_hub()
        for node in ALL:
            exchange.start_node(node)
        exchange.await_nodes(ALL)
        replay = Replay(exchange, clock)
        replay.send()
        say("computing the tables ...")
        tables = (EXCHANGE, *OPERATIONS)
        found = [replay.exchanged(), *map(replay.reached, OPERATIONS)]
        differing = [line for one, rows in zip(tables, found, strict=True) for line in sorted(differences(one, rows))]
    return sum(len(row) for one in tables for row in one.rows), differing


def main() -> None:
    """Replays, prints what differs, ends with 1 if anything does."""
    parser = argparse.ArgumentParser(prog="python -m deploy.local.replay", description=__doc__)
    folder = REPOSITORY / ".local" / "replay"
    parser.add_argument("--folder", type=Path, default=folder, help="where it runs; made anew")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    begin, faults = time.monotonic(), []
    cells: int = 0
    differing: list[str] = []
    try:
        cells, differing = run(given.folder)
    except LocalError as error:
        faults = [f"error ({error.code}): {error}"]
    ok = not (differing or faults)
    lines = [f"{cells} cells of {1 + len(OPERATIONS)} tables are as printed"] if ok else [*differing, *faults]
    result = {"ok": ok, "cells": cells, "differences": differing, "faults": faults}
    sys.stdout.write((json.dumps(result) if given.json else "\n".join(lines)) + "\n")
    say(f"after {time.monotonic() - begin:.0f} s; logs in {given.folder / 'log'}")
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()
