"""The processes beside a worker: what starting them does to the worker itself."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.system
ROOT = Path(__file__).parents[2]
END_S = 30
# A worker whose main thread hangs in a call, with a verifier that has begun.
HANGING = """
import asyncio, ctypes, time
from crypto import stopping
from crypto.trust import sign_roster
from hub import verifiers
from hub.judge import Arrival
from tests.crypto.people import HUB, NOW, trust

async def judge_beside(pool):
    batch = [Arrival("ro", "none", b"", tag) for tag in range(verifiers.WORTHWHILE)]
    signed = [sign_roster(trust().roster, HUB.signing)]
    while not (pool._starting and all(one.done() for one in pool._starting)):
        await pool.judge(batch, trust(), signed, NOW)
        await asyncio.sleep(0.05)
    await pool.judge(batch, trust(), signed, NOW)

stopping.CUT_S, stopping.KERNEL_S = 0.5, 20
with stopping.stoppable():
    asyncio.run(judge_beside(verifiers.Verifiers(1, HUB.signing.public)))
    print("ready", flush=True)
    ctypes.CDLL(None).sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_hangs_can_be_stopped_though_it_started_verifiers(number: signal.Signals) -> None:
    argv = [sys.executable, "-c", HANGING]
    process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        process.send_signal(number)
        # What the verifier and multiprocessing's own process have open is closed, too: they have ended with it.
        _, err = process.communicate(timeout=END_S)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, "stop_cut_short" in err) == (0, True)
