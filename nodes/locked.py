"""One process at a time on a node's folder, and one at a time that writes its keys."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nodes.errors import AlreadyRunning, KeysBusy


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


@contextmanager
def keys_alone(home: Path, *, wait: bool) -> Iterator[None]:
    """Nobody else writes keys in the folder meanwhile: what opens them may be changed while the agent renews them.

    Raises KeysBusy rather than `wait`.
    """
    with (home / "keys.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError as error:
            raise KeysBusy(f"keys are being written in {home}", "try again in a minute") from error
        yield
