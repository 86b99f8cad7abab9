"""`python -m tests.side_by_side`: all tests but the long ones, in three lanes at once, and `make check` in a fourth.

Most of them wait most of the time, for a broker that starts or a fault that passes. What the lane of the rooms says is
shown as it says it, and what the others said after that. Exit code 0 only if all passed.
"""

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

ROOMS: Final = "rooms"
CHECK: Final = "check"
WHOLE: Final = ("tests/faults", "tests/system")
# These set up an exchange of their own, and are with the faults, so that all lanes take as long.
OWN: Final = tuple(f"tests/system/test_{name}.py" for name in ("demo", "replay", "rosters", "witnesses"))
LANES: Final = {
    "faults": ("tests/faults", *OWN),
    "system": ("tests/system", *(f"--ignore={file}" for file in OWN)),
}
BUILD: Final = Path("build")
LOOK_S: Final = 0.5


def main() -> int:
    """Runs all lanes and says how they ended."""
    BUILD.mkdir(exist_ok=True)
    # A folder of our own: in the common one, each session of pytest removes those of sessions before it.
    with TemporaryDirectory(prefix="seci-tests-", ignore_cleanup_errors=True) as folder:
        others = {lane: _pytest([*tests, f"--basetemp={folder}/{lane}"], _said(lane)) for lane, tests in LANES.items()}
        others[CHECK] = _begin(["make", "--no-print-directory", "check"], _said(CHECK))
        rooms = _pytest([*_rooms(), f"--basetemp={folder}/{ROOMS}"], None)
        lanes = {ROOMS: rooms, **others}
        try:
            rooms.wait()
            for lane, tests in others.items():
                _say(f"tests: what follows was said by the lane of {lane} meanwhile")
                _follow(_said(lane), tests)
        except KeyboardInterrupt:
            # All were told as we were; they end what they have started.
            for tests in lanes.values():
                tests.wait()
            return 130
    return _judge({lane: tests.returncode for lane, tests in lanes.items()})


def _rooms() -> list[str]:
    folders = {str(file.parent) for file in Path("tests").glob("*/test_*.py")}
    return sorted(folders - set(WHOLE))


def _said(lane: str) -> Path:
    return BUILD / f"tests-{lane}.txt"


def _pytest(arguments: Sequence[str], said: Path | None) -> subprocess.Popen[bytes]:
    return _begin([sys.executable, "-m", "pytest", "-v", "--durations=10", *arguments], said)


def _begin(command: Sequence[str], said: Path | None) -> subprocess.Popen[bytes]:
    if said is None:
        return subprocess.Popen(command)
    with said.open("w") as output:
        return subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)


def _follow(file: Path, writer: subprocess.Popen[bytes]) -> None:
    with file.open() as said:
        while True:
            ended = writer.poll() is not None
            sys.stdout.write(said.read())
            sys.stdout.flush()
            if ended:
                return
            time.sleep(LOOK_S)


def _judge(codes: Mapping[str, int]) -> int:
    failed = {lane: code for lane, code in codes.items() if code}
    if failed:
        _say(f"tests FAILED: {', '.join(f'exit code {code} of {lane}' for lane, code in failed.items())}")
    return max((abs(code) for code in failed.values()), default=0)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
