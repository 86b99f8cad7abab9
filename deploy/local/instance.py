"""One folder of services has one owner at a time, and nothing outlives it unless it is meant to.

The owner holds a lock on `<folder>/lock`. An owner whose services must end with it has a guard: a small
process of its own session that ends them when the owner dies, however it dies. What a killed guard leaves
behind is ended by the next owner.
"""

import contextlib
import fcntl
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from deploy.local import processes
from deploy.local.errors import AlreadyRunning
from deploy.local.processes import Process

SERVICES_FILE = "services.json"
REPOSITORY = Path(__file__).resolve().parents[2]
SERVICE_NAMES = frozenset({"broker", "epmd", "postgres"})
_PATIENCE_SECONDS = 20.0


def say(text: str) -> None:
    """A line of progress, to stderr."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


@contextlib.contextmanager
def owned(folder: Path, patience: float = _PATIENCE_SECONDS) -> Iterator[None]:
    """Own the folder for a while, made if need be. Raises AlreadyRunning if another process does."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as lock:
        _take(lock.fileno(), folder, patience)
        yield


@contextlib.contextmanager
def owned_while_running(folder: Path, *, erase_after: bool = False) -> Iterator[None]:
    """Own the folder with a guard: at the end, or at this process's death, all that it recorded is ended.

    `erase_after` also deletes the services' data. Raises AlreadyRunning.
    """
    with owned(folder):
        clear_stale(folder)
        guard = _start_guard(folder, erase_after)
        try:
            yield
        finally:
            end_all(folder)
            if erase_after:
                erase(folder)
            guard.communicate(b".")


def clear_stale(folder: Path) -> None:
    """End what a dead owner left. Raises AlreadyRunning for services that are meant to outlive theirs."""
    left = processes.recorded(folder)
    if any(process.survives for process in left):
        raise AlreadyRunning(f"services are running in {folder}; end them with `make down` or use another folder")
    if left:
        say(f"ending {', '.join(process.name for process in left)} of an earlier run that was killed")
        end_all(folder)


def end_all(folder: Path) -> None:
    """End every process recorded in the folder: those that use the services first, then the services."""
    users = [process for process in processes.recorded(folder) if not is_service(process)]
    killed = processes.end(folder, users)
    killed += processes.end(folder, [process for process in processes.recorded(folder) if process.name != "epmd"])
    killed += processes.end(folder, processes.recorded(folder))
    if killed:
        say(f"killed, for they did not end when they were told to: {', '.join(killed)}")


def is_service(process: Process) -> bool:
    """Whether the process is the broker, its port mapper or the database, not a hub or node."""
    return process.name in SERVICE_NAMES


def erase(folder: Path) -> None:
    """Delete the ended services' data and logs, wherever the database's had to be put."""
    data = folder / "postgres" / "data"
    if data.is_symlink():
        shutil.rmtree(data.resolve(), ignore_errors=True)
    for name in ("broker", "postgres", "run"):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / SERVICES_FILE).unlink(missing_ok=True)


def discard(folder: Path) -> None:
    """End what a dead owner left and delete the folder with everything in it. Raises AlreadyRunning."""
    if folder.exists():
        with owned(folder):
            clear_stale(folder)
            erase(folder)
            shutil.rmtree(folder)


def _take(lock: int, folder: Path, patience: float) -> None:
    until = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # A guard that is still ending a dead owner's services takes a few seconds.
            if time.monotonic() > until:
                raise AlreadyRunning(f"another process uses {folder}; end it or use another folder") from None
            time.sleep(0.1)
        else:
            return


def _start_guard(folder: Path, erase_after: bool) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-m", "deploy.local.guard", str(folder.resolve())]
    return subprocess.Popen(
        [*argv, "--erase"] if erase_after else argv,
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
