"""What every fault shares: an exchange behind bad lines, load while it lasts, a verdict, and a table of them all.

    def test_a_broker_that_is_killed(exchange, scenario):
        with scenario() as load:
            exchange.services.broker.kill()
            ...

When the block ends, the lines are healed, the load goes on for a moment and stops, and the checker decides. Each such
test is a row of the table, also if it broke off or was skipped. `@pytest.mark.fault(1)` says which of the reference's
fifteen scenarios (broker.md, section 8) it is; those without a number are ours.
"""

import contextlib
import json
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import pytest

from deploy.local import processes
from deploy.local.chaos import Line, Rule, Side, bad_line
from deploy.local.errors import CommandFailed
from deploy.local.exchange import Exchange, prepare_tls
from deploy.local.instance import is_service
from deploy.local.services import running
from tests.faults.checker import PATIENCE_S, Verdict, check, mark
from tests.faults.load import Load, Post, under_load
from tests.faults.steps import start_nodes
from tests.system.conftest import NODES
from tests.system.play import end, start_missing

SENDERS = NODES[:4]
# Longer than any fault with the checker's patience: what the hub or the broker has taken and lost stays lost, and is
# seen. An agent that waits less (the product's 120 s) would send it again and cover up for them.
RESEND_AFTER_S = 3 * PATIENCE_S
# For what only another sending mends: see `resends_soon`.
SOON_S = 5.0
# The product waits longer between witnesses' questions; what that is for shows sooner so.
WITNESS_S = 1.0
SCENARIOS = frozenset(range(1, 16))
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
    """One test's line in the table: which of the reference's scenarios it is, and how it ended.

    Without a verdict if it broke off before there was one, or was skipped; `reason` says why.
    """

    fault: int | None
    scenario: str
    seconds: float
    outcome: str
    reason: str
    verdict: Verdict | None


class Decision(Protocol):
    """Fails unless the checker is content with all that a test posted by itself."""

    def __call__(self, posts: Sequence[Post], *, may_refuse: bool = False) -> None:
        """See `checker.check`."""


Recorder = Callable[[Verdict], None]
Scenario = Callable[..., AbstractContextManager[Load]]
ROWS = pytest.StashKey[dict[str, Row]]()
VERDICT = pytest.StashKey[Verdict]()
FAILED = pytest.StashKey[bool]()


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
            changes = {"resend_after": RESEND_AFTER_S, "witness_pause": WITNESS_S}
            change_settings(prepared.node_home(node) / "node.json", broker_port=agents.port, **changes)
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
def resends_soon(exchange: Exchange) -> Iterator[None]:
    """Agents that send again soon, for a fault in which the broker or the hub gives up on what it had taken."""
    _restart(exchange, SOON_S)
    yield
    _restart(exchange, RESEND_AFTER_S)


def _restart(exchange: Exchange, resend_after: float) -> None:
    end(exchange, *(f"node-{node}" for node in exchange.nodes))
    for node in exchange.nodes:
        change_settings(exchange.node_home(node) / "node.json", resend_after=resend_after)
    start_nodes(exchange, *exchange.nodes)


@pytest.fixture
def record_verdict(request: pytest.FixtureRequest) -> Recorder:
    """What the checker found is for the test's row in the table. Every test that asks for this has one."""

    def record(verdict: Verdict) -> None:
        request.node.stash[VERDICT] = verdict

    return record


@pytest.fixture
def scenario(
    exchange: Exchange, lines: Lines, record_verdict: Recorder, request: pytest.FixtureRequest
) -> Iterator[Scenario]:
    """A context manager that plays a fault under load and fails unless the checker is content."""

    @contextlib.contextmanager
    def play(senders: tuple[str, ...] = SENDERS, *, may_refuse: bool = False) -> Iterator[Load]:
        since = mark(exchange)
        with under_load(exchange, senders) as load:
            load.go_on(BEFORE)
            try:
                yield load
            finally:
                lines.heal()
            load.go_on(AFTER)
        verdict = check(exchange, load.posts, since, may_refuse=may_refuse)
        record_verdict(verdict)
        assert verdict.passed, json.dumps(verdict.as_json(), indent=2)

    yield play
    _mend(exchange, request.node)


@pytest.fixture
def nothing_lost(exchange: Exchange, record_verdict: Recorder, request: pytest.FixtureRequest) -> Iterator[Decision]:
    """For a test that posts by itself: fails unless the checker is content with all that it posted."""
    since = mark(exchange)

    def decide(posts: Sequence[Post], *, may_refuse: bool = False) -> None:
        verdict = check(exchange, posts, since, may_refuse=may_refuse)
        record_verdict(verdict)
        assert verdict.passed, json.dumps(verdict.as_json(), indent=2)

    yield decide
    _mend(exchange, request.node)


def _mend(exchange: Exchange, test: pytest.Item) -> None:
    # Else one test that fails in the middle of its fault would take all those after it along.
    broker, postgres = exchange.services.broker, exchange.services.postgres
    for service in (broker, postgres):
        service.resume()
        if service.process is None:
            service.start()
    if test.stash.get(FAILED, False):
        _undo(exchange)
    for process in processes.recorded(exchange.folder):
        processes.resume(process)
    start_missing(exchange, "hub", *(f"node-{node}" for node in exchange.nodes))
    exchange.await_nodes(exchange.nodes)


def _undo(exchange: Exchange) -> None:
    """Takes back what the faults change in the services. Each test does that itself, unless its way there is cut off.

    It takes seconds, and so is for tests that have failed.
    """
    broker, postgres = exchange.services.broker, exchange.services.postgres
    # First, and with an end to all commits that still wait: they have the lock without which no trigger can be dropped.
    postgres.run_sql("ALTER SYSTEM RESET synchronous_standby_names")
    postgres.restart()
    postgres.run_sql("DROP TRIGGER IF EXISTS held ON ledger_leaf; DROP FUNCTION IF EXISTS held();")
    # It fails where there is none.
    with contextlib.suppress(CommandFailed):
        broker.run_ctl(["clear_policy", "-p", "siex", "fault"])
    broker.clear_memory_alarm()
    # Users and bindings.
    exchange.hub("provision")


def change_settings(file: Path, **changes: Any) -> None:
    """Alters a hub's or node's settings file; they are read at its next start."""
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--verdicts", type=Path, metavar="FILE", help="write the faults' verdicts to FILE, as JSON")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[FAILED] = report.failed or item.stash.get(FAILED, False)
    if "record_verdict" in getattr(item, "fixturenames", ()):
        rows = item.config.stash.setdefault(ROWS, {})
        before = rows.get(item.nodeid)
        if report.when == "call" or (before is None and not report.passed):
            rows[item.nodeid] = _row(item, report, call.excinfo)
        elif before is not None and report.failed:
            rows[item.nodeid] = replace(before, outcome=report.outcome, reason=f"{report.when}: {_why(call.excinfo)}")
    return report


def _row(item: pytest.Item, report: pytest.TestReport, why: pytest.ExceptionInfo[BaseException] | None) -> Row:
    marker = item.get_closest_marker("fault")
    fault: int | None = None if marker is None else marker.args[0]
    scenario = item.name.removeprefix("test_").replace("_", " ")
    verdict = item.stash.get(VERDICT, None)
    # A verdict that is none to pass with says itself why.
    reason = _why(why) if verdict is None or verdict.passed else ""
    return Row(fault, scenario, report.duration, report.outcome, reason, verdict)


def _why(found: pytest.ExceptionInfo[BaseException] | None) -> str:
    return "" if found is None else str(found.value).partition("\n")[0]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    rows = sorted(config.stash.get(ROWS, {}).values(), key=lambda row: row.fault or len(SCENARIOS) + 1)
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
    yield f" # {'':{width}} attempted accepted delivered lost unexpected duplicated recovered seconds verdict"
    for row in rows:
        counted = "" if row.verdict is None else _counted(row.verdict)
        yield f"{row.fault or '':2} {row.scenario:{width}} {counted:65} {row.seconds:7.0f} {_said(row)}"
    if left := SCENARIOS - {row.fault for row in rows}:
        yield f"of the reference's scenarios not in this run: {', '.join(map(str, sorted(left)))}"


def _counted(found: Verdict) -> str:
    return (
        f"{found.attempted:9} {found.accepted:8} {found.delivered:9} {len(found.lost):4} "
        f"{len(found.unexpected):10} {len(found.duplicated):10} {found.recovered:9}"
    )


def _said(row: Row) -> str:
    if row.outcome == "skipped":
        return f"SKIPPED: {row.reason}"
    if row.verdict is None:
        return "BROKE OFF"
    return "passed" if row.outcome == "passed" else "FAILED"


def _as_json(row: Row) -> dict[str, Any]:
    found = None if row.verdict is None else row.verdict.as_json()
    return {
        "fault": row.fault,
        "scenario": row.scenario,
        "seconds": round(row.seconds, 1),
        "outcome": row.outcome,
        "reason": row.reason,
        "verdict": found,
    }
