"""How a service is told to stop, and that it is gone soon after, whatever holds it.

A thread of its own waits for SIGTERM and SIGINT, which are blocked in all others: Python runs handlers in the main
thread alone, and not while that is in a call that does not return, as of a token that hangs. The same thread ends the
process once it has had its time; being crash-only, that loses nothing. Where no thread gets its turn any more, as when
the interpreter is half gone, the kernel's timer does it.
"""

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from crypto.log import log

SIGNALS: Final = frozenset({signal.SIGTERM, signal.SIGINT})
# From the signal on: "under 5 s" is what is promised.
CUT_S: Final = 4.0
KERNEL_S: Final = 4.5
# Tells the thread to wait no more. Nobody else uses it; its number is above those of `SIGNALS`, which the kernel
# therefore gives first.
_WAKE: Final = signal.SIGVTALRM


class Stop:
    """Whether this process was told to stop, and by which signal: the first; empty if it was not."""

    def __init__(self) -> None:
        self.signal = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._told = asyncio.Event()
        # It is decided whether this process was told to.
        self._decided = threading.Event()
        self._spared = threading.Event()
        self._thread = threading.Thread(target=self._wait, name="stop", daemon=True)

    def event(self) -> asyncio.Event:
        """Of the running loop: set as soon as there was a signal."""
        self._loop = asyncio.get_running_loop()
        if self.signal:
            self._told.set()
        return self._told

    def hurry(self) -> None:
        """The process ends by itself: it is given as long for that as if it had been told to."""
        signal.setitimer(signal.ITIMER_REAL, KERNEL_S)
        threading.Thread(target=self._cut_short, daemon=True).start()

    def begin(self) -> None:
        """Waits for the signals from now on."""
        self._thread.start()

    def spare(self) -> None:
        """Waits for them no more, and cuts nothing short, unless it was told to.

        What comes once that is decided stays pending, and is lost neither to a program that this one becomes.
        """
        # Who let them through has them passed on before the thread is woken, or not at all.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        self.pass_on(_WAKE, None)
        self._decided.wait()
        if not self.signal:
            self._spared.set()
            signal.setitimer(signal.ITIMER_REAL, 0)
            # It may be just about to take what comes.
            self._thread.join()

    def pass_on(self, number: int, _: object) -> None:
        """The handler of a thread in which they are not blocked."""
        if self._thread.is_alive() and self._thread.ident is not None:
            signal.pthread_kill(self._thread.ident, number)

    def _wait(self) -> None:
        number = signal.sigwait(SIGNALS | {_WAKE})
        if number == _WAKE:
            self._decided.set()
            return
        # Nobody handles that of the timer, so it kills.
        signal.setitimer(signal.ITIMER_REAL, KERNEL_S)
        self.signal = signal.Signals(number).name
        self._decided.set()
        if self._loop is not None:
            # It may be closed by now.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._told.set)
        self._cut_short()

    def _cut_short(self) -> None:
        if not self._spared.wait(CUT_S):
            log.warning("stop_cut_short", after_s=CUT_S)
            os._exit(0 if self.signal else 1)


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Takes SIGTERM and SIGINT while the block runs, in the main thread; from the first on the process has `CUT_S`.

    To its very end: a block that ends well, or was told to, leaves all as it is, so that no further signal makes
    another end of it. One that raises before it was told to stop ends in its own time and way.
    """
    stop = Stop()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS | {_WAKE})
    # Should anything let them through again in the main thread, as `multiprocessing` does (`keeping_mask`).
    handlers = {number: signal.signal(number, stop.pass_on) for number in SIGNALS}
    # Whoever started us may have it ignored or blocked, and the timer would not kill.
    handlers[signal.SIGALRM] = signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
    stop.begin()
    try:
        yield stop
    except BaseException:
        stop.spare()
        if not stop.signal:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            # What has come since is let through, and kills.
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        raise


@contextmanager
def keeping_mask() -> Iterator[None]:
    """What the block does to the signals that this thread blocks is undone.

    `multiprocessing` unblocks SIGTERM and SIGINT in the thread that starts the first process. The kernel would then
    give them to the main thread, and while that hangs in a call, no handler runs that could pass them on.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
