"""Rounds: which checkpoint the witnesses are asked to cosign, and what they cosigned.

A quorum must cosign one and the same checkpoint, and nodes ask at different times. So one checkpoint is offered to
all of them until more than half have cosigned it, or for a few rounds' time if they do not; then the newest one. A
round begins when somebody asks and the ledger has grown: a ledger at rest costs nothing. A new roster ends a round at
once: nodes wait for the link to its checkpoint.

Under what is to be cosigned the hub puts its second signature, once a round. In every batch's checkpoint it would cost
too much, and receipts come under a round's checkpoint by themselves.
"""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import ARRAY, Row, Text, bindparam, delete, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from crypto.cosignature import CosignerKey, time_of
from crypto.errors import NoteInvalid, TileInvalid
from crypto.hubkeys import signer_of
from crypto.log import log
from crypto.note import Checkpoint, Note
from hub import ledger, registrar, tables, tilestore
from hub.ledger import Head, Ledger
from schemas.witnessing import MOST_CLAIMS

# So many times as long as a round takes, a checkpoint waits for half of the witnesses.
PATIENCE: Final = 10
# Of so many rounds cosignatures are taken and kept. Nodes keep what they have proofs under.
KEPT: Final = 100
CLOCK_AHEAD_S: Final = 5 * 60
_CONTRADICTIONS: Final = MOST_CLAIMS - 1
_NEWEST: Final = text(
    """
    SELECT round.size, round.at, checkpoint.note, (SELECT max(size) FROM ledger_checkpoint) AS head,
        round.line IS NULL AS unsigned,
        (SELECT leaf_index FROM roster ORDER BY version DESC LIMIT 1) >= round.size AS outdated,
        (SELECT count(*) FROM cosignature WHERE cosignature.size = round.size AND node = ANY (:nodes)) AS cosigned
    FROM witness_round AS round JOIN ledger_checkpoint AS checkpoint ON checkpoint.size = round.size
    ORDER BY round.size DESC LIMIT 1
    """
).bindparams(bindparam("nodes", type_=ARRAY(Text)))
_COSIGNED: Final = text(
    """
    SELECT size FROM cosignature WHERE size < :before AND node = ANY (:nodes)
    GROUP BY size HAVING count(*) * 2 > :witnesses ORDER BY size DESC
    """
).bindparams(bindparam("nodes", type_=ARRAY(Text)))
# But for those of handovers: who was away for long is asked to cosign them first.
_OLD: Final = (
    "size < (SELECT size FROM witness_round ORDER BY size DESC OFFSET :kept LIMIT 1) "
    "AND size NOT IN (SELECT leaf_index + 1 FROM handover)"
)
_CLEAR: Final = (
    f"DELETE FROM cosignature WHERE {_OLD}",  # noqa: S608 ours
    f"DELETE FROM witness_round WHERE {_OLD}",  # noqa: S608 ours
)


@dataclass(frozen=True, slots=True)
class Round:
    """The checkpoint that all are asked to cosign: its size, and the note as the ledger has it.

    Of the tree of a handover, `news` is what nodes are told of that.
    """

    size: int
    note: str
    news: bytes | None = None


async def boundary(connection: AsyncConnection, log: Ledger, old: int) -> Round | None:
    """The tree of the first handover that one who has followed `old` entries must come through, if there is one.

    A node goes by the key that it knows: by this checkpoint, which both keys have signed, it comes to the next one.
    """
    for size, news in zip(log.keys.boundaries, log.handovers, strict=True):
        if size > old:
            return Round(size, (await ledger.covering(connection, size - 1)).note, news)
    return None


async def current(engine: AsyncEngine, log: Ledger, witnesses: Collection[str], round_ms: int) -> Round:
    """The round that is under way, or a new one. Raises as `ledger.check`: a hub that may not sign offers nothing."""
    async with engine.connect() as connection:
        row = (await connection.execute(_NEWEST, {"nodes": list(witnesses)})).first()
    # One that began before the hub had a second key gives way at once: its checkpoint would not last.
    unsigned = row is not None and row.unsigned and log.second is not None
    if row is not None and not unsigned:
        over = row.outdated or is_over(_now() - row.at, row.cosigned, len(witnesses), round_ms)
        if not over or row.size == row.head:
            return Round(row.size, row.note)
    async with engine.begin() as connection:
        # Nobody outside may see a checkpoint before the lock store is certain of it.
        await ledger.take_turn(connection)
        newest = await ledger.check(connection, log)
        await begin(connection, log, newest)
        for statement in _CLEAR:
            await connection.execute(text(statement), {"kept": KEPT})
    return Round(newest.range.size, newest.note)


async def begin(connection: AsyncConnection, log: Ledger, newest: Head) -> None:
    """A round of that checkpoint; it signs it with our second key. For the caller's transaction."""
    table, size, line = tables.witness_round, newest.range.size, None
    if log.second is not None:
        await connection.execute(delete(table).where(table.c.size == size, table.c.line.is_(None)))
        line = log.second.sign(log.checkpoint(newest.range).text(), int(time.time())).line()
    begun = insert(table).values(size=size, at=_now(), line=line)
    await connection.execute(begun.on_conflict_do_nothing())


def is_over(age_ms: int, cosigned: int, witnesses: int, round_ms: int) -> bool:
    """Whether a round of that age gives way to the next one; one of a time to come was begun by a wrong clock."""
    enough = cosigned * 2 > witnesses or not witnesses
    return not -round_ms <= age_ms < (round_ms if enough else PATIENCE * round_ms)


async def cosigned(connection: AsyncConnection, size: int, note: str) -> str:
    """The note of that checkpoint with our second signature and the cosignatures, as far as it has them."""
    begun, table = tables.witness_round.c, tables.cosignature.c
    second = await connection.scalar(select(begun.line).where(begun.size == size))
    lines = await connection.execute(select(table.line).where(table.size == size).order_by(table.node))
    return note + (second or "") + "".join(lines.scalars())


async def others(
    connection: AsyncConnection, log: Ledger, size: int, witnesses: Mapping[str, CosignerKey]
) -> list[str]:
    """What every node should see besides: what contradicts us, and the newest earlier checkpoint with a majority."""
    table = tables.contradiction.c
    newest = select(table.note).order_by(table.at.desc()).limit(_CONTRADICTIONS)
    found = list((await connection.execute(newest)).scalars())
    earlier = await _with_majority(connection, log, size, witnesses)
    if earlier is not None:
        found.append(await cosigned(connection, earlier.range.size, earlier.note))
    return found


async def witnessed(connection: AsyncConnection, log: Ledger) -> Head | None:
    """The newest checkpoint that more than half of the witnesses in the roster in force have cosigned, if any."""
    signed = await registrar.newest(connection, 0)
    if signed is None:
        return None
    witnesses = registrar.trust_of([signed], log.keys).witnesses(_now())
    size = (await ledger.head(connection)).range.size
    return await _with_majority(connection, log, size + 1, witnesses)


async def _with_majority(
    connection: AsyncConnection, log: Ledger, before: int, witnesses: Mapping[str, CosignerKey]
) -> Head | None:
    """The newest checkpoint of fewer than `before` entries that more than half of these have cosigned.

    Rows say little: whoever can write to the database can make some up. So each cosignature is verified again.
    """
    asked = {"before": before, "nodes": list(witnesses), "witnesses": len(witnesses)}
    for size in (await connection.execute(_COSIGNED, asked)).scalars():
        found = await ledger.covering(connection, size - 1)
        if 2 * await _count(connection, log.checkpoint(found.range), witnesses) > len(witnesses):
            return found
    return None


async def _count(connection: AsyncConnection, checkpoint: Checkpoint, witnesses: Mapping[str, CosignerKey]) -> int:
    """How many of these witnesses have cosigned the checkpoint."""
    table = tables.cosignature.c
    rows = await connection.execute(select(table.node, table.line).where(table.size == checkpoint.size))
    text = checkpoint.text()
    return sum(row.node in witnesses and _is_cosigned(text, row.line, witnesses[row.node]) for row in rows)


# Each node asks every few seconds, and is told of the same checkpoint.
@lru_cache(maxsize=1024)
def _is_cosigned(text: str, line: str, key: CosignerKey) -> bool:
    try:
        Note.parse(f"{text}\n{line}").check(key)
    except NoteInvalid:
        return False
    return True


async def keep(engine: AsyncEngine, ledger: Ledger, node: str, key: CosignerKey, signed: str) -> None:
    """Takes in a node's cosignature; `signed` is the note with our signature and its own.

    One over another tree than ours is kept and told to all: we have signed two histories. Raises NoteInvalid for a
    checkpoint that we have not signed, or a cosignature that is not the node's.
    """
    note = Note.parse(signed)
    checkpoint = Checkpoint.parse(note.text)
    ours, theirs = note.check(signer_of(note, ledger.keys)), note.check(key)
    if checkpoint.origin != ledger.origin or time_of(theirs.value) > time.time() + CLOCK_AHEAD_S:
        raise NoteInvalid(f"a cosignature by {node} of another log, or of a time to come")
    async with engine.begin() as connection:
        if await _is_ours(connection, checkpoint):
            table = tables.witness_round.c
            if await connection.scalar(select(func.count()).where(table.size == checkpoint.size)):
                row = {"size": checkpoint.size, "node": node, "line": theirs.line(), "at": _now()}
                await connection.execute(insert(tables.cosignature).values(row).on_conflict_do_nothing())
            return
        evidence = str(Note(note.text, (ours, theirs)))
        row = {"size": checkpoint.size, "root": checkpoint.root, "node": node, "note": evidence, "at": _now()}
        new = await connection.execute(insert(tables.contradiction).values(row).on_conflict_do_nothing())
        if new.rowcount:
            log.critical("ledger_contradicted", node=node, size=checkpoint.size, root=checkpoint.root.hex())


async def _is_ours(connection: AsyncConnection, checkpoint: Checkpoint) -> bool:
    row: Row[Any] | None = (
        await connection.execute(
            select(tables.ledger_checkpoint.c.root).where(tables.ledger_checkpoint.c.size == checkpoint.size)
        )
    ).first()
    if row is not None:
        return bool(row.root == checkpoint.root)
    try:
        return await tilestore.root_at(connection, checkpoint.size) == checkpoint.root
    except TileInvalid:
        # Larger than our ledger is, and yet we signed it.
        return False


def _now() -> int:
    return time.time_ns() // 1_000_000
