"""Runs a program of ours up to an exact moment, and kills it there or makes it hang; the product has no hooks for it.

    python -m tests.faults.crash_at hub.ingest:record --after --call 3 -- hub.cli run --home HOME

The moment is the start (with --after, the end) of the nth call of a function, named by the module in which it is
looked up. SIGKILL ends the process as a crash does: nothing is flushed, closed or rolled back.
"""

import argparse
import asyncio
import functools
import importlib
import inspect
import os
import runpy
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.local import processes
from deploy.local.exchange import Exchange
from deploy.local.instance import REPOSITORY
from deploy.local.processes import Process
from tests.system.play import end, until


@dataclass
class Moment:
    """When it happens, and what: a kill, or a pause of `hang_s`. With `body`, only calls with such a body count."""

    point: str
    after: bool
    call: int
    hang_s: float | None
    body: bytes
    calls: int = 0

    def has_come(self, arguments: Sequence[Any]) -> bool:
        """Whether a call with these arguments is the one."""
        if not self.body or any(self.body in body for argument in arguments for body in _bodies(argument)):
            self.calls += 1
            return self.calls == self.call
        return False

    def happen(self) -> float:
        """Says so, so that nobody takes another death for this one; dies, or returns how long to hang."""
        os.write(sys.stderr.fileno(), f"{_reached(os.getpid())}\n".encode())
        if self.hang_s is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.hang_s or 0.0


def _bodies(argument: Any) -> list[bytes]:
    items = argument if isinstance(argument, list) else [argument]
    return [getattr(item, "body", b"") for item in items]


def wrap(function: Callable[..., Any], moment: Moment) -> Callable[..., Any]:
    """`function` as it was, but for the moment."""

    @functools.wraps(function)
    async def in_loop(*args: Any, **kwargs: Any) -> Any:
        come = moment.has_come(args)
        if come and not moment.after:
            await asyncio.sleep(moment.happen())
        result = await function(*args, **kwargs)
        if come and moment.after:
            await asyncio.sleep(moment.happen())
        return result

    @functools.wraps(function)
    def in_thread(*args: Any, **kwargs: Any) -> Any:
        come = moment.has_come(args)
        if come and not moment.after:
            time.sleep(moment.happen())
        result = function(*args, **kwargs)
        if come and moment.after:
            time.sleep(moment.happen())
        return result

    return in_loop if inspect.iscoroutinefunction(function) else in_thread


def run_again(exchange: Exchange, name: str, point: str, *options: str) -> Process:
    """Ends the hub or a node's agent, if it runs, and starts it so that it comes to a moment; see `--help`."""
    end(exchange, name)
    program, home = ("hub.cli", exchange.hub_home) if name == "hub" else ("nodes.cli", exchange.node_home(name[5:]))
    argv = [sys.executable, "-m", "tests.faults.crash_at", point, *options, "--", program, "run", "--home", str(home)]
    return processes.spawn(exchange.folder, name, argv, env=os.environ.copy(), log=_log(exchange, name), cwd=REPOSITORY)


def await_moment(exchange: Exchange, program: Process) -> None:
    """Waits until a process that `run_again` started has come to its moment."""
    until(f"{program.name} at its moment", lambda: _reached(program.pid) in _log(exchange, program.name).read_text())


def log_since_moment(exchange: Exchange, program: Process) -> str:
    """What such a process has logged since."""
    return _log(exchange, program.name).read_text().rpartition(_reached(program.pid))[2]


def _log(exchange: Exchange, name: str) -> Path:
    return exchange.logs / f"{name}.log"


def _reached(pid: int) -> str:
    return f"crash_at: process {pid} is at its moment"


def main() -> None:
    """Wraps the function, then runs the program as `python -m` would. Fails if there is no such function."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.crash_at", description=__doc__)
    parser.add_argument("point", help="module:name or module:Class.name")
    parser.add_argument("--after", action="store_true", help="when the call has returned, not when it begins")
    parser.add_argument("--call", type=int, default=1, help="the nth call")
    parser.add_argument("--hang", type=float, help="seconds to hang instead of dying")
    parser.add_argument(
        "--body", default="", help="count only calls with this in the `body` of an argument or its items"
    )
    parser.add_argument("program", nargs="+", help="a module and its arguments")
    asked = parser.parse_args()
    module, _, path = asked.point.partition(":")
    *parents, name = path.split(".")
    owner = functools.reduce(getattr, parents, importlib.import_module(module))
    moment = Moment(asked.point, asked.after, asked.call, asked.hang, asked.body.encode())
    setattr(owner, name, wrap(getattr(owner, name), moment))
    sys.argv = asked.program
    runpy.run_module(asked.program[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
