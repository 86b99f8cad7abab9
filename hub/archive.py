"""What is on record already of what arrives: messages, refusals, acknowledgements, things in quarantine.

One array for each question, not a parameter for each id: SQLAlchemy would write the statement anew for every batch.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, any_, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from hub import tables
from hub.judge import Acceptable, Refusable
from schemas.codes import Priority

# One question for both, since each takes the way to the database and back. What was refused has no id here.
_SEEN: Final = """
    SELECT sender AS node, id, envelope, leaf_index, thread, recipients, priority
    FROM message WHERE id = ANY ($1::uuid[])
    UNION ALL
    SELECT node, NULL, envelope, leaf_index, NULL, NULL, NULL
    FROM refusal WHERE node = ANY ($2::text[]) AND envelope = ANY ($3::bytea[])
    UNION ALL
    SELECT node, NULL, digest, leaf_index, NULL, NULL, NULL
    FROM quarantine WHERE node = ANY ($2::text[]) AND digest = ANY ($3::bytea[]) AND NOT EXISTS (
        SELECT FROM quarantine_decision decided
        WHERE (decided.node, decided.digest) = (quarantine.node, quarantine.digest) AND decision = 'released'
    )
"""


@dataclass(frozen=True, slots=True)
class Message:
    """A message on record: who sent it, the digest of its envelope, its entry's index, whom it goes to."""

    sender: str
    envelope: bytes
    index: int
    thread: UUID
    recipients: tuple[str, ...]
    urgent: bool


async def seen_before(
    connection: AsyncConnection, verdicts: Sequence[Acceptable | Refusable]
) -> tuple[dict[UUID, Message], dict[tuple[str, bytes], int]]:
    """Messages with these ids, whoever sent them; and the entries of what was refused or quarantined before, and
    not released, by node and digest."""
    ids = [verdict.message for verdict in verdicts if verdict.message is not None]
    nodes = sorted({verdict.arrival.node for verdict in verdicts})
    digests = [verdict.digest for verdict in verdicts]
    driver: Any = (await connection.get_raw_connection()).driver_connection
    messages: dict[UUID, Message] = {}
    refused: dict[tuple[str, bytes], int] = {}
    for row in await driver.fetch(_SEEN, ids, nodes, digests):
        node, id, envelope, index, thread, recipients, priority = row
        if id is None:
            refused[node, envelope] = index
        else:
            urgent = priority == Priority.URGENT
            messages[id] = Message(node, envelope, index, thread, tuple(recipients), urgent)
    return messages, refused


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
