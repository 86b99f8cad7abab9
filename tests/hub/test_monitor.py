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
from hub.canary import CanaryState
from hub.monitor import make_app
from tests.hub.plans import questions, rows_read

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
