"""Held deliveries: what the broker would not take (an inbox at its limit, a queue gone), kept in the database.

They stand there in order for each inbox queue; hub/retrying.py tries them again.
"""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import ARRAY, Text, all_, any_, literal, literal_column, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from hub import tables
from hub.publication import Untaken

FIRST_PAUSE_MS: Final = 1_000
# Why what nobody has tried to publish yet is here.
OWED: Final = "owed"
# And what is for a node that takes no part: it waits for an operator's decision, or until the node is back.
WITHHELD: Final = "withheld"
NEVER: Final = 2**62


async def hold(
    connection: AsyncConnection, untaken: Sequence[Untaken], now: int, *, pause: int = FIRST_PAUSE_MS
) -> None:
    """Keeps what the broker would not take, to be tried again after `pause` ms."""
    rows = [
        {
            "node": item.publication.node,
            "message_id": item.publication.message_id,
            "type": str(item.publication.type),
            "urgent": int(item.publication.urgent),
            "body": item.publication.body,
            "after": item.publication.after,
            "attempts": 1,
            "due": NEVER if item.reason == WITHHELD else now + pause,
            "reason": item.reason,
        }
        for item in untaken
    ]
    await connection.execute(insert(tables.held).on_conflict_do_nothing(), rows)


async def sort_out(connection: AsyncConnection, absent: Sequence[str]) -> None:
    """Withholds what is held for nodes that take no part, and lets go of what was withheld from others, in order."""
    table = tables.held.c
    if absent:
        waiting = (table.node == any_(literal(list(absent), ARRAY(Text)))) & (table.reason != WITHHELD)
        await connection.execute(update(tables.held).where(waiting).values(reason=WITHHELD, due=NEVER))
    # Written out, so that PostgreSQL sees that its index of such rows will do.
    withheld = table.reason == literal_column(f"'{WITHHELD}'")
    back = withheld & (table.node != all_(literal(list(absent), ARRAY(Text))))
    await connection.execute(update(tables.held).where(back).values(reason=OWED, due=0))
