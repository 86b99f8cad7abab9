"""Rosters as nodes get them: each with the proof of its entry.

The proof is under the first checkpoint that covers the entry. So a roster's news is the same for every node and for
ever, and whoever has followed the ledger as far as the entry can be given the link to that checkpoint.
"""

from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from hub import ledger, tables
from hub.ledger import Ledger
from hub.publication import Publication
from schemas.control import MessageType
from schemas.roster import RosterNews

# Who lacks more of them asks again when it has these.
MOST: Final = 4
# What comes behind an answer waits for it: beyond so many bytes, further rosters go with the next.
MOST_BYTES: Final = 256 * 1024


async def of(connection: AsyncConnection, log: Ledger, version: int) -> bytes:
    """The news of a roster that there is, once it is this transaction's turn. Raises as `ledger.check`."""
    await ledger.take_turn(connection)
    await ledger.check(connection, log)
    table = tables.roster.c
    query = select(table.leaf_index, table.signed).where(table.version == version)
    return await _news(connection, (await connection.execute(query)).one())


async def after(connection: AsyncConnection, version: int, size: int) -> dict[int, bytes]:
    """The news of the rosters that come next after `version`, by their versions, as far as one answer may have them.

    Only of those in the first `size` entries: a checkpoint of that size must have been through `ledger.check`.
    """
    table = tables.roster.c
    query = select(table.version, table.leaf_index, table.signed).where(table.version > version)
    found: dict[int, bytes] = {}
    for row in await connection.execute(query.where(table.leaf_index < size).order_by(table.version).limit(MOST)):
        news = await _news(connection, row)
        if found and sum(map(len, found.values())) + len(news) > MOST_BYTES:
            break
        found[row.version] = news
    return found


def publication(node: str, version: int, news: bytes) -> Publication:
    """What the node is sent."""
    return Publication(node, MessageType.ROSTER, False, f"roster-{version}/{node}", news)


async def _news(connection: AsyncConnection, row: Any) -> bytes:
    tree = await ledger.covering(connection, row.leaf_index)
    proven = await ledger.prove_under(connection, tree, [row.leaf_index])
    return RosterNews(roster=row.signed, receipt=proven.receipts[0], checkpoint=proven.note).to_bytes()
