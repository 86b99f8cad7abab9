"""What a program that logs writes to stderr: JSON lines, whoever speaks, and nothing of what an error says."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SECRET = "MERIDIAN-41c9"
BEGIN = "from crypto.journal import configure_logging\nconfigure_logging()\n"


def _said(program: str) -> tuple[int, list[dict[str, Any]]]:
    argv = [sys.executable, "-c", BEGIN + textwrap.dedent(program)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert SECRET not in done.stderr
    return done.returncode, [json.loads(line) for line in done.stderr.splitlines()]


@pytest.mark.parametrize(
    ("program", "code", "event", "error"),
    [
        (f"raise ValueError({SECRET!r})", 1, "died", "ValueError"),
        (
            f"def work():\n raise ExceptionGroup('', [ExceptionGroup('', [KeyError({SECRET!r})])])\nwork()",
            1,
            "died",
            "KeyError",
        ),
        (
            f"import threading\ndef work():\n raise OSError({SECRET!r})\nthreading.Thread(target=work).start()",
            0,
            "thread_failed",
            "OSError",
        ),
        (f"class Bad:\n def __del__(self):\n  raise TypeError({SECRET!r})\nBad()", 0, "not_raisable", "TypeError"),
    ],
)
def test_what_nobody_caught_is_one_line_with_type_and_place(program: str, code: int, event: str, error: str) -> None:
    ended, lines = _said(program)
    assert ended == code
    assert [(line["event"], line["error"]) for line in lines] == [(event, error)]
    assert lines[0]["level"] in ("error", "critical")
    assert lines[0]["where"]


def test_a_warning_of_python_is_one_line() -> None:
    program = f"""
    import asyncio, warnings
    warnings.warn({SECRET!r}, RuntimeWarning)
    async def work(): ...
    work()
    """
    ended, lines = _said(program)
    assert ended == 0
    assert [(line["event"], line["level"], line["kind"]) for line in lines] == [
        ("python_warning", "warning", "RuntimeWarning"),
        ("python_warning", "warning", "RuntimeWarning"),
    ]
    assert all(line["where"] for line in lines)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_what_the_loop_complains_of_is_told_without_what_the_error_says(loop: str) -> None:
    program = f"""
    import asyncio, {loop}
    class Given:
        def __repr__(self): return {SECRET!r}
    async def fail(): raise ValueError({SECRET!r})
    def callback(given): raise KeyError({SECRET!r})
    async def main():
        asyncio.create_task(fail())
        await asyncio.sleep(0.01)
        asyncio.get_running_loop().call_soon(callback, Given())
        asyncio.get_running_loop().create_future().set_exception(OSError({SECRET!r}))
        await asyncio.sleep(0.01)
    {loop}.run(main())
    """
    ended, lines = _said(program)
    assert ended == 0
    assert {(line["event"], line["error"]) for line in lines} == {
        ("Task exception was never retrieved", "ValueError"),
        ("Exception in callback", "KeyError"),
        ("Future exception was never retrieved", "OSError"),
    }


def test_what_a_command_logs_is_not_in_its_answer() -> None:
    program = "from crypto.log import log\nlog.warning('lock_store_was_behind', entries=3)\nprint('{}')"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, "lock_store_was_behind" in done.stderr) == (0, "{}\n", True)
