"""The ledger in a real database beside its lock store: in step through kills, refused on an older database."""

import asyncio
from itertools import cycle

import asyncpg
import pytest
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from crypto.note import Checkpoint
from crypto.receipt import leaf_of, verify_receipts
from hub import ledger, lockfile, rows, tables
from hub.errors import LedgerBehind, LedgerForked
from hub.pen import writing
from schemas.control import Event, Receipts
from tests.hub.ownhub import OwnHub, entries

pytestmark = pytest.mark.system
# What `provision` writes first: the roster, and who provisioned.
FIRST = 2


async def _head(own: OwnHub, engine: AsyncEngine) -> Checkpoint:
    async with engine.connect() as connection:
        return own.log.checkpoint((await ledger.head(connection)).range)


async def test_an_append_leaves_file_and_database_in_step(own: OwnHub, own_engine: AsyncEngine) -> None:
    for size in (3, 30):
        before = await _head(own, own_engine)
        await own.append(own_engine, size)
        kept = own.log.store.read()
        assert (kept.before, kept.newest, kept.committed) == (before, await _head(own, own_engine), True)
    assert kept.newest.size == 33


@pytest.mark.parametrize("count", [1, rows.MANY - 1, rows.MANY, 400, 401])
async def test_the_database_has_what_the_receipts_say(own: OwnHub, own_engine: AsyncEngine, count: int) -> None:
    mixed = [entry.model_copy(update={"event": event}) for entry, event in zip(entries(count), cycle(Event))]
    async with writing(own_engine, own.log) as connection:
        start = (turn := await ledger.take_turn(connection)).range.size
        appended = await ledger.append(connection, own.log, turn, mixed)
    bundle = Receipts(checkpoint=appended.note, receipts=appended.receipts)
    proven = verify_receipts(bundle, own.log.origin, own.log.signer.verifier)
    assert [(item.index, item.entry) for item in proven] == list(enumerate(mixed, start))
    content, leaf = tables.ledger_content, tables.ledger_leaf
    both = select(content, leaf.c.hash).join_from(content, leaf, content.c.leaf_index == leaf.c.leaf_index)
    async with own_engine.connect() as connection:
        found = await connection.execute(both.where(content.c.leaf_index >= start).order_by(content.c.leaf_index))
    assert [tuple(row) for row in found] == [
        (said.index, str(entry.event), entry.at, said.salt, said.entry, leaf_of(said.salt, said.entry))
        for said, entry in zip(appended.receipts, mixed, strict=True)
    ]


async def test_what_is_rolled_back_never_was_even_after_several_appends(own: OwnHub, own_engine: AsyncEngine) -> None:
    await own.append(own_engine)
    head = await _head(own, own_engine)
    for appends in (1, 3):
        with pytest.raises(KeyError):
            async with writing(own_engine, own.log) as connection:
                for _ in range(appends):
                    turn = await ledger.take_turn(connection)
                    await ledger.append(connection, own.log, turn, entries(2))
                raise KeyError
        kept = own.log.store.read()
        assert (kept.before, kept.newest.size, kept.committed) == (head, 1 + 2 * appends, False)
    await own.append(own_engine)
    assert own.log.store.read().newest == await _head(own, own_engine)


async def test_what_was_rolled_back_is_not_marked_by_who_uses_the_connection_next(
    own: OwnHub, own_engine: AsyncEngine
) -> None:
    await own.append(own_engine)
    with pytest.raises(KeyError):
        async with writing(own_engine, own.log) as connection:
            await ledger.append(connection, own.log, await ledger.take_turn(connection), entries(2))
            raise KeyError
    async with writing(own_engine, own.log):
        pass
    assert not own.log.store.read().committed
    await own.append(own_engine)


@pytest.mark.parametrize("size", [2, 30])
async def test_an_append_that_fails_leaves_a_proposal_that_never_was(
    own: OwnHub, own_engine: AsyncEngine, size: int
) -> None:
    await own.append(own_engine, 3)
    head = await _head(own, own_engine)
    own.sql(f"ALTER TABLE ledger_leaf ADD CONSTRAINT few CHECK (leaf_index < {2 + size})")
    with pytest.raises((asyncpg.CheckViolationError, DBAPIError)):
        await own.append(own_engine, size)
    kept = own.log.store.read()
    assert (kept.before, kept.newest.size, kept.committed) == (head, 3 + size, False)
    own.sql("ALTER TABLE ledger_leaf DROP CONSTRAINT few")
    await own.append(own_engine, size)
    assert own.log.store.read().newest == await _head(own, own_engine)


async def test_a_file_of_the_old_format_is_brought_up_to_date(own: OwnHub, own_engine: AsyncEngine) -> None:
    await own.append(own_engine, 3)
    own.log.store.path.write_bytes(own.log.store.read().to_bytes())
    for _ in range(2):
        await own.append(own_engine)
        kept = own.log.store.read()
        assert (kept.newest, kept.committed) == (await _head(own, own_engine), True)
    assert own.log.store.path.stat().st_size == lockfile.SIZE


async def test_nothing_is_sent_to_a_database_older_than_the_store(own: OwnHub, own_engine: AsyncEngine) -> None:
    await own.append(own_engine, 3)
    store = own.log.store
    store.begin(Checkpoint(store.origin, 4, bytes(32)))
    async with own_engine.connect() as connection:
        turn = await ledger.take_turn(connection)
        with pytest.raises(LedgerBehind):
            await ledger.append(connection, own.log, turn, entries(1))
        # Not even in the transaction that is about to be given up.
        assert (await ledger.head(connection)).range.size == 3


async def test_writers_that_take_turns_stay_in_step(own: OwnHub, own_engine: AsyncEngine) -> None:
    await asyncio.gather(*(own.append(own_engine) for _ in range(24)))
    kept, head = own.log.store.read(), await _head(own, own_engine)
    assert (kept.newest, kept.committed, head.size) == (head, True, 24)


@pytest.mark.parametrize(
    ("moment", "proposed", "left"),
    [
        pytest.param(("hub.ledger:append", "--after"), 1, 0, id="after the file, before the commit"),
        pytest.param(("hub.ledger:settle",), FIRST, FIRST, id="after the commit, before the mark"),
    ],
)
async def test_a_kill_between_the_two_steps_is_no_backup(
    own: OwnHub, own_engine: AsyncEngine, moment: tuple[str, ...], proposed: int, left: int
) -> None:
    assert own.type("provision", crash_at=moment)[0] == -9
    kept = own.log.store.read()
    assert (kept.newest.size, kept.committed) == (proposed, False)
    assert (await _head(own, own_engine)).size == left
    assert own.type("provision")[0] == 0
    await own.append(own_engine)
    assert (await _head(own, own_engine)).size == FIRST + 1
    assert own.log.store.read().newest == await _head(own, own_engine)


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(("hub.rows:insert_with_leaves",), id="before the statements"),
        pytest.param(("hub.lockfile:write",), id="before the file, beside the statements"),
        pytest.param(("hub.lockfile:write", "--after"), id="after the file, beside the statements"),
        pytest.param(("hub.rows:insert_with_leaves", "--after"), id="after the statements, beside the file"),
    ],
)
async def test_a_kill_while_file_and_statements_are_under_way_is_no_backup(
    own: OwnHub, own_engine: AsyncEngine, moment: tuple[str, ...]
) -> None:
    assert own.type("provision", crash_at=moment)[0] == -9
    head = await _head(own, own_engine)
    assert (head.size, own.log.store.read().is_ahead(head)) == (0, False)
    assert own.type("provision")[0] == 0
    await own.append(own_engine)
    kept, head = own.log.store.read(), await _head(own, own_engine)
    assert (head.size, kept.newest, kept.committed) == (FIRST + 1, head, True)


async def test_nothing_is_signed_on_top_of_a_restored_backup(own: OwnHub, own_engine: AsyncEngine) -> None:
    assert own.type("provision")[0] == 0
    await own.append(own_engine, 2)
    await own_engine.dispose()
    own.back_up()
    await own.append(own_engine, 5)
    await own_engine.dispose()
    own.restore()
    kept = own.log.store.read()
    with pytest.raises(LedgerBehind, match="has 4 entries; 9 were signed: 5 are missing"):
        await own.append(own_engine)
    code, said = own.type("run")
    assert (code, said["code"]) == (3, "ledger_behind")
    assert "backup" in said["next"]
    assert (await _head(own, own_engine)).size == 4
    # A command that is safe to repeat does not make it forget.
    assert own.type("init", *own.options)[0] == 0
    assert own.log.store.read() == kept


async def test_a_history_of_the_same_length_is_refused(own: OwnHub, own_engine: AsyncEngine) -> None:
    await own.append(own_engine, 4)
    await own_engine.dispose()
    own.back_up()
    await own.append(own_engine)
    kept = own.log.store.read()
    await own_engine.dispose()
    own.restore()
    # Somebody makes the hub forget, lets it sign another fifth entry, and puts the file back.
    own.log.store.begin(await _head(own, own_engine))
    await own.append(own_engine)
    own.log.store.path.write_bytes(kept.to_bytes())
    with pytest.raises(LedgerForked, match="at 5 entries"):
        await own.append(own_engine)


async def test_an_older_file_is_brought_up_to_what_the_hub_has_signed(own: OwnHub, own_engine: AsyncEngine) -> None:
    await own.append(own_engine, 3)
    older = own.log.store.read()
    await own.append(own_engine, 4)
    own.log.store.path.write_bytes(older.to_bytes())
    await own.append(own_engine)
    assert own.log.store.read().newest == await _head(own, own_engine)


@pytest.mark.parametrize(
    "forgery",
    [
        pytest.param("UPDATE ledger_checkpoint SET root = sha256('x') WHERE size = 3", id="a root that was signed"),
        pytest.param("UPDATE ledger_checkpoint SET note = 'x' || note WHERE size = 7", id="a note of somebody else"),
        pytest.param(
            "UPDATE ledger_checkpoint SET frontier = sha256('x') || sha256('y') || sha256('z') WHERE size = 7",
            id="another tree under the note",
        ),
    ],
)
async def test_a_longer_history_that_is_not_ours_is_refused(own: OwnHub, own_engine: AsyncEngine, forgery: str) -> None:
    await own.append(own_engine, 3)
    older = own.log.store.read()
    await own.append(own_engine, 4)
    own.log.store.path.write_bytes(older.to_bytes())
    own.sql(forgery)
    with pytest.raises(LedgerForked):
        await own.append(own_engine)
    assert own.log.store.read() == older


async def test_a_missing_file_is_made_by_init_alone(own: OwnHub, own_engine: AsyncEngine) -> None:
    await own.append(own_engine, 3)
    own.log.store.path.unlink()
    code, said = own.type("run")
    assert (code, said["code"]) == (2, "lock_store_unusable")
    assert own.type("init", *own.options)[0] == 0
    assert own.log.store.read().newest == await _head(own, own_engine)
