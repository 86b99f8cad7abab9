"""What may be erased, what is to be by the rules, and a run over a real ledger that is interrupted."""

import asyncio
from collections.abc import Sequence

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from hub import audit, retention
from hub.erasure import DAY_MS, Candidate, obstacle
from hub.judge import OLDEST_MS
from hub.quarantine import Decision
from hub.retention import Swept
from hub.settings import RetentionRule
from schemas.control import Entry, Event
from tests.crypto.people import NOW
from tests.hub.ownhub import OwnHub

RULES = (
    RetentionRule(event=Event.ACCEPTED, keep_days=100),
    RetentionRule(event=Event.ACCEPTED, kind="alert", keep_days=30),
    RetentionRule(event=Event.DELIVERED, kind="alert", keep_days=40),
    RetentionRule(event=Event.REFUSED, keep_days=2),
)


@pytest.mark.parametrize(
    ("event", "kind", "days"),
    [
        (Event.ACCEPTED, "alert", 30),
        (Event.ACCEPTED, "request", 100),
        (Event.DELIVERED, "alert", 40),
        (Event.DELIVERED, "request", None),
        (Event.REFUSED, None, 2),
        (Event.ROSTER, None, None),
    ],
)
def test_a_rule_for_the_kind_goes_before_one_for_all(event: Event, kind: str | None, days: int | None) -> None:
    assert retention.keep_days(RULES, event, kind) == days


@pytest.mark.parametrize(
    ("event", "kind", "expires", "age", "due"),
    [
        (Event.ACCEPTED, "alert", NOW, 30, True),
        (Event.ACCEPTED, "alert", NOW, 29, False),
        (Event.ACCEPTED, "alert", NOW + 30 * DAY_MS, 30, False),
        (Event.ACCEPTED, "request", NOW, 30, False),
        (Event.REFUSED, None, None, 14, False),
        (Event.REFUSED, None, None, 15, True),
        (Event.DELIVERED, "request", NOW, 30_000, False),
    ],
)
def test_what_is_old_enough_and_not_needed_is_due(
    event: Event, kind: str | None, expires: int | None, age: int, due: bool
) -> None:
    found = Candidate(7, Entry(event=event, at=NOW, node="ro"), kind, expires)
    assert retention.is_due(found, RULES, NOW + age * DAY_MS) is due


@pytest.mark.parametrize(
    ("found", "now", "words"),
    [
        (Candidate(0, Entry(event=Event.ROSTER, at=0, node="seci")), NOW, "never"),
        (Candidate(0, Entry(event=Event.ERASED, at=0, node="seci")), NOW, "never"),
        (Candidate(0, Entry(event=Event.OPERATOR, at=0, node="seci")), NOW, "never"),
        (Candidate(0, Entry(event=Event.QUARANTINED, at=0, node="ro"), decided=False), NOW, "nobody has decided"),
        (Candidate(0, Entry(event=Event.QUARANTINED, at=0, node="ro")), NOW, None),
        (Candidate(0, Entry(event=Event.REFUSED, at=NOW, node="ro")), NOW + OLDEST_MS + DAY_MS - 1, "15 days old"),
        (Candidate(0, Entry(event=Event.REFUSED, at=NOW, node="ro")), NOW + OLDEST_MS + DAY_MS, None),
        (Candidate(0, Entry(event=Event.DELIVERED, at=0, node="ro"), "alert", NOW), NOW + DAY_MS - 1, "expired less"),
        (Candidate(0, Entry(event=Event.DELIVERED, at=NOW, node="ro"), "alert", NOW), NOW + DAY_MS, None),
    ],
)
def test_what_is_needed_yet_stays(found: Candidate, now: int, words: str | None) -> None:
    said = obstacle(found, now)
    assert said is None if words is None else words in (said or "")


class _Enough(Exception):
    """Raised in the middle of a run."""


def _stop(done: int, size: int) -> None:
    raise _Enough


@pytest.mark.system
async def test_a_run_that_is_interrupted_is_gone_on_with(
    own: OwnHub, own_engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 3)
    erasing = (own.log, Decision("Ana", retention.REASON))
    said: list[tuple[int, int]] = []

    async def sweep(rules: Sequence[RetentionRule], *, dry: bool = False) -> Swept:
        return await retention.sweep(own_engine, rules, lambda *told: said.append(told), None if dry else erasing)

    async def audited() -> tuple[int, int]:
        async with own_engine.connect() as connection:
            found = await audit.audit(connection, own.log, lambda *_: None)
        return found.size, found.erased

    await own.append(own_engine, 8)
    assert (await sweep(RULES, dry=True)).due == {("refused", None): 8}
    assert (said, await audited()) == ([(3, 8), (6, 8), (8, 8)], (8, 0))
    assert (await sweep(RULES[:3])).count == 0
    with pytest.raises(_Enough):
        await retention.sweep(own_engine, RULES, _stop, erasing)
    assert await audited() == (9, 3)
    one, other = await asyncio.gather(sweep(RULES), sweep(RULES))
    assert one.count + other.count == 5
    assert await audited() == (9 + len(one.erased_by) + len(other.erased_by), 8)
    assert (await sweep(RULES)).count == 0
