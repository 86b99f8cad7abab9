"""How much PostgreSQL reads to answer: counted in its own execution plans, since times are the machine's."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

Question = tuple[str, Any]


@contextmanager
def questions(engine: AsyncEngine) -> Iterator[list[Question]]:
    """What an engine asks while the block runs, without what it changes."""
    asked: list[Question] = []

    def note(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        if statement.lstrip().upper().startswith(("SELECT", "WITH")):
            asked.append((statement, parameters))

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", note)


async def rows_read(engine: AsyncEngine, question: Question) -> int:
    """How many rows of tables and indexes are read for an answer."""
    statement, parameters = question
    async with engine.connect() as connection:
        answer = await connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters)
        return read_in(answer.scalar_one())


def read_in(plan: Any) -> int:
    """How many rows a plan has read, which PostgreSQL gave as JSON."""
    return _read((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"])


def _read(node: dict[str, Any]) -> int:
    own = node["Actual Rows"] + node.get("Rows Removed by Filter", 0) if "Scan" in node["Node Type"] else 0
    return int(own * node["Actual Loops"]) + sum(_read(child) for child in node.get("Plans", ()))
