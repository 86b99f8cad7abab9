"""`python -m tests.side_by_side`: all tests but the long ones, those of whole exchanges beside the rest.

Most of them wait most of the time, for a broker that starts or a fault that passes. What the rest say is shown as
they say it, and what the others said after that. Exit code 0 only if both passed.
"""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, TextIO

WHOLE: Final = ("tests/faults", "tests/system")
# These set up an exchange of their own, and are with the rest, so that both take as long.
OWN: Final = ("tests/system/test_demo.py", "tests/system/test_replay.py")
SAID: Final = Path("build/whole.txt")
LOOK_S: Final = 0.5


def main() -> int:
    """Runs both and says how they ended."""
    SAID.parent.mkdir(exist_ok=True)
    # A folder of our own: in the common one, each session of pytest removes those of sessions before it.
    with TemporaryDirectory(prefix="seci-tests-", ignore_cleanup_errors=True) as folder, SAID.open("w") as said:
        whole = _pytest([*WHOLE, *(f"--ignore={file}" for file in OWN), f"--basetemp={folder}/whole"], said)
        rest = _pytest([*_rest(), *OWN, f"--basetemp={folder}/rest"], None)
        try:
            rest.wait()
            _say(f"tests: the rest ended with {rest.returncode}; what follows was said by the others meanwhile")
            _follow(SAID, whole)
        except KeyboardInterrupt:
            # Both were told as we were; they end what they have started.
            rest.wait()
            whole.wait()
            return 130
    if rest.returncode or whole.returncode:
        _say(f"tests FAILED: exit code {rest.returncode} of the rest, {whole.returncode} of {' and '.join(WHOLE)}")
    return int(rest.returncode or whole.returncode)


def _rest() -> list[str]:
    folders = {str(file.parent) for file in Path("tests").glob("*/test_*.py")}
    return sorted(folders - set(WHOLE))


def _pytest(arguments: Sequence[str], output: TextIO | None) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pytest", "-v", "--durations=10", *arguments]
    return subprocess.Popen(command, stdout=output, stderr=None if output is None else subprocess.STDOUT)


def _follow(file: Path, writer: subprocess.Popen[bytes]) -> None:
    with file.open() as said:
        while True:
            ended = writer.poll() is not None
            sys.stdout.write(said.read())
            sys.stdout.flush()
            if ended:
                return
            time.sleep(LOOK_S)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
