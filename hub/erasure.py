"""Erasing what entries say. Salt and entry go, and what repeats them in other tables; commitment, leaf and tree stay.

That it was done is an entry of its own: who decided, which entries, why; the database erases nothing that such an
entry of the same transaction does not name. What cannot be judged any more by then may be erased, and nothing sooner:
until a message has expired, its entries say to whom it is owed.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Uuid, any_, bindparam, literal, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from crypto import cose
from crypto.errors import CryptoError
from crypto.receipt import leaf_of
from crypto.trust import ACKNOWLEDGEMENT_TYPE
from hub import ledger, tables
from hub.auditwalk import broken
from hub.errors import Fault, LedgerBroken, NotErasable
from hub.judge import OLDEST_MS
from hub.ledger import DETAIL_SIZE, Ledger
from hub.quarantine import Decision
from hub.settings import KEPT_EVENTS, MESSAGE_EVENTS
from schemas.control import Acknowledgement, ControlRefused, Entry, Event
from schemas.participants import CENTRE

DAY_MS: Final = 86_400_000
_ERASE: Final = text("SELECT erase_entries(:by, :indices, :ids)").bindparams(
    bindparam("indices", type_=ARRAY(BigInteger)), bindparam("ids", type_=ARRAY(Uuid))
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An entry with what decides on its erasure: its message's kind and expiry (ms), and whether it was decided on."""

    index: int
    entry: Entry
    kind: str | None = None
    expires: int | None = None
    decided: bool = True


def obstacle(found: Candidate, now: int) -> str | None:
    """Why the entry may not be erased, or not yet; None if it may. `now` in ms."""
    event = found.entry.event
    if event in KEPT_EVENTS:
        return f"an entry `{event}` is never erased"
    if not found.decided:
        return "it is in quarantine, and nobody has decided on that"
    if event in MESSAGE_EVENTS and found.expires is not None:
        return None if found.expires + DAY_MS <= now else "its message expired less than a day ago, or has not yet"
    # What comes again when it is older than that is refused for its age, whatever else is known of it.
    return None if found.entry.at + OLDEST_MS + DAY_MS <= now else f"it is not {OLDEST_MS // DAY_MS + 1} days old"


async def erase(connection: AsyncConnection, log: Ledger, indices: Collection[int], decision: Decision) -> int:
    """Erases these entries, in the caller's transaction; the index of the entry that says so.

    All of them or none. Raises EntryUnknown, EntryErased, NotErasable; LedgerBroken for one that is not what its leaf
    commits to: that is evidence, and stays.
    """
    turn = await ledger.take_turn(connection)
    found = await candidates(connection, sorted(set(indices)))
    check(found, turn.at)
    return await record(connection, log, turn, found, decision)


def check(found: Iterable[Candidate], now: int) -> None:
    """Raises NotErasable for the first that has an obstacle."""
    for item in found:
        reason = obstacle(item, now)
        if reason is not None:
            words = "leave it out" if item.entry.event in KEPT_EVENTS else "leave it out, or wait"
            raise NotErasable(f"entry {item.index} stays: {reason}", f"{words}; nothing was erased")


async def record(
    connection: AsyncConnection, log: Ledger, turn: ledger.Turn, found: Sequence[Candidate], decision: Decision
) -> int:
    """Writes down that these are erased, and erases them; at least one, in the ledger's order."""
    detail = f"{decision.operator}: {decision.reason}"[:DETAIL_SIZE]
    indices = tuple(item.index for item in found)
    entry = Entry(event=Event.ERASED, at=turn.at, node=CENTRE, detail=detail, erased=indices)
    by = (await ledger.append(connection, log, turn, [entry])).receipts[0].index
    ids = {item.entry.message for item in found if item.entry.message is not None}
    ids |= await _named(connection, {item.entry.evidence for item in found if item.entry.evidence is not None})
    await connection.execute(_ERASE, {"by": by, "indices": list(indices), "ids": list(ids)})
    return by


async def candidates(connection: AsyncConnection, indices: Sequence[int]) -> list[Candidate]:
    """These entries. Raises EntryUnknown, EntryErased, LedgerBroken."""
    leaf, content = tables.ledger_leaf.c, tables.ledger_content.c
    query = select(content.leaf_index, content.salt, content.entry, leaf.hash).join_from(
        tables.ledger_content, tables.ledger_leaf, leaf.leaf_index == content.leaf_index
    )
    wanted = content.leaf_index == any_(literal(list(indices), ARRAY(BigInteger)))
    entries = {row.leaf_index: _read(row) for row in await connection.execute(query.where(wanted))}
    for index in indices:
        if index not in entries:
            raise await ledger.missing(connection, index)
    return await described(connection, entries)


async def described(connection: AsyncConnection, entries: Mapping[int, Entry]) -> list[Candidate]:
    """Entries by index with what else decides on their erasure, in the order given."""
    table = tables.message.c
    ids = list({entry.message for entry in entries.values() if entry.message and entry.event in MESSAGE_EVENTS})
    query = select(table.id, table.kind, table.expires).where(table.id == any_(literal(ids, ARRAY(Uuid))))
    messages: dict[UUID | None, Any] = {row.id: row for row in await connection.execute(query)} if ids else {}
    undecided = await _undecided(connection, entries)
    found = []
    for index, entry in entries.items():
        message = messages.get(entry.message) if entry.event in MESSAGE_EVENTS else None
        kind, expires = (None, None) if message is None else (message.kind, message.expires)
        found.append(Candidate(index, entry, kind, expires, index not in undecided))
    return found


def _read(row: Any) -> Entry:
    index = row.leaf_index
    try:
        if leaf_of(row.salt, row.entry) == row.hash:
            return Entry.from_bytes(row.entry)
        words = "is not what its leaf commits to"
    except ControlRefused as error:
        words = f"does not read: {error}"
    raise _changed(index, words)


def _changed(index: int, words: str) -> LedgerBroken:
    return broken(Fault.CONTENT_CHANGED, tables.ledger_content.name, index, f"entry {index} {words}")


async def _undecided(connection: AsyncConnection, entries: Mapping[int, Entry]) -> set[int]:
    kept, decided = tables.quarantine, tables.quarantine_decision
    indices = [index for index, entry in entries.items() if entry.event is Event.QUARANTINED]
    if not indices:
        return set()
    joined = kept.outerjoin(decided, (kept.c.node == decided.c.node) & (kept.c.digest == decided.c.digest))
    query = select(kept.c.leaf_index).select_from(joined).where(decided.c.decision.is_(None))
    wanted = kept.c.leaf_index == any_(literal(indices, ARRAY(BigInteger)))
    return set((await connection.execute(query.where(wanted))).scalars())


async def _named(connection: AsyncConnection, evidence: Collection[bytes]) -> set[UUID]:
    """The messages that signed acknowledgements name: such a document goes with the last entry that rests on it."""
    table = tables.acknowledgement_document.c
    rows = await connection.execute(select(table.signed).where(table.evidence.in_(evidence)))
    found: set[UUID] = set()
    for signed in rows.scalars():
        try:
            payload = cose.parse_sign1(signed, ACKNOWLEDGEMENT_TYPE).payload
            found |= {item.id for item in Acknowledgement.from_bytes(payload).items}
        except (CryptoError, ControlRefused):
            continue
    return found
