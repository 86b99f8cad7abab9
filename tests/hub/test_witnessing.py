"""What the hub tells witnesses, out of a real database: proofs, rounds, cosignatures, contradictions."""

import time
from collections.abc import Sequence
from dataclasses import replace

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine

from crypto import merkle
from crypto.cosignature import Cosigner
from crypto.errors import NoteInvalid, TileInvalid
from crypto.keys import SigningKey
from crypto.note import Checkpoint, Note, NoteSigner, sign_note
from crypto.policy import Policy, witnessed
from crypto.tiles import Tile
from crypto.trust import WITNESS_NAME
from hub import rounds, tables, tilestore
from hub.errors import LedgerBehind
from hub.setup import SECOND_KEY
from tests.crypto.people import RO
from tests.hub.ownhub import OwnHub

NODES = ("bg", "ro", "tr")
WITNESSES = {node: Cosigner(f"{WITNESS_NAME}{node}", SigningKey.from_seed(node.encode() * 16)) for node in NODES}
KEYS = {node: witness.verifier for node, witness in WITNESSES.items()}
HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("age", "cosigned", "witnesses", "over"),
    [
        (0, 3, 3, False),
        (1000, 2, 3, True),
        (1000, 1, 3, False),
        (1000, 2, 4, False),
        (9999, 0, 3, False),
        (10_000, 0, 3, True),
        (1000, 0, 0, True),
        pytest.param(-500, 0, 3, False, id="two workers' clocks differ a little"),
        pytest.param(-3_600_000, 0, 3, True, id="the clock was an hour ahead"),
    ],
)
def test_a_round_ends_with_a_majority_or_with_patience(age: int, cosigned: int, witnesses: int, over: bool) -> None:
    assert rounds.is_over(age, cosigned, witnesses, 1000) is over


async def _leaves(engine: AsyncEngine) -> list[bytes]:
    table = tables.ledger_leaf.c
    async with engine.connect() as connection:
        return list((await connection.execute(select(table.hash).order_by(table.leaf_index))).scalars())


@pytest.mark.system
async def test_any_two_sizes_are_proven_consistent(own: OwnHub, own_engine: AsyncEngine) -> None:
    for count in (1, 6, 249, 300, 200):
        await own.append(own_engine, count)
    leaves = await _leaves(own_engine)
    roots = {size: merkle.root(leaves[:size]) for size in range(1, len(leaves) + 1)}
    async with own_engine.connect() as connection:
        for size in (1, 2, 7, 255, 256, 257, 512, 556, 756):
            olds = [old for old in (1, 2, 3, 7, 128, 255, 256, 257, 511, 512, 556, 755, 756) if old <= size]
            found = await tilestore.consistency(connection, olds, size)
            for old in olds:
                merkle.verify_consistency(old, size, found[old], roots[old], roots[size])
            assert await tilestore.root_at(connection, size) == roots[size]
        with pytest.raises(TileInvalid):
            await tilestore.consistency(connection, [5], 757)
        with pytest.raises(TileInvalid):
            await tilestore.root_at(connection, 2000)
        [tile] = (await tilestore.read(connection, [Tile(1, 0, 2)])).values()
        assert tile == merkle.root(leaves[:256]) + merkle.root(leaves[256:512])


def _cosigned(note: str, *nodes: str, at: int | None = None) -> list[str]:
    checkpoint = Note.parse(note).text
    moment = int(time.time()) if at is None else at
    return [note + WITNESSES[node].sign(checkpoint, moment).line() for node in nodes]


async def _keep(own: OwnHub, engine: AsyncEngine, notes: Sequence[str], *nodes: str) -> None:
    for node, note in zip(nodes, notes, strict=True):
        await rounds.keep(engine, own.log, node, WITNESSES[node].verifier, note)


@pytest.mark.system
async def test_all_are_asked_for_one_checkpoint_until_most_have_cosigned_it(
    own: OwnHub, own_engine: AsyncEngine
) -> None:
    await own.append(own_engine, 5)
    first = await rounds.current(own_engine, own.log, NODES, 0)
    assert first.size == 5
    await own.append(own_engine, 5)
    # Not before a majority, unless it takes very long.
    assert await rounds.current(own_engine, own.log, NODES, HOUR_MS) == first
    await _keep(own, own_engine, _cosigned(first.note, "ro"), "ro")
    assert await rounds.current(own_engine, own.log, NODES, HOUR_MS) == first
    await _keep(own, own_engine, _cosigned(first.note, "bg"), "bg")
    assert await rounds.current(own_engine, own.log, NODES, HOUR_MS) == first
    second = await rounds.current(own_engine, own.log, NODES, 0)
    assert second.size == 10
    async with own_engine.connect() as connection:
        whole = Note.parse(await rounds.cosigned(connection, first.size, first.note))
        [passed_on] = await rounds.others(connection, own.log, second.size, KEYS)
    assert str(whole) == passed_on
    for key in (own.log.signer.verifier, WITNESSES["ro"].verifier, WITNESSES["bg"].verifier):
        whole.check(key)
    assert not whole.is_signed_by(WITNESSES["tr"].verifier)
    # A ledger at rest stays at its round.
    assert await rounds.current(own_engine, own.log, NODES, 0) == second


async def _whole(engine: AsyncEngine, offered: rounds.Round) -> str:
    async with engine.connect() as connection:
        return await rounds.cosigned(connection, offered.size, offered.note)


@pytest.mark.system
async def test_what_is_to_be_cosigned_has_both_signatures_of_the_hub(own: OwnHub, own_engine: AsyncEngine) -> None:
    assert own.log.second is not None
    both = [own.log.signer.verifier, own.log.second.verifier]
    await own.append(own_engine, 5)
    offered = await rounds.current(own_engine, own.log, NODES, 0)
    # Once for the whole round: it is not the same a second time.
    first = await _whole(own_engine, offered)
    await rounds.current(own_engine, own.log, NODES, 0)
    assert await _whole(own_engine, offered) == first
    # A node sends what it has kept of the note, with the second signature or without.
    await _keep(own, own_engine, _cosigned(offered.note, "ro"), "ro")
    await _keep(own, own_engine, _cosigned(first, "bg"), "bg")
    whole = await _whole(own_engine, offered)
    assert whole.startswith(first)
    by = [signature.name for signature in Note.parse(whole).signatures]
    assert by == [*[own.log.origin] * 2, *(WITNESSES[node].name for node in ("bg", "ro"))]
    policy = Policy.of(both, [WITNESSES[node].verifier for node in NODES], 2)
    assert witnessed(whole, policy).checkpoint.size == 5
    without = whole.replace(first.removeprefix(offered.note), "")
    with pytest.raises(NoteInvalid):
        witnessed(without, policy)
    assert witnessed(without, replace(policy, logs=policy.logs[:1])).quorum
    # Batches, and so their receipts, have the first one alone.
    assert [signature.name for signature in Note.parse(offered.note).signatures] == [own.log.origin]


@pytest.mark.system
@pytest.mark.parametrize("grown", [0, 3])
async def test_a_round_from_before_the_second_key_gives_way_to_one_that_has_it(
    own: OwnHub, own_engine: AsyncEngine, grown: int
) -> None:
    log, before = own.log, replace(own.log, second=None)
    assert log.second is not None
    await own.append(own_engine, 5)
    older = await rounds.current(own_engine, before, NODES, HOUR_MS)
    assert await _whole(own_engine, older) == older.note
    await _keep(own, own_engine, _cosigned(older.note, "ro"), "ro")
    # Without a key nothing changes.
    assert await rounds.current(own_engine, before, NODES, HOUR_MS) == older
    if grown:
        await own.append(own_engine, grown)
    newer = await rounds.current(own_engine, log, NODES, HOUR_MS)
    assert newer.size == 5 + grown
    Note.parse(await _whole(own_engine, newer)).check(log.second.verifier)
    # What was cosigned stays.
    assert Note.parse(await _whole(own_engine, older)).is_signed_by(WITNESSES["ro"].verifier)
    assert await rounds.current(own_engine, log, NODES, HOUR_MS) == newer
    assert await rounds.current(own_engine, before, NODES, HOUR_MS) == newer


@pytest.mark.system
async def test_what_is_no_cosignature_of_ours_is_not_kept(own: OwnHub, own_engine: AsyncEngine) -> None:
    await own.append(own_engine, 5)
    offered = await rounds.current(own_engine, own.log, NODES, 0)
    text_ = Note.parse(offered.note).text
    whole, stranger = await _whole(own_engine, offered), sign_note(text_, NoteSigner(own.log.origin, RO.signing))
    [by_ro] = _cosigned(offered.note, "ro")
    for note in (
        *_cosigned(stranger, "bg"),
        *_cosigned(offered.note, "bg", at=int(time.time()) + 3600),
        by_ro,
        offered.note,
        "no note",
    ):
        with pytest.raises(NoteInvalid):
            await _keep(own, own_engine, [note], "bg")
    assert await _whole(own_engine, offered) == whole
    # One of ours that nobody was asked for is true, and of no use.
    await own.append(own_engine, 1)
    async with own_engine.connect() as connection:
        note = await connection.scalar(select(tables.ledger_checkpoint.c.note).where(text("size = 6")))
    await _keep(own, own_engine, _cosigned(note, "bg"), "bg")
    async with own_engine.connect() as connection:
        assert await rounds.cosigned(connection, 6, note) == note


@pytest.mark.system
@pytest.mark.parametrize("size", [3, 5, 9])
async def test_a_cosignature_of_another_history_is_told_to_all(own: OwnHub, own_engine: AsyncEngine, size: int) -> None:
    await own.append(own_engine, 5)
    other = sign_note(Checkpoint(own.log.origin, size, bytes(32)).text(), own.log.signer)
    for _ in range(2):
        await _keep(own, own_engine, _cosigned(other, "tr"), "tr")
    async with own_engine.connect() as connection:
        [told] = await rounds.others(connection, own.log, 5, KEYS)
    Note.parse(told).check(own.log.signer.verifier)
    Note.parse(told).check(WITNESSES["tr"].verifier)
    assert Checkpoint.parse(Note.parse(told).text).size == size


@pytest.mark.system
async def test_a_true_cosignature_of_a_size_between_two_checkpoints_is_no_contradiction(
    own: OwnHub, own_engine: AsyncEngine
) -> None:
    await own.append(own_engine, 9)
    leaves = await _leaves(own_engine)
    note = sign_note(Checkpoint(own.log.origin, 4, merkle.root(leaves[:4])).text(), own.log.signer)
    await _keep(own, own_engine, _cosigned(note, "tr"), "tr")
    async with own_engine.connect() as connection:
        assert await rounds.others(connection, own.log, 9, KEYS) == []


@pytest.mark.system
async def test_no_round_begins_on_a_restored_backup(own: OwnHub, own_engine: AsyncEngine) -> None:
    await own.append(own_engine, 2)
    await own_engine.dispose()
    own.back_up()
    await own.append(own_engine, 5)
    await own_engine.dispose()
    own.restore()
    with pytest.raises(LedgerBehind):
        await rounds.current(own_engine, own.log, NODES, 0)


@pytest.mark.system
async def test_contradictions_are_on_record_and_agreement_is_cleared_away(own: OwnHub, own_engine: AsyncEngine) -> None:
    for size in range(1, rounds.KEPT + 4):
        await own.append(own_engine)
        offered = await rounds.current(own_engine, own.log, NODES, 0)
        assert offered.size == size
        await _keep(own, own_engine, _cosigned(offered.note, "bg", "ro"), "bg", "ro")
    async with own_engine.connect() as connection:
        kept = list((await connection.execute(text("SELECT size FROM witness_round ORDER BY size"))).scalars())
        assert (len(kept), kept[-1]) == (rounds.KEPT + 1, rounds.KEPT + 3)
        oldest = await connection.scalar(text("SELECT min(size) FROM cosignature"))
        assert oldest == kept[0]
    with pytest.raises(ProgrammingError, match="permission denied"):
        async with own_engine.begin() as connection:
            await connection.execute(text("DELETE FROM contradiction"))


@pytest.mark.system
def test_status_shows_the_second_key_or_that_there_is_none(own: OwnHub) -> None:
    # The broker is down, which is told besides.
    code, found = own.type("status")
    assert (code, found["ledger"]["vkey_mldsa"]) == (5, own.log.second_vkey)
    (own.home / SECOND_KEY).unlink()
    assert own.type("status")[1]["ledger"]["vkey_mldsa"] is None
    code, found = own.type("init", *own.options)
    assert (code, found["log_vkey"], found["log_vkey_mldsa"]) == (
        0,
        own.log.signer.verifier.vkey(),
        own.log.second_vkey,
    )
    assert own.type("status")[1]["ledger"]["vkey_mldsa"] == found["log_vkey_mldsa"]
