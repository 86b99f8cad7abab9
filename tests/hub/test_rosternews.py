"""Rosters as nodes get them, out of a real database: each proven, the same each time, and none too early."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from crypto.rosternews import open_news
from hub import ledger, registrar, rosternews, rounds
from hub.errors import LedgerBehind
from hub.pen import writing
from schemas.roster import RosterNews
from tests.crypto.people import BG, RO, roster_key, roster_node
from tests.hub.ownhub import OwnHub

pytestmark = pytest.mark.system

NODES = (roster_node("bg", roster_key(BG.signing)), roster_node("ro", roster_key(RO.signing)))
HOUR_MS = 3_600_000


async def _publish(own: OwnHub, engine: AsyncEngine) -> int:
    """A new version; returns how many entries the ledger has with it."""
    async with writing(engine, own.log) as connection:
        await registrar.publish_roster(connection, own.log, NODES, own.log.signer.key)
        return (await ledger.head(connection)).range.size


def _opened(own: OwnHub, news: bytes) -> tuple[int, int]:
    """The version, and the size of the checkpoint that proves it."""
    log = own.log
    found = open_news(RosterNews.from_bytes(news), log.signer.key.public, log.origin, log.signer.verifier)
    return found.roster.version, found.checkpoint.size


async def _of(own: OwnHub, engine: AsyncEngine, version: int) -> bytes:
    async with engine.begin() as connection:
        return await rosternews.of(connection, own.log, version)


async def _after(engine: AsyncEngine, version: int, size: int) -> dict[int, bytes]:
    async with engine.connect() as connection:
        return await rosternews.after(connection, version, size)


async def test_a_roster_is_proven_under_the_checkpoint_that_came_with_it(own: OwnHub, own_engine: AsyncEngine) -> None:
    sizes, first = [], []
    for before in (0, 1, 254, 3, 300, 700):
        if before:
            await own.append(own_engine, before)
        sizes.append(await _publish(own, own_engine))
        first.append(await _of(own, own_engine, len(sizes)))
    for version, size in enumerate(sizes, 1):
        # The same bytes, however the ledger has grown since.
        assert await _of(own, own_engine, version) == first[version - 1]
        assert _opened(own, first[version - 1]) == (version, size)
    await own.append(own_engine, 5)
    assert await _after(own_engine, 0, sizes[-1]) == dict(enumerate(first[:4], 1))
    assert await _after(own_engine, 4, sizes[-1]) == {5: first[4], 6: first[5]}
    # What is beyond the size that is sure is not told yet.
    assert await _after(own_engine, 4, sizes[-1] - 1) == {5: first[4]}
    # Nor what there is not, whatever is asked for.
    assert await _after(own_engine, 6, sizes[-1] + 5) == {}
    assert await _after(own_engine, 2**31 - 1, sizes[-1]) == {}


async def test_an_answer_has_no_more_than_a_line_bears(
    own: OwnHub, own_engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = [await _publish(own, own_engine) for _ in range(3)]
    one = len(await _of(own, own_engine, 1))
    for room, versions in ((0, [1]), (one * 2 + 200, [1, 2]), (one * 4, [1, 2, 3])):
        monkeypatch.setattr(rosternews, "MOST_BYTES", room)
        assert list(await _after(own_engine, 0, sizes[-1])) == versions


async def test_a_new_roster_ends_a_round_so_that_its_checkpoint_can_be_linked(
    own: OwnHub, own_engine: AsyncEngine
) -> None:
    await _publish(own, own_engine)
    await own.append(own_engine, 5)
    begun = await rounds.current(own_engine, own.log, ["bg", "ro"], HOUR_MS)
    await own.append(own_engine, 5)
    # Other entries wait for the round's end.
    assert await rounds.current(own_engine, own.log, ["bg", "ro"], HOUR_MS) == begun
    size = await _publish(own, own_engine)
    await own.append(own_engine, 5)
    later = await rounds.current(own_engine, own.log, ["bg", "ro"], HOUR_MS)
    assert later.size >= size
    await own.append(own_engine, 5)
    assert await rounds.current(own_engine, own.log, ["bg", "ro"], HOUR_MS) == later


async def test_nothing_is_told_out_of_a_restored_backup(own: OwnHub, own_engine: AsyncEngine) -> None:
    await _publish(own, own_engine)
    await own_engine.dispose()
    own.back_up()
    await own.append(own_engine, 5)
    await own_engine.dispose()
    own.restore()
    with pytest.raises(LedgerBehind):
        await _of(own, own_engine, 1)
