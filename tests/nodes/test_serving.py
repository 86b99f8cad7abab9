"""The agent as a process: how it ends when it is told to, and what it leaves; what stands on its stderr."""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from crypto.typed import UNREAD
from nodes import serving, setup
from nodes.errors import AgentEnded
from nodes.settings import Settings
from tests.crypto.people import BG
from tests.nodes.welcomes import ROOT, running, welcome

pytestmark = pytest.mark.system
ALERT: dict[str, Any] = {"kind": "alert", "task_force": "drugs", "body": {"title": "a", "text": "b"}}
END_S = 8


@pytest.fixture
async def home(tmp_path: Path) -> Path:
    """Romania's folder, enrolled."""
    setup.create(tmp_path / "ro", "ro")
    await setup.welcome(tmp_path / "ro", welcome(tmp_path / "ro"))
    return tmp_path / "ro"


@pytest.fixture
def agent(home: Path) -> Iterator[subprocess.Popen[str]]:
    """Romania's agent, which has taken a message: there is something in the write-ahead log."""
    with running(home) as process:
        _post(home)
        assert (home / "node.db-wal").stat().st_size
        yield process


def _post(home: Path) -> None:
    url = json.loads((home / "api.json").read_text())["url"]
    token = (home / "api.token").read_text().strip()
    answer = httpx2.post(f"{url}/v1/messages", json=ALERT, headers={"Authorization": f"Bearer {token}"})
    assert answer.json()["recipients"] == [BG.node]


def _log(home: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (home / "agent.log").read_text().splitlines()]


def _left(home: Path) -> list[str]:
    return sorted(path.name for name in ("api.json*", "node.db-*") for path in home.glob(name))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_it_ends_with_0_and_leaves_nothing(
    home: Path, agent: subprocess.Popen[str], number: signal.Signals
) -> None:
    agent.send_signal(number)
    assert agent.wait(END_S) == 0
    assert _left(home) == []
    assert [entry["signal"] for entry in _log(home) if entry["event"] == "told_to_stop"] == [number.name]


def test_an_agent_that_ends_untold_says_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def done_at_once(*_: Any, **__: Any) -> None:
        return None

    monkeypatch.setattr(serving._Server, "serve", done_at_once)
    with pytest.raises(AgentEnded):
        serving.serve(Settings.load(home), 0, lambda _: None)


def test_told_again_and_again_it_ends_no_less_in_order(home: Path, agent: subprocess.Popen[str]) -> None:
    for _ in range(1000):
        if agent.poll() is not None:
            break
        agent.send_signal(signal.SIGTERM)
        agent.send_signal(signal.SIGINT)
        time.sleep(0.001)
    assert agent.wait(END_S) == 0
    assert _left(home) == []
    assert _log(home)


def test_a_caller_that_says_no_more_does_not_keep_it(home: Path, agent: subprocess.Popen[str]) -> None:
    port = int(json.loads((home / "api.json").read_text())["url"].rpartition(":")[2])
    token = (home / "api.token").read_text().strip()
    lines = ["POST /v1/messages HTTP/1.1", "Host: x", f"Authorization: Bearer {token}", "Content-Length: 100"]
    with socket.create_connection(("127.0.0.1", port)) as caller:
        caller.sendall("\r\n".join([*lines, "Content-Type: application/json", "", "{"]).encode())
        time.sleep(0.5)
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(END_S) == 0
    assert _left(home) == []


def test_a_store_that_hangs_does_not_keep_it(home: Path) -> None:
    # Its end waits for the store, and the loop with it.
    with running(home, "tests.faults.crash_at", "nodes.outbox:expire", "--hang", "60", "--") as agent:
        while "at its moment" not in (home / "agent.log").read_text():
            time.sleep(0.05)
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(END_S) == 0
    assert "stop_cut_short" in (home / "agent.log").read_text()
    assert not (home / "api.json").exists()


def test_callers_that_break_off_do_not_end_it(home: Path, agent: subprocess.Popen[str]) -> None:
    port = int(json.loads((home / "api.json").read_text())["url"].rpartition(":")[2])
    request = b"GET /v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    for _ in range(50):
        with socket.create_connection(("127.0.0.1", port)) as caller:
            # Closed so, it resets: what is answered to the first request is the last that may be written.
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            caller.sendall(20 * request)
            caller.recv(1)
    assert agent.poll() is None
    _post(home)
    ignored = next(line for line in Path(f"/proc/{agent.pid}/status").read_text().splitlines() if "SigIgn" in line)
    assert int(ignored.split()[1], 16) & 1 << signal.SIGPIPE - 1


def test_who_reads_no_further_ends_a_command_without_a_word(home: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    argv = [sys.executable, "-m", "nodes.cli", "schema", "list"]
    done = subprocess.run(argv, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writing)
    assert (done.returncode, done.stderr) == (UNREAD, "")


def test_killed_it_leaves_what_the_next_one_takes_up(home: Path, agent: subprocess.Popen[str]) -> None:
    agent.kill()
    agent.wait(END_S)
    assert _left(home) == ["api.json", "node.db-shm", "node.db-wal"]
    with running(home) as second:
        _post(home)
        second.send_signal(signal.SIGTERM)
        assert second.wait(END_S) == 0
    assert _left(home) == []


def test_what_is_no_http_makes_a_line_of_json_too(home: Path, agent: subprocess.Popen[str]) -> None:
    port = int(json.loads((home / "api.json").read_text())["url"].rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as caller:
        caller.sendall(b"\0\0no HTTP at all\r\n\r\n")
        caller.settimeout(5)
        assert caller.recv(100)
    agent.send_signal(signal.SIGTERM)
    assert agent.wait(END_S) == 0
    assert "Invalid HTTP request received." in [line["event"] for line in _log(home)]
