"""One process at a time that writes keys in the hub's folder, and so knows what they open with."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from hub.errors import KeysBusy


@contextmanager
def keys_alone(home: Path, *, wait: bool = False) -> Iterator[None]:
    """Nobody else writes keys in the folder meanwhile, or gives them another secret.

    Raises KeysBusy rather than `wait`, as a service does that begins anew while the command that handed over ends.
    OSError.
    """
    # The kernel drops the lock with the process, so a kill leaves nothing to clean up.
    with (home / "keys.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError as error:
            raise KeysBusy(
                f"another command writes keys in {home}", "wait until it has ended, then repeat this one"
            ) from error
        yield


def hold_keys(context: typer.Context, home: Path) -> None:
    """`keys_alone` until the command ends; before it reads what the keys open with. Raises KeysBusy.

    A folder that is not there has no keys: whoever reads its settings says so.
    """
    if home.is_dir():
        context.with_resource(keys_alone(home))
