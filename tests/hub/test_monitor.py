"""A worker's monitor on a real database: what it costs to ask, and that an older database is named."""

import time
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import httpx2
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy.local.services import Services
from hub import deadlines
from hub.canary import CanaryState
from hub.database import WORKER, engine_of
from hub.monitor import make_app
from tests.hub.ownhub import OwnHub
from tests.hub.plans import questions, read_in, rows_read

pytestmark = pytest.mark.system

MANY = 3_000
_FILL = f"""
    INSERT INTO held (node, message_id, type, urgent, body, attempts, due, reason)
    SELECT 'ro', 'of the monitor ' || number, 'envelope', 0, '', 1, 0, 'rejected' FROM generate_series(1, {MANY}) number
"""  # noqa: S608 ours


@pytest.fixture
async def filled(engine: AsyncEngine) -> AsyncIterator[AsyncEngine]:
    """A database that holds much."""
    async with engine.begin() as connection:
        await connection.execute(text(_FILL))
    yield engine
    async with engine.begin() as connection:
        await connection.execute(text("DELETE FROM held"))


async def _get(engine: AsyncEngine, path: str) -> httpx2.Response:
    canary = SimpleNamespace(state=CanaryState(time.time(), time.time()), period_s=30.0)
    app = make_app(cast(Any, SimpleNamespace(consuming=True, canary=canary)), engine)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://hub") as client:
        return await client.get(path)


async def test_to_ask_whether_it_is_ready_reads_no_table(filled: AsyncEngine) -> None:
    with questions(filled) as asked:
        assert (await _get(filled, "/readyz")).status_code == 200
    assert asked
    assert sum([await rows_read(filled, question) for question in asked]) == 0
    with questions(filled) as asked:
        assert b"seci_hub_held 3000" in (await _get(filled, "/metrics")).content
    # The ruler measures: to count them they are read.
    assert sum([await rows_read(filled, question) for question in asked]) >= MANY


# Question number n: of the first 3 000 the time to answer is past, and of the first 2 995 the message has expired, too.
# Each goes to ro and bg; what ro was asked first of what is open it has declined, and answered what it was asked next.
_QUESTIONS = f"""
    INSERT INTO message (sender, id, envelope, leaf_index, at, thread, task_force, kind, priority, recipients, expires,
        remind_at, reply_by)
    SELECT 'tr', lpad(n::text, 32, '0')::uuid, sha256(n::text::bytea), n, 0, lpad(n::text, 32, '0')::uuid, 'drugs',
        'request', 'normal', ARRAY['ro', 'bg'], CASE WHEN n <= {MANY} - 5 THEN 2 ELSE 10000 END, 1,
        CASE WHEN n <= {MANY} THEN 1 ELSE 9000 END
    FROM generate_series(1, {MANY} + 3) n;
    INSERT INTO acknowledgement
    SELECT 'tr', id, 'ro', CASE WHEN leaf_index = {MANY} - 4 THEN 'declined' ELSE 'delivered' END, leaf_index, 0, ''
    FROM message;
    INSERT INTO message (sender, id, envelope, leaf_index, at, thread, task_force, kind, priority, recipients, expires,
        in_reply_to)
    SELECT 'ro', lpad((n + 10000)::text, 32, '0')::uuid, '', n + 10000, 0, lpad(n::text, 32, '0')::uuid, 'drugs',
        'reply', 'normal', ARRAY['tr'], 2, lpad(n::text, 32, '0')::uuid FROM generate_series(1, {MANY} - 3) n;
    ANALYZE
"""  # noqa: S608 ours


@pytest.mark.parametrize("application", ["seci-hub", f"{WORKER} 1"])
async def test_how_many_answers_are_overdue_is_not_looked_up_in_all_that_was_ever_asked(
    own: OwnHub, application: str
) -> None:
    engine = engine_of(own.url, application)
    own.sql(*_QUESTIONS.split(";"))
    async with engine.begin() as connection:
        with questions(engine) as asked:
            # Five questions for two each; ro has declined one of them and answered another.
            assert await deadlines.escalated(connection, 1000) == 8
        answer = await connection.exec_driver_sql("EXPLAIN (ANALYZE, FORMAT JSON) " + asked[0][0], asked[0][1])
        assert read_in(answer.scalar_one()) < 100
    await engine.dispose()


@pytest.mark.parametrize(
    ("older", "again"),
    [
        ("ALTER TABLE held RENAME COLUMN since TO other", "ALTER TABLE held RENAME COLUMN other TO since"),
        (
            "ALTER TABLE timestamp_progress RENAME tried TO other",
            "ALTER TABLE timestamp_progress RENAME other TO tried",
        ),
        ("ALTER TABLE witness_round RENAME line TO other", "ALTER TABLE witness_round RENAME other TO line"),
        ("ALTER FUNCTION take_turn_seeing RENAME TO other", "ALTER FUNCTION other RENAME TO take_turn_seeing"),
    ],
)
async def test_a_database_without_what_the_newest_migrations_added_is_outdated(
    engine: AsyncEngine, services: Services, older: str, again: str
) -> None:
    services.postgres.run_sql(older)
    try:
        answer = await _get(engine, "/readyz")
        assert (answer.status_code, answer.json()["code"]) == (503, "database_outdated")
    finally:
        services.postgres.run_sql(again)
    assert (await _get(engine, "/readyz")).status_code == 200
