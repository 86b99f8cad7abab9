"""What the programs say on stderr while the broker comes and goes, what operators are told of it, and how they end."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from deploy.local.exchange import Exchange
from deploy.local.instance import REPOSITORY
from tests.system.conftest import NODES
from tests.system.play import await_delivered, end, kill, post, until

pytestmark = pytest.mark.system
END_S = 10


@contextmanager
def _watched(exchange: Exchange, name: str, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """The hub's worker or an agent by a process of the test's own, with a file for its stderr alone."""
    end(exchange, name)
    home = exchange.hub_home if name == "hub" else exchange.node_home(name.removeprefix("node-"))
    program = "hub.cli" if name == "hub" else "nodes.cli"
    argv = [sys.executable, "-W", "always", "-m", program, "run", "--home", str(home)]
    file = tmp_path / f"{name}.stderr"
    with file.open("w") as log:
        ours = subprocess.Popen(argv, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=log)
    try:
        yield ours, file
    finally:
        ours.kill()
        ours.wait()
        if name == "hub":
            exchange.start_hub()
        else:
            exchange.start_node(name.removeprefix("node-"))


def _events(file: Path) -> list[str]:
    """What was logged, by name. A line that is no JSON fails; a last one that is half written may be."""
    whole = file.read_text().rpartition("\n")[0]
    return [str(json.loads(line)["event"]) for line in whole.splitlines()]


def _cut_off(exchange: Exchange) -> int:
    """How many connections the broker has lost without a word."""
    logs = (exchange.services.broker.home / "log").glob("*.log")
    return sum(log.read_text().count("client unexpectedly closed TCP connection") for log in logs)


@pytest.mark.long
def test_all_that_is_said_is_json_and_all_end_in_order(exchange: Exchange, tmp_path: Path) -> None:
    with ExitStack() as stack:
        hub, hub_log = stack.enter_context(_watched(exchange, "hub", tmp_path))
        agent, agent_log = stack.enter_context(_watched(exchange, "node-hr", tmp_path))
        exchange.await_nodes(NODES)
        await_delivered(exchange, [("hr", post(exchange, "hr")), ("ro", post(exchange, "ro"))])
        for take_away in (exchange.services.broker.stop, exchange.services.broker.kill):
            downs = _events(agent_log).count("link_down")
            take_away()
            until("the agent has noticed", lambda before=downs: _events(agent_log).count("link_down") > before + 1)
            queued = post(exchange, "hr")
            exchange.services.broker.start()
            await_delivered(exchange, [("hr", queued), ("ro", post(exchange, "ro"))])
        home, cut_off = exchange.node_home("hr"), _cut_off(exchange)
        for ours in (agent, hub):
            ours.send_signal(signal.SIGTERM)
            assert ours.wait(END_S) == 0
        time.sleep(1)
        assert _cut_off(exchange) == cut_off
        assert not (home / "api.json").exists()
        assert not list(home.glob("node.db-*"))
        assert "link_up" in _events(agent_log)
        assert "hub_interrupted" in _events(hub_log)
        # What is cut off is seen there.
        kill(exchange, "node-tr")
        until("the broker has noticed", lambda: _cut_off(exchange) > cut_off)
        exchange.start_node("tr")
    exchange.await_nodes(NODES)


def _typed(exchange: Exchange, *words: str) -> tuple[int, Any, str]:
    argv = [sys.executable, "-m", "hub.cli", *words, "--home", str(exchange.hub_home)]
    done = subprocess.run(argv, cwd=REPOSITORY, env=os.environ.copy(), capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.long
def test_operators_are_told_that_the_broker_is_down(exchange: Exchange, tmp_path: Path) -> None:
    request = str(exchange.node_home("hr") / "enrolment.json")
    exchange.services.broker.stop()
    try:
        for words in (("queues",), ("provision",), ("enrol", request, "--out", str(tmp_path))):
            code, out, err = _typed(exchange, *words, "--json")
            assert (code, json.loads(out)["code"]) == (5, "broker_unreachable")
            # What changes anything says as whom it is on record; nothing else.
            assert all("this is on record as" in line for line in err.splitlines())
        code, out, err = _typed(exchange, "queues")
        assert (code, out, len(err.splitlines())) == (5, "", 2)
        assert err.startswith("seci-hub: RabbitMQ does not answer")
        assert _typed(exchange, "status")[0] == 5
    finally:
        exchange.services.broker.start()
    exchange.await_nodes(NODES)
    until("a worker consumes again", lambda: _typed(exchange, "queues", "--json")[0] == 0)
