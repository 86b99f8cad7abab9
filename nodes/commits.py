"""Group commit: whatever waits to be done to the store shares one transaction, and so one sync to the disk.

SQLite has one writer, so one thread of its own does all the work. While it commits, more pieces of work come to
wait, and the next transaction has them all; each stands in a savepoint of its own, and what fails is undone alone.
Whoever waits is answered, whatever becomes of the work, of the thread and of the store.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any, Final, TypeVar

from sqlalchemy.engine import Connection, Engine

from nodes.errors import StoreClosed
from nodes.prepared import in_transaction, tell

# So that the first of a transaction does not wait too long for the last.
MOST: Final = 64

T = TypeVar("T")


@contextmanager
def alone(connection: Connection) -> Iterator[None]:
    """What the block does is undone if it raises, and nothing else is.

    Raises SQLAlchemyError if SQLite has given up the whole transaction, as it does when the disk is full.
    """
    tell(connection, "SAVEPOINT alone")
    try:
        yield
    except BaseException:
        tell(connection, "ROLLBACK TO alone")
        tell(connection, "RELEASE alone")
        raise
    tell(connection, "RELEASE alone")


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
            self.waiter.set_exception(_bearable(self.error))


def _bearable(error: BaseException) -> Exception:
    # A future takes no StopIteration. Who waits would take CancelledError for their own, and the others end the loop.
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    odd = RuntimeError(f"{type(error).__name__} in work for the store")
    odd.__cause__ = error
    return odd


class Commits:
    """The thread that writes, and what waits for it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # None ends the thread. The lock is held while anything is put there, so that nothing waits behind the end.
        self._waiting: SimpleQueue[_Piece | None] = SimpleQueue()
        self._entrance, self._closed = Lock(), False
        # Who does not close the store can end all the same, as by a kill: what was not answered was not promised.
        self._thread = Thread(target=self._work, name="store", daemon=True)
        self._thread.start()

    async def do(self, work: Callable[[Connection], T]) -> T:
        """Does `work`, synced to the disk when this returns. What `work` raises undoes it, and nothing else.

        Raises StoreClosed. What is no ordinary error of `work`, as StopIteration, comes as a RuntimeError.
        """
        piece = _Piece(work, asyncio.get_running_loop().create_future())
        with self._entrance:
            if self._closed:
                raise _closed()
            self._waiting.put(piece)
        result: T = await piece.waiter
        return result

    def close(self) -> None:
        """Finishes what is under way and what waits. May be repeated."""
        self._end()
        self._thread.join()

    def _end(self) -> None:
        with self._entrance:
            self._closed = True
            self._waiting.put(None)

    def _work(self) -> None:
        pieces: list[_Piece] = []
        try:
            # One for all transactions, which begin and end as `_transaction` says: SQLAlchemy commits nothing.
            with self._engine.connect() as connection:
                while self._take(pieces):
                    self._do_together(connection, pieces)
                    pieces = []
        finally:
            # Should the thread itself fail, nobody waits for it for ever.
            self._end()
            while (piece := self._waiting.get()) is not None:
                pieces.append(piece)
            for piece in pieces:
                piece.error = _closed()
            _tell_all(pieces)

    def _take(self, pieces: list[_Piece]) -> bool:
        """Adds what waits by now, or what comes next; whether there is anything before the end."""
        piece = self._waiting.get()
        while piece is not None:
            pieces.append(piece)
            if len(pieces) == MOST:
                return True
            try:
                piece = self._waiting.get_nowait()
            except Empty:
                return True
        if pieces:
            # Nothing is behind the end: it is what comes next.
            self._waiting.put(None)
        return bool(pieces)

    def _do_together(self, connection: Connection, pieces: list[_Piece]) -> None:
        try:
            with _transaction(connection):
                if len(pieces) == 1:
                    # Alone in its transaction, it needs no savepoint.
                    pieces[0].result = pieces[0].work(connection)
                else:
                    for piece in pieces:
                        _do_alone(connection, piece)
        except BaseException as error:
            for piece in pieces:
                piece.error = error
        # Only now, behind the commit: an answer means that it is on the disk.
        _tell_all(pieces)


@contextmanager
def _transaction(connection: Connection) -> Iterator[None]:
    tell(connection, "BEGIN IMMEDIATE")
    try:
        yield
        tell(connection, "COMMIT")
    except BaseException:
        # Unless SQLite has given it up itself.
        if in_transaction(connection):
            tell(connection, "ROLLBACK")
        raise


def _closed() -> StoreClosed:
    return StoreClosed("the node's store is closed", "start the agent again")


def _tell_all(pieces: Sequence[_Piece]) -> None:
    for loop in {piece.waiter.get_loop() for piece in pieces}:
        with suppress(RuntimeError):
            # Of a loop that is closed nobody waits any more.
            loop.call_soon_threadsafe(_answer, [piece for piece in pieces if piece.waiter.get_loop() is loop])


def _answer(pieces: Sequence[_Piece]) -> None:
    for piece in pieces:
        piece.answer()


def _do_alone(connection: Connection, piece: _Piece) -> None:
    tell(connection, "SAVEPOINT piece")
    try:
        piece.result = piece.work(connection)
    except BaseException as error:
        piece.error = error
        tell(connection, "ROLLBACK TO piece")
    # On a full disk SQLite gives up the whole transaction, savepoints and all. Then this or the line above raises,
    # and everybody in it is told so.
    tell(connection, "RELEASE piece")
