"""Judging in processes beside the worker: a signature costs more than all else, and a process has one core.

What goes there are bytes and a time, what comes back are verdicts; order and everything that lasts stay with the
worker. A verifier that dies takes the batch down with it, as if the worker itself had died of it: the broker
delivers it again, and counts.
"""

import asyncio
import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing.connection import wait
from typing import Final

from crypto.journal import configure_logging
from crypto.stopping import keeping_mask
from crypto.trust import RosterKeys, Trust
from hub.errors import VerifierDied
from hub.judge import Arrival, Verdict, judge
from hub.registrar import trust_of

# Below this a batch is judged sooner than it is sent away.
WORTHWHILE: Final = 32


class Verifiers:
    """So many processes, started when first needed and anew for each roster.

    With none, and while they start, which takes a second, the worker judges itself.
    """

    def __init__(self, count: int, hub: RosterKeys) -> None:
        self._count = count
        self._hub = hub
        self._pool: ProcessPoolExecutor | None = None
        self._version = 0
        self._starting: list[Future[list[Verdict]]] = []

    async def judge(self, batch: Sequence[Arrival], trust: Trust, signed: Sequence[bytes], now: int) -> list[Verdict]:
        """The verdicts on a batch, in its order; `signed` has the rosters of `trust`. Raises VerifierDied."""
        if not self._count or len(batch) < WORTHWHILE:
            return [judge(arrival, trust, now) for arrival in batch]
        pool, loop = self._of(trust.roster.version, signed), asyncio.get_running_loop()
        if not all(one.done() for one in self._starting):
            return [judge(arrival, trust, now) for arrival in batch]
        size = -(-len(batch) // self._count)
        parts = [batch[start : start + size] for start in range(0, len(batch), size)]
        try:
            found = await asyncio.gather(*(loop.run_in_executor(pool, _judge, part, now) for part in parts))
        except BrokenProcessPool as error:
            if self._pool is pool:
                self.close()
            raise VerifierDied("a process that judges messages has died", "nothing to do: it is begun anew") from error
        verdicts = [verdict for part in found for verdict in part]
        return [replace(verdict, arrival=arrival) for verdict, arrival in zip(verdicts, batch, strict=True)]

    def _of(self, version: int, signed: Sequence[bytes]) -> ProcessPoolExecutor:
        if self._pool is None or self._version != version:
            self.close()
            context = multiprocessing.get_context("spawn")
            # Its locks have multiprocessing's first process started, the one that clears up. The verifiers, started
            # behind it, inherit what is blocked: Ctrl-C does not kill them before they ignore it.
            with keeping_mask():
                self._pool = ProcessPoolExecutor(self._count, context, initializer=_begin, initargs=(signed, self._hub))
            self._version = version
            self._starting = [self._pool.submit(_judge, (), 0) for _ in range(self._count)]
        return self._pool

    def close(self) -> None:
        """Ends the processes when they have done what they were given."""
        if self._pool is not None:
            # What is being judged is judged to its end.
            self._pool.shutdown(wait=False)
            self._pool = None


_trust: Trust | None = None


def _begin(signed: Sequence[bytes], hub: RosterKeys) -> None:
    global _trust
    configure_logging()
    # The worker is told to stop, and tells us; killed, it cannot.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _trust = trust_of(signed, hub)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(0)


def _judge(batch: Sequence[Arrival], now: int) -> list[Verdict]:
    if _trust is None:
        raise RuntimeError("a verifier has no roster")
    # The worker has the arrivals: they do not travel back.
    return [
        replace(judge(arrival, _trust, now), arrival=Arrival(arrival.node, arrival.type, b"", arrival.tag))
        for arrival in batch
    ]
