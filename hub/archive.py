"""What is on record already of what arrives: messages, refusals, acknowledgements, things in quarantine.

One array for each question, not a parameter for each id: SQLAlchemy would write the statement anew for every batch.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import ARRAY, LargeBinary, Text, Uuid, any_, bindparam, exists, literal, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from hub import tables
from hub.judge import Acceptable, Refusable
from schemas.codes import Priority
from schemas.control import Event

_QUARANTINED: Final = tables.quarantine.c
_DECIDED: Final = tables.quarantine_decision.c
_RELEASED: Final = exists().where(
    _DECIDED.node == _QUARANTINED.node,
    _DECIDED.digest == _QUARANTINED.digest,
    _DECIDED.decision == str(Event.RELEASED),
)
_NODES: Final = bindparam("nodes", type_=ARRAY(Text))
_DIGESTS: Final = bindparam("digests", type_=ARRAY(LargeBinary))
_REFUSED: Final = union_all(
    select(tables.refusal.c.node, tables.refusal.c.envelope.label("digest"), tables.refusal.c.leaf_index).where(
        tables.refusal.c.node == any_(_NODES), tables.refusal.c.envelope == any_(_DIGESTS)
    ),
    select(_QUARANTINED.node, _QUARANTINED.digest, _QUARANTINED.leaf_index).where(
        _QUARANTINED.node == any_(_NODES), _QUARANTINED.digest == any_(_DIGESTS), ~_RELEASED
    ),
)


@dataclass(frozen=True, slots=True)
class Message:
    """A message on record: who sent it, the digest of its envelope, its entry's index, whom it goes to."""

    sender: str
    envelope: bytes
    index: int
    thread: UUID
    recipients: tuple[str, ...]
    urgent: bool


async def messages(connection: AsyncConnection, verdicts: Iterable[Acceptable | Refusable]) -> dict[UUID, Message]:
    """Messages with these ids, whoever sent them."""
    table = tables.message.c
    ids = [verdict.message for verdict in verdicts if verdict.message is not None]
    names = ("sender", "id", "envelope", "leaf_index", "thread", "recipients", "priority")
    query = select(*(table[name] for name in names))
    rows = await connection.execute(query.where(table.id == any_(literal(ids, ARRAY(Uuid)))))
    return {
        row.id: Message(
            row.sender,
            row.envelope,
            row.leaf_index,
            row.thread,
            tuple(row.recipients),
            row.priority == Priority.URGENT,
        )
        for row in rows
    }


async def refused(
    connection: AsyncConnection, verdicts: Iterable[Acceptable | Refusable]
) -> dict[tuple[str, bytes], int]:
    """The entries of what was refused or quarantined before, and not released, by node and digest."""
    nodes = sorted({verdict.arrival.node for verdict in verdicts})
    found = await connection.execute(_REFUSED, {"nodes": nodes, "digests": [verdict.digest for verdict in verdicts]})
    return {(row.node, row.digest): row.leaf_index for row in found}


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
) -> dict[tuple[str, UUID, str], tuple[int, bytes]]:
    """Entry and signed acknowledgement, by sender, id and recipient."""
    table = tables.acknowledgement.c
    document = tables.acknowledgement_document.c
    query = (
        select(table.sender, table.id, table.recipient, table.leaf_index, document.signed)
        .join_from(tables.acknowledgement, tables.acknowledgement_document, table.evidence == document.evidence)
        .where(table.id == any_(literal(list(ids), ARRAY(Uuid))))
    )
    rows = await connection.execute(query)
    return {(row.sender, row.id, row.recipient): (row.leaf_index, row.signed) for row in rows}
