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
    SELECT wanted.thread, wanted.node, wanted.before, earlier.leaf_index, earlier.id
    FROM unnest(:threads, :nodes, :before) AS wanted (thread, node, before)
    CROSS JOIN LATERAL (
        SELECT message.leaf_index, message.id FROM message
        WHERE message.thread = wanted.thread AND message.leaf_index < wanted.before
            AND wanted.node = ANY (message.recipients)
        ORDER BY message.leaf_index DESC LIMIT 1
    ) earlier
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
    wanted = [(step.thread, node, step.index) for step in steps if step.id != step.thread for node in step.recipients]
    recorded = await _recorded(connection, wanted) if wanted else {}
    last: dict[tuple[UUID, str], tuple[int, str]] = {}
    found = []
    for step in steps:
        before: dict[str, str] = {}
        for node in step.recipients:
            here = (step.thread, node)
            # On record, or in this very batch: the later of the two.
            candidates = [place for place in (recorded.get((*here, step.index)), last.get(here)) if place is not None]
            if step.id != step.thread and candidates:
                before[node] = max(candidates)[1]
            last[here] = (step.index, str(step.id))
        found.append(before)
    return found


async def _recorded(
    connection: AsyncConnection, wanted: Sequence[tuple[UUID, str, int]]
) -> dict[tuple[UUID, str, int], tuple[int, str]]:
    threads, nodes, before = (list(column) for column in zip(*wanted, strict=True))
    rows = await connection.execute(_QUERY, {"threads": threads, "nodes": nodes, "before": before})
    return {(row.thread, row.node, row.before): (row.leaf_index, str(row.id)) for row in rows}
