"""Statements of a message's way, compiled once and then given to SQLite directly.

SQLAlchemy says what they are, by the tables in `store`; its way through caches, events and results takes ten times as
long as SQLite does, for each message several times. What is not on that way goes through SQLAlchemy.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ClauseElement
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Connection
from sqlalchemy.exc import OperationalError

_DIALECT: Final = sqlite.dialect(paramstyle="qmark")


def tell(connection: Connection, statement: str) -> None:
    """Executes a statement that has no values and gives none. Raises OperationalError."""
    try:
        _driver(connection).execute(statement)
    except sqlite3.Error as error:
        raise OperationalError(statement, None, error) from error


def in_transaction(connection: Connection) -> bool:
    """Whether SQLite is in one."""
    return bool(_driver(connection).in_transaction)


def _driver(connection: Connection) -> Any:
    return connection.connection.driver_connection


class Prepared:
    """A statement whose parameters are bytes, text, integers or None; `columns` are those that an INSERT gives.

    An UPDATE or a SELECT names its parameters itself. What it says of results is in the order of its columns.
    """

    def __init__(self, statement: ClauseElement, *columns: str) -> None:
        compiled: Any = statement.compile(dialect=_DIALECT, column_keys=columns or None)
        self._sql = str(compiled)
        self._names: tuple[str, ...] = tuple(compiled.positiontup)
        # What the statement says itself, and the columns' own defaults.
        self._constants = {name: bind.value for name, bind in compiled.binds.items() if not bind.required}
        if columns:
            self._constants |= {column.key: column.default.arg for column in compiled.insert_prefetch}

    def first(self, connection: Connection, **values: Any) -> tuple[Any, ...] | None:
        """The first row, if there is any. Raises OperationalError."""
        rows = self.all(connection, **values)
        return rows[0] if rows else None

    def all(self, connection: Connection, **values: Any) -> list[tuple[Any, ...]]:
        """All rows. Raises OperationalError."""
        try:
            found: list[tuple[Any, ...]] = _driver(connection).execute(self._sql, self._row(values)).fetchall()
        except sqlite3.Error as error:
            raise OperationalError(self._sql, None, error) from error
        return found

    def change(self, connection: Connection, **values: Any) -> int | None:
        """Changes rows: the last one's id if any were changed. Raises OperationalError."""
        try:
            done = _driver(connection).execute(self._sql, self._row(values))
        except sqlite3.Error as error:
            raise OperationalError(self._sql, None, error) from error
        return int(done.lastrowid or 0) if done.rowcount else None

    def change_each(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Changes what each of these rows of values says. Raises OperationalError."""
        try:
            _driver(connection).executemany(self._sql, [self._row(values) for values in rows])
        except sqlite3.Error as error:
            raise OperationalError(self._sql, None, error) from error

    def _row(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        constants = self._constants
        return tuple(values[name] if name in values else constants[name] for name in self._names)
