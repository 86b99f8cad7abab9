"""A small disk for one folder: a tmpfs mounted over it, which a test fills and frees. Only root can mount one."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Disk:
    """The disk under `folder`."""

    folder: Path

    def fill(self, leave: int = 0) -> None:
        """Takes all room but `leave` bytes."""
        filler = self.folder / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(MIB)):
                continue
        os.truncate(filler, max(0, filler.stat().st_size - leave))

    def free(self) -> None:
        """Gives the room back."""
        (self.folder / "filler").unlink(missing_ok=True)


@contextlib.contextmanager
def small_disk(folder: Path, mib: int, stop: Callable[[], object], start: Callable[[], object]) -> Iterator[Disk]:
    """Puts what `folder` holds on a disk with `mib` MiB to spare while the block runs, and back.

    `stop` and `start` are for whoever uses the folder. Skips the test where no disk can be mounted.
    """
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    folder = folder.resolve()
    stop()
    try:
        # What other tests left there may be more than a disk of a fixed size could hold.
        with _mounted(folder, mib + _mib_in(folder)):
            disk = Disk(folder)
            start()
            try:
                yield disk
            finally:
                disk.free()
                stop()
    finally:
        start()


def _mib_in(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) // MIB + 1


@contextlib.contextmanager
def _mounted(folder: Path, mib: int) -> Iterator[None]:
    _mount(folder, mib)
    try:
        yield
    finally:
        _unmount(folder)


def _mount(folder: Path, mib: int) -> None:
    # Beside and not below: it must be out of the way of whoever looks into the folder.
    before = folder.with_name(f"{folder.name}.before")
    folder.rename(before)
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode:
        folder.rmdir()
        before.rename(folder)
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    _copy(before, folder)
    shutil.rmtree(before)


def _unmount(folder: Path) -> None:
    after = folder.with_name(f"{folder.name}.after")
    try:
        _copy(folder, after)
    finally:
        # Lazily: a process that should have ended must not keep it for ever.
        subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)
    folder.rmdir()
    after.rename(folder)


def _copy(source: Path, target: Path) -> None:
    # cp keeps owners, which shutil does not.
    subprocess.run(["cp", "--archive", "--no-target-directory", str(source), str(target)], check=True)
