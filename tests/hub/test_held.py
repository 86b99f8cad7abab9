"""What is held, in a real database: tried in order and with patience, at a cost that does not grow with it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy.local.services import Services
from hub import database
from hub.dispatch import SILENT, Dispatcher
from hub.publication import Publication, Untaken
from hub.retrying import retry_held
from tests.hub.plans import questions, rows_read

pytestmark = pytest.mark.system

MANY = 20_000
_HOLD = """
    INSERT INTO held (node, message_id, type, urgent, body, attempts, due, reason)
    SELECT CAST(:node AS text), CAST(:urgent AS integer) || ' message ' || number, 'envelope', CAST(:urgent AS integer),
        'body', 1, CAST(:due AS bigint), 'rejected'
    FROM generate_series(1, CAST(:count AS integer)) AS number
"""


class Inboxes:
    """Takes what is published, but for the nodes whose inboxes are full."""

    def __init__(self, *full: str) -> None:
        self._full = full
        self.offered: list[Publication] = []

    async def publish(self, publications: Sequence[Publication]) -> list[Untaken]:
        self.offered += publications
        return [Untaken(item, "rejected") for item in publications if item.node in self._full]


@pytest.fixture
async def held(engine: AsyncEngine, services: Services) -> AsyncIterator[AsyncEngine]:
    """Very many messages held for one node that are not due, and a few for others that are."""
    queues = [("bg", 0, 2**62, MANY), ("bg", 1, 0, 3), ("hr", 0, 2**62, 2), ("ro", 0, 0, 50), ("tr", 1, 0, 2)]
    async with engine.begin() as connection:
        for node, urgent, due, count in queues:
            row: dict[str, Any] = {"node": node, "urgent": urgent, "due": due, "count": count}
            await connection.execute(text(_HOLD), row)
    services.postgres.run_sql("ANALYZE held")
    yield engine
    async with engine.begin() as connection:
        await connection.execute(text("DELETE FROM held"))


async def test_the_first_of_each_queue_are_tried_in_order(held: AsyncEngine) -> None:
    inboxes = Inboxes("tr")
    assert await retry_held(held, cast(Dispatcher, inboxes)) == 23
    offered = [(item.node, item.urgent, item.message_id) for item in inboxes.offered]
    assert offered == [
        *(("bg", True, f"1 message {number}") for number in range(1, 4)),
        *(("ro", False, f"0 message {number}") for number in range(1, 21)),
        *(("tr", True, f"1 message {number}") for number in range(1, 3)),
    ]
    # What was not taken waits now, and the rest goes on.
    assert await retry_held(held, cast(Dispatcher, inboxes)) == 20
    assert {item.node for item in inboxes.offered[25:]} == {"ro"}


async def test_a_look_at_what_is_due_does_not_read_all_that_is_held(held: AsyncEngine) -> None:
    with questions(held) as asked:
        await retry_held(held, cast(Dispatcher, Inboxes("bg", "ro", "tr")))
    read = [await rows_read(held, question) for question in asked]
    assert 0 < sum(read) < MANY / 20


async def test_of_an_inbox_that_gave_no_answer_one_message_is_tried_until_it_does(held: AsyncEngine) -> None:
    silent = text("UPDATE held SET due = 0, reason = :reason WHERE node = 'ro'")
    async with held.begin() as connection:
        await connection.execute(silent, {"reason": SILENT})
    inboxes = Inboxes("ro")
    assert await retry_held(held, cast(Dispatcher, inboxes)) == 5
    assert [item.message_id for item in inboxes.offered if item.node == "ro"] == ["0 message 1"]
    async with held.begin() as connection:
        await connection.execute(silent, {"reason": SILENT})
    answering = Inboxes()
    assert await retry_held(held, cast(Dispatcher, answering)) == 20
    assert [item.message_id for item in answering.offered] == [f"0 message {number}" for number in range(1, 21)]


async def test_publishing_may_take_longer_than_a_worker_may_hold_up_the_ledger(
    held: AsyncEngine, tables: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(Inboxes):
        async def publish(self, publications: Sequence[Publication]) -> list[Untaken]:
            await asyncio.sleep(1)
            return await super().publish(publications)

    monkeypatch.setattr(database, "PATIENCE_MS", "200")
    engine = database.engine_of(tables, f"{database.WORKER} 1")
    assert await retry_held(engine, cast(Dispatcher, Slow())) == 25
    await engine.dispose()
