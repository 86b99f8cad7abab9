"""What every fault shares: an exchange behind bad lines, load while it lasts, a verdict, and a table of them all.

    def test_a_broker_that_is_killed(exchange, scenario):
        with scenario() as load:
            exchange.services.broker.kill()
            ...

When the block ends, the lines are healed, the load goes on for a moment and stops, and the checker decides.
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deploy.local import processes
from deploy.local.chaos import Line, Rule, Side, bad_line
from deploy.local.exchange import Exchange, prepare_tls
from deploy.local.instance import is_service
from deploy.local.services import running
from tests.faults.checker import Verdict, check, mark
from tests.faults.load import Load, Post, under_load
from tests.system.conftest import NODES
from tests.system.play import end

SENDERS = NODES[:4]
# The product waits longer for a receipt before it sends again, and between witnesses' questions; what that is for
# shows sooner so.
RESEND_AFTER_S = 5.0
WITNESS_S = 1.0
BEFORE, AFTER = 12, 8


@dataclass(frozen=True)
class Lines:
    """The bad lines: the agents' to the broker, and the hub's."""

    agents: Line
    hub: Line

    def set(self, rule: Rule, *sources: Side) -> None:
        """The same rule on both lines."""
        self.agents.set(rule, *sources)
        self.hub.set(rule, *sources)

    def heal(self) -> None:
        """Both lines are good again."""
        self.agents.heal()
        self.hub.heal()


@dataclass(frozen=True)
class Row:
    """One scenario's line in the table; without a verdict if the fault's own test broke off."""

    scenario: str
    seconds: float
    verdict: Verdict | None


Recorder = Callable[[float, Verdict | None], None]
Scenario = Callable[..., AbstractContextManager[Load]]
Decision = Callable[[Sequence[Post]], None]
ROWS = pytest.StashKey[list[Row]]()


@pytest.fixture(scope="package")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    """An exchange that is set up, with nothing but its services started."""
    folder = tmp_path_factory.mktemp("exchange")
    with running(folder, prepare_tls(folder), erase_after=True) as services:
        exchange = Exchange(folder, services, NODES)
        exchange.set_up()
        yield exchange


@pytest.fixture(scope="package")
def lines(prepared: Exchange) -> Iterator[Lines]:
    """The way to the broker of all agents, and of the hub."""
    port = prepared.services.broker.port
    with bad_line(port) as agents, bad_line(port) as hub:
        change_settings(prepared.hub_home / "hub.json", broker_port=hub.port, witness_round_s=WITNESS_S)
        for node in prepared.nodes:
            file = prepared.node_home(node) / "node.json"
            changes = {"resend_after": RESEND_AFTER_S, "witness_pause": WITNESS_S}
            change_settings(file, broker_port=agents.port, **changes)
        yield Lines(agents, hub)


@pytest.fixture(scope="package")
def exchange(prepared: Exchange, lines: Lines) -> Iterator[Exchange]:
    """A running exchange behind bad lines. A test that stops one of its processes starts it again."""
    prepared.start_hub()
    for node in NODES:
        prepared.start_node(node)
    prepared.await_nodes(NODES)
    yield prepared
    end(prepared, *(process.name for process in processes.recorded(prepared.folder) if not is_service(process)))


@pytest.fixture
def record_verdict(request: pytest.FixtureRequest) -> Recorder:
    """Writes a test's verdict into the table, under the test's name: seconds that it took, and what was found."""
    rows = request.config.stash.setdefault(ROWS, [])
    scenario = request.node.name.removeprefix("test_").replace("_", " ")
    return lambda seconds, verdict: rows.append(Row(scenario, seconds, verdict))


@pytest.fixture
def scenario(exchange: Exchange, lines: Lines, record_verdict: Recorder) -> Iterator[Scenario]:
    """A context manager that plays a fault under load and fails unless the checker is content."""

    @contextlib.contextmanager
    def play(senders: tuple[str, ...] = SENDERS) -> Iterator[Load]:
        begin, since, verdict = time.monotonic(), mark(exchange), None
        try:
            with under_load(exchange, senders) as load:
                load.go_on(BEFORE)
                try:
                    yield load
                finally:
                    lines.heal()
                load.go_on(AFTER)
            verdict = check(exchange, load.posts, since)
        finally:
            record_verdict(time.monotonic() - begin, verdict)
        assert verdict.passed, json.dumps(verdict.as_json(), indent=2)

    yield play
    _mend(exchange)


@pytest.fixture
def nothing_lost(exchange: Exchange, record_verdict: Recorder) -> Iterator[Decision]:
    """For a test that posts by itself: fails unless the checker is content with all that it posted."""
    begin, since = time.monotonic(), mark(exchange)

    def decide(posts: Sequence[Post]) -> None:
        verdict = check(exchange, posts, since)
        record_verdict(time.monotonic() - begin, verdict)
        assert verdict.passed, json.dumps(verdict.as_json(), indent=2)

    yield decide
    _mend(exchange)


def _mend(exchange: Exchange) -> None:
    # Else one test that fails in the middle of its fault would take all those after it along.
    broker, postgres = exchange.services.broker, exchange.services.postgres
    for service in (broker, postgres):
        service.resume()
        if service.process is None:
            service.start()
    names = {process.name for process in processes.recorded(exchange.folder)}
    if "hub" not in names:
        exchange.start_hub()
    for node in exchange.nodes:
        if f"node-{node}" not in names:
            exchange.start_node(node)
    exchange.await_nodes(exchange.nodes)


def change_settings(file: Path, **changes: Any) -> None:
    """Alters a hub's or node's settings file; they are read at its next start."""
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--verdicts", type=Path, metavar="FILE", help="write the faults' verdicts to FILE, as JSON")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    rows = config.stash.get(ROWS, [])
    if not rows:
        return
    terminalreporter.section("faults")
    for line in _table(rows):
        terminalreporter.write_line(line)
    file: Path | None = config.getoption("--verdicts", default=None)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps([_as_json(row) for row in rows], indent=2) + "\n")


def _table(rows: list[Row]) -> Iterator[str]:
    width = max(len(row.scenario) for row in rows)
    yield f"{'':{width}} attempted accepted delivered lost unexpected duplicated recovered seconds verdict"
    for row in rows:
        if row.verdict is None:
            yield f"{row.scenario:{width}} {'':65} {row.seconds:7.0f} BROKE OFF"
            continue
        found = row.verdict
        yield (
            f"{row.scenario:{width}} {found.attempted:9} {found.accepted:8} {found.delivered:9} {len(found.lost):4} "
            f"{len(found.unexpected):10} {len(found.duplicated):10} {found.recovered:9} {row.seconds:7.0f} "
            f"{'passed' if found.passed else 'FAILED'}"
        )


def _as_json(row: Row) -> dict[str, Any]:
    found = None if row.verdict is None else row.verdict.as_json()
    return {"scenario": row.scenario, "seconds": round(row.seconds, 1), "verdict": found}
