"""A folder that one command at a time writes files to: each is whole or not there, whenever it is killed.

A file is written aside and renamed to its own name. What is durable is on the disk before that, and its name after it;
what is not is on the disk when `sync` has been called for it and for the folders above it.
"""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from hub.errors import ExportBusy, FileUnwritable

ASIDE: Final = ".partial"


@contextmanager
def alone(path: Path, mode: int = 0o777) -> Iterator[None]:
    """Makes the folder if it is not there, and keeps others from writing to it. Raises ExportBusy, FileUnwritable."""
    with writing(path):
        path.mkdir(mode=mode, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise ExportBusy(f"another export to {path} is at work", "wait for its end, or name another folder") from error
    try:
        yield
    finally:
        os.close(descriptor)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Tells an OSError apart from one of the database, which is read meanwhile. Raises FileUnwritable."""
    try:
        yield
    except OSError as error:
        next_step = "see that there is room and that you may write there; run the command again, and it goes on"
        raise FileUnwritable(f"{path} cannot be written: {error.strerror}", next_step) from error


def put(folder: Path, name: str, data: Sequence[bytes] | bytes, *, durable: bool = True) -> None:
    """Writes the file of that name, or replaces it; the folder it stands in is there. Raises FileUnwritable."""
    file, aside = folder / name, folder / ASIDE
    with writing(file):
        with aside.open("wb") as opened:
            opened.writelines([data] if isinstance(data, bytes) else data)
            if durable:
                opened.flush()
                os.fsync(opened.fileno())
        aside.rename(file)
        if durable:
            sync(file.parent)


def sync(path: Path) -> None:
    """Has a file's bytes, or a folder's names, on the disk when it returns. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
