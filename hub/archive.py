"""What is on record already of what arrives: messages, refusals, acknowledgements, things in quarantine.

One array for each question, not a parameter for each id: SQLAlchemy would write the statement anew for every batch.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Self
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Uuid, any_, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from hub import ledger, tables
from hub.database import fetch
from hub.judge import Acceptable, Refusable
from schemas.codes import Priority
from schemas.control import Event

_TAKE_TURN: Final = "SELECT * FROM take_turn_seeing($1::bigint, $2::uuid[], $3::text[], $4::bytea[])"


@dataclass(frozen=True, slots=True)
class Asked:
    """An envelope by which the record is asked: whose queue it came by, the id that it claims, its SHA-256."""

    node: str
    id: UUID | None
    digest: bytes

    @classmethod
    def by(cls, verdict: Acceptable | Refusable) -> Self:
        """As it was found to be when it was judged."""
        return cls(verdict.arrival.node, verdict.message, verdict.digest)


@dataclass(frozen=True, slots=True)
class Message:
    """A message on record: who sent it, the digest of its envelope, its entry's index, whom it goes to."""

    sender: str
    envelope: bytes
    index: int
    thread: UUID
    recipients: tuple[str, ...]
    urgent: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """What is on record of a batch: messages with its ids, whoever sent them; and the entries of what was refused or
    quarantined before, and not released, by node and digest. `roster` is the version of the newest one."""

    messages: dict[UUID, Message]
    refused: dict[tuple[str, bytes], int]
    roster: int | None


async def take_turn_seeing(connection: AsyncConnection, asked: Sequence[Asked]) -> tuple[ledger.Turn, Seen]:
    """As `ledger.take_turn`, and what is on record of these in the same way to the database and back."""
    ids = [item.id for item in asked if item.id is not None]
    nodes, digests = sorted({item.node for item in asked}), [item.digest for item in asked]
    rows = await fetch(connection, _TAKE_TURN, ledger.LOCK, ids, nodes, digests)
    seen = Seen({}, {}, rows[0]["roster"])
    for row in rows:
        node, envelope, index = row["node"], row["envelope"], row["leaf_index"]
        if row["id"] is not None:
            urgent = row["priority"] == Priority.URGENT
            seen.messages[row["id"]] = Message(node, envelope, index, row["thread"], tuple(row["recipients"]), urgent)
        elif node is not None:
            seen.refused[node, envelope] = index
    return ledger.turn_of(*(rows[0][name] for name in ("at", "size", "frontier", "signer"))), seen


async def addressed(
    connection: AsyncConnection, ids: Iterable[UUID]
) -> dict[tuple[str, UUID], tuple[bytes, list[str]]]:
    """The envelope and recipients of messages, by sender and id."""
    table = tables.message.c
    query = select(table.sender, table.id, table.envelope, table.recipients)
    rows = await connection.execute(query.where(table.id == any_(literal(list(ids), ARRAY(Uuid)))))
    return {(row.sender, row.id): (row.envelope, row.recipients) for row in rows}


async def acknowledgements(
    connection: AsyncConnection, ids: Iterable[UUID]
) -> dict[tuple[str, UUID, str], tuple[int, bytes | None]]:
    """Entry and signed acknowledgement (None if that is erased), by sender, id and recipient."""
    table = tables.acknowledgement.c
    document = tables.acknowledgement_document.c
    query = (
        select(table.sender, table.id, table.recipient, table.leaf_index, document.signed)
        .outerjoin_from(tables.acknowledgement, tables.acknowledgement_document, table.evidence == document.evidence)
        .where(table.id == any_(literal(list(ids), ARRAY(Uuid))))
    )
    rows = await connection.execute(query)
    return {(row.sender, row.id, row.recipient): (row.leaf_index, row.signed) for row in rows}


async def given_up(connection: AsyncConnection, wanted: Iterable[tuple[str, UUID]]) -> set[tuple[str, UUID, str]]:
    """Sender, id and recipient of those of these messages that the recipient will not get any more."""
    senders, table = {id: sender for sender, id in wanted}, tables.deadline.c
    query = select(table.id, table.recipient).where(table.id == any_(literal(list(senders), ARRAY(Uuid))))
    rows = await connection.execute(query.where(table.event == str(Event.RETURNED)))
    return {(senders[row.id], row.id, row.recipient) for row in rows}


async def erased(connection: AsyncConnection, indices: Iterable[int]) -> set[int]:
    """Those of these entries whose content is erased: nobody can be given their receipts any more."""
    table, wanted = tables.erasure.c, list(indices)
    if not wanted:
        return set()
    query = select(table.leaf_index).where(table.leaf_index == any_(literal(wanted, ARRAY(BigInteger))))
    return set((await connection.execute(query)).scalars())
