"""Group commit: whatever waits to be done to the store shares one transaction, and so one sync to the disk.

SQLite has one writer, so one thread of its own does all the work. While it commits, more pieces of work come to
wait, and the next transaction has them all; each stands in a savepoint of its own, and what fails is undone alone.
"""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

from sqlalchemy.engine import Connection, Engine

# So that the first of a transaction does not wait too long for the last.
MOST: Final = 64

T = TypeVar("T")


@contextmanager
def alone(connection: Connection) -> Iterator[None]:
    """What the block does is undone if it raises, and nothing else is. A third of the cost of SQLAlchemy's own way.

    Raises SQLAlchemyError if SQLite has given up the whole transaction, as it does when the disk is full.
    """
    connection.exec_driver_sql("SAVEPOINT alone")
    try:
        yield
    except BaseException:
        connection.exec_driver_sql("ROLLBACK TO alone")
        connection.exec_driver_sql("RELEASE alone")
        raise
    connection.exec_driver_sql("RELEASE alone")


@dataclass(slots=True)
class _Piece:
    """Work that somebody waits for, and what came of it: an error if there is one, else the result."""

    work: Callable[[Connection], Any]
    waiter: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None

    def answer(self) -> None:
        """Tells whoever waits; in the event loop."""
        if self.waiter.done():
            return
        if self.error is None:
            self.waiter.set_result(self.result)
        else:
            self.waiter.set_exception(self.error)


@dataclass(frozen=True, slots=True)
class Commits:
    """The thread that writes, and what waits for it. For one event loop."""

    _engine: Engine
    _waiting: SimpleQueue[_Piece] = field(default_factory=SimpleQueue)
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "store"))

    async def do(self, work: Callable[[Connection], T]) -> T:
        """Does `work`, synced to the disk when this returns. What `work` raises undoes it, and nothing else."""
        loop = asyncio.get_running_loop()
        piece = _Piece(work, loop.create_future())
        self._waiting.put(piece)
        self._thread.submit(self._do_what_waits, loop)
        result: T = await piece.waiter
        return result

    def close(self) -> None:
        """Finishes what is under way."""
        self._thread.shutdown()

    def _do_what_waits(self, loop: asyncio.AbstractEventLoop) -> None:
        pieces = self._taken()
        if not pieces:
            return
        try:
            with self._engine.begin() as connection:
                for piece in pieces:
                    _do_alone(connection, piece)
        except BaseException as error:
            for piece in pieces:
                piece.error = error
        # Only now, behind the commit: an answer means that it is on the disk.
        loop.call_soon_threadsafe(_answer, pieces)

    def _taken(self) -> list[_Piece]:
        # Each `do` calls once; who comes when others' calls have taken its piece along finds nothing.
        pieces: list[_Piece] = []
        try:
            while len(pieces) < MOST:
                pieces.append(self._waiting.get_nowait())
        except Empty:
            pass
        return pieces


def _answer(pieces: list[_Piece]) -> None:
    for piece in pieces:
        piece.answer()


def _do_alone(connection: Connection, piece: _Piece) -> None:
    connection.exec_driver_sql("SAVEPOINT piece")
    try:
        piece.result = piece.work(connection)
    except Exception as error:
        piece.error = error
        connection.exec_driver_sql("ROLLBACK TO piece")
    # On a full disk SQLite gives up the whole transaction, savepoints and all. Then this or the line above raises,
    # and everybody in it is told so.
    connection.exec_driver_sql("RELEASE piece")
