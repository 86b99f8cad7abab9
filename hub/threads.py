"""The order of messages within a thread, as the ledger has it, told to each recipient.

With every message that is not its thread's first goes the id of the one before it that the same recipient
was sent. Whatever way the two take (lanes, workers, held deliveries), the recipient can put them in order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Text, Uuid, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

_QUERY: Final = text(
    """
    SELECT wanted.thread, wanted.node, (
        SELECT message.id FROM message
        WHERE message.thread = wanted.thread AND message.leaf_index < wanted.before
            AND wanted.node = ANY (message.recipients)
        ORDER BY message.leaf_index DESC LIMIT 1
    ) AS id
    FROM unnest(:threads, :nodes, :before) AS wanted (thread, node, before)
    """
).bindparams(
    bindparam("threads", type_=ARRAY(Uuid)),
    bindparam("nodes", type_=ARRAY(Text)),
    bindparam("before", type_=ARRAY(BigInteger)),
)


@dataclass(frozen=True, slots=True)
class Step:
    """A message in its thread: its place is its index in the ledger."""

    id: UUID
    thread: UUID
    index: int
    recipients: tuple[str, ...]


async def predecessors(connection: AsyncConnection, steps: Sequence[Step]) -> list[dict[str, str]]:
    """For each step, by recipient, the id of what comes before it; `steps` are in the order of the ledger."""
    # Of most messages there is none, and nothing is asked: they begin their thread.
    wanted: dict[tuple[UUID, str], int] = {}
    for step in steps:
        if step.id != step.thread:
            for node in step.recipients:
                wanted.setdefault((step.thread, node), step.index)
    last: dict[tuple[UUID, str], str] = {}
    if wanted:
        threads, nodes = zip(*wanted, strict=True)
        arguments = {"threads": list(threads), "nodes": list(nodes), "before": list(wanted.values())}
        rows = await connection.execute(_QUERY, arguments)
        last = {(row.thread, row.node): str(row.id) for row in rows if row.id is not None}
    found = []
    for step in steps:
        found.append({node: last[step.thread, node] for node in step.recipients if (step.thread, node) in last})
        last.update({(step.thread, node): str(step.id) for node in step.recipients})
    return found
