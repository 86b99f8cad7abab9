"""A process that was told to stop has ended soon after, whatever holds it; and one that was not ends as it would."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from crypto import stopping

pytestmark = pytest.mark.system
ROOT = Path(__file__).parents[2]
# What holds a process does so for a minute.
END_S = 30
BEGIN = """
import asyncio, atexit, ctypes, sys, threading, time
import uvloop
from crypto import stopping
from crypto.journal import configure_logging

configure_logging()
HOLDING_ALL, HOLDING = ctypes.PyDLL(None), ctypes.CDLL(None)

async def serve(told):
    print("ready", flush=True)
    await told.event().wait()

def ready():
    print("ready", flush=True)
"""

# What is to be cut short: nothing need end by itself in that time, and the kernel's timer waits for a busy machine.
SOON = "stopping.CUT_S, stopping.KERNEL_S = 0.5, 20\n"


@contextmanager
def _running(script: str) -> Iterator[subprocess.Popen[str]]:
    argv = [sys.executable, "-c", BEGIN + script]
    process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def _told(script: str, number: signal.Signals = signal.SIGTERM) -> tuple[int, bool]:
    """With which code it ended once it was told to, and whether it said that it was cut short."""
    with _running(script) as process:
        process.send_signal(number)
        _, err = process.communicate(timeout=END_S)
        return process.returncode, "stop_cut_short" in err


def test_less_than_five_seconds_are_promised() -> None:
    assert stopping.CUT_S < stopping.KERNEL_S < 5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_ends_in_time_is_not_cut_short(number: signal.Signals) -> None:
    script = """
with stopping.stoppable() as told:
    uvloop.run(serve(told))
assert told.signal
"""
    assert _told(script, number) == (0, False)


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("uvloop.run(serve(told)); time.sleep(60)", id="behind_the_loop"),
        pytest.param("ready(); HOLDING.sleep(60)", id="in_a_call_since_before"),
        pytest.param("threading.Thread(target=time.sleep, args=(60,)).start(); uvloop.run(serve(told))", id="a_thread"),
        pytest.param("atexit.register(time.sleep, 60); uvloop.run(serve(told))", id="at_exit"),
    ],
)
def test_what_takes_too_long_is_cut_short(script: str) -> None:
    assert _told(f"{SOON}with stopping.stoppable() as told:\n    {script}") == (0, True)


def test_a_loop_that_hangs_is_cut_short() -> None:
    script = """
async def hang(told):
    await serve(told)
    time.sleep(60)

with stopping.stoppable() as told:
    uvloop.run(hang(told))
"""
    assert _told(SOON + script) == (0, True)


def test_where_no_thread_has_its_turn_the_kernel_ends_it() -> None:
    script = """
stopping.CUT_S, stopping.KERNEL_S = 30, 1
with stopping.stoppable() as told:
    uvloop.run(serve(told))
HOLDING_ALL.sleep(60)
"""
    assert _told(script) == (-signal.SIGALRM, False)


@pytest.mark.parametrize(
    "way",
    [
        pytest.param("signal.signal(signal.SIGALRM, signal.SIG_IGN)", id="ignored"),
        pytest.param("signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})", id="blocked"),
    ],
)
def test_the_kernel_ends_it_though_its_timer_was_held_off_before(way: str) -> None:
    script = f"""
import signal
{way}
stopping.CUT_S, stopping.KERNEL_S = 30, 1
with stopping.stoppable() as told:
    uvloop.run(serve(told))
HOLDING_ALL.sleep(60)
"""
    assert _told(script) == (-signal.SIGALRM, False)


def test_signals_that_a_thread_lets_through_stop_it_too() -> None:
    script = """
import signal
with stopping.stoppable() as told:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, stopping.SIGNALS)
    uvloop.run(serve(told))
"""
    assert _told(script) == (0, False)


def test_what_fails_untold_keeps_its_code_and_can_be_killed_again() -> None:
    script = """
try:
    with stopping.stoppable() as told:
        raise ValueError
except ValueError:
    ready()
    time.sleep(60)
"""
    assert _told(script) == (-signal.SIGTERM, False)


def test_what_fails_once_it_was_told_keeps_its_code_however_often_it_is_told() -> None:
    script = """
import os, signal
with stopping.stoppable() as told:
    uvloop.run(serve(told))
    try:
        raise SystemExit(7)
    finally:
        atexit.register(os.kill, os.getpid(), signal.SIGTERM)
"""
    assert _told(script) == (7, False)


def test_a_signal_while_it_is_decided_is_not_lost() -> None:
    # It comes when nobody waits for it any more, and before anybody is killed by it.
    script = """
import os, signal
spare = stopping.Stop.spare
def spare_late(stop):
    spare(stop)
    ready()
    while not signal.sigpending() & stopping.SIGNALS:
        time.sleep(0.01)

stopping.Stop.spare = spare_late
try:
    with stopping.stoppable() as told:
        raise ValueError
except ValueError:
    pass
time.sleep(60)
"""
    assert _told(script) == (-signal.SIGTERM, False)


def test_a_signal_is_taken_or_kills_whenever_it_comes() -> None:
    # Of many at about the moment at which it is decided, none is lost.
    script = """
import os, random, signal
ready()
for _ in range(200):
    child = os.fork()
    if not child:
        sender = threading.Timer(random.random() / 500, os.kill, (os.getpid(), signal.SIGTERM))
        try:
            with stopping.stoppable() as told:
                sender.start()
                time.sleep(random.random() / 500)
                raise ValueError
        except ValueError:
            if not told.signal:
                time.sleep(5)
            os._exit(0 if told.signal else 9)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code not in (0, -signal.SIGTERM):
        sys.exit(f"lost: {code}")
"""
    with _running(script) as process:
        _, err = process.communicate(timeout=END_S)
    assert (process.returncode, err) == (0, "")


def test_what_ends_by_itself_has_no_longer_for_it() -> None:
    script = """
with stopping.stoppable() as told:
    told.hurry()
    ready()
    time.sleep(60)
"""
    with _running(SOON + script) as process:
        _, err = process.communicate(timeout=END_S)
    assert (process.returncode, "stop_cut_short" in err) == (1, True)


def test_who_hurried_and_goes_on_otherwise_is_not_cut_short() -> None:
    script = """
stopping.CUT_S, stopping.KERNEL_S = 0.5, 1
try:
    with stopping.stoppable() as told:
        told.hurry()
        raise ValueError
except ValueError:
    ready()
time.sleep(2 * stopping.KERNEL_S)
sys.exit(7)
"""
    with _running(script) as process:
        time.sleep(0.1)
        _, err = process.communicate(timeout=END_S)
    assert (process.returncode, "stop_cut_short" in err) == (7, False)
