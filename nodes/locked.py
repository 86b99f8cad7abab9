"""One process at a time on a node's folder."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nodes.errors import AlreadyRunning


@contextmanager
def alone(home: Path) -> Iterator[None]:
    """Nobody else works on the folder meanwhile. Raises AlreadyRunning."""
    # The kernel drops the lock with the process, so a kill leaves nothing to clean up.
    with (home / "agent.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise AlreadyRunning(f"an agent already runs on {home}", "stop it first, or use it") from error
        yield
