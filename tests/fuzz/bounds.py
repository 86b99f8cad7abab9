"""How much processor time and memory one hostile input may cost."""

import contextlib
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

# Of processor time, which other programs on the machine do not change.
MOST_S = 1.0
MOST_BYTES = 512 * 1024 * 1024
_STATM = Path("/proc/self/statm")


class TooSlow(BaseException):
    """One input took more processor time than any may. Not an Exception, so that nothing under test can catch it."""


@contextlib.contextmanager
def bounded_memory() -> Iterator[None]:
    """Within the block, taking `MOST_BYTES` more than the process has raises MemoryError. On Linux only."""
    if not _STATM.exists():
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(_STATM.read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MOST_BYTES, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@contextlib.contextmanager
def bounded_time() -> Iterator[None]:
    """Raises TooSlow when the block takes more than `MOST_S` of processor time. In the main thread only."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TooSlow(f"more than {MOST_S} s of processor time")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, MOST_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
