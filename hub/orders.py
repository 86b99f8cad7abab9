"""Coordinators' orders, carried out: a new roster, and an entry with the order's digest, in the batch's transaction.

An order is recognised by its digest when it comes again: its receipt is repeated, and nothing is done twice. One that
was given before another, on the same node in the same task force, does not undo what came after it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from hub import ledger, registrar, rows, tables
from hub.judge import DETAIL_SIZE, Ordered
from hub.ledger import Appended, Ledger
from hub.publication import Owed, Publication, bundles
from hub.registrar import Change
from schemas.control import Entry, Event
from schemas.membership import MembershipOrder, OrderRefused, carried_out
from schemas.refusals import RefusalCode
from schemas.roster import Roster

_TABLE: Final = tables.membership_order
# Each makes a roster, which all nodes keep for ever: of one coordinator so many are carried out in a day.
MOST_A_DAY: Final = 200
_DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class Done:
    """What is to be published for orders, and the entries that they made."""

    publications: tuple[Publication, ...]
    entries: tuple[Entry, ...]


async def carry_out(connection: AsyncConnection, log: Ledger, verdicts: Sequence[Ordered], now: int) -> Done:
    """Each in its turn, in the caller's transaction. Who may not be obeyed is told so; that is an entry, too.

    `now` is our clock, ms UTC; nothing is dated ahead of the database's.
    """
    publications, entries = list[Publication](), list[Entry]()
    for verdict in verdicts:
        digest, node = ledger.evidence(verdict.arrival.body), verdict.order.node
        turn = await ledger.take_turn(connection)
        query = select(_TABLE.c.leaf_index).where(_TABLE.c.node == node, _TABLE.c.digest == digest)
        known = await connection.scalar(query)
        if known is not None:
            proven = await ledger.prove(connection, log, [known])
        else:
            proven, entry = await _obey(connection, log, verdict, digest, min(now, turn.at))
            entries.append(entry)
        publications += bundles(proven, [Owed((node,))])
    return Done(tuple(publications), tuple(entries))


async def _obey(
    connection: AsyncConnection, log: Ledger, verdict: Ordered, digest: bytes, now: int
) -> tuple[Appended, Entry]:
    order, key = verdict.order, log.signer.key
    before = await registrar.current(connection, log.keys)
    roster = Roster(version=max(1, before.version), at=now, nodes=before.nodes, policy=before.policy)
    code, detail, after = None, order.in_words(), None
    try:
        await _check_newest(connection, order)
        await _check_many(connection, order.node, now)
        after = carried_out(roster, order)
    except OrderRefused as error:
        code, detail = error.code, f"{order.act} {order.subject}: {error}"
    entry = Entry(
        event=Event.MEMBERSHIP,
        at=now,
        node=order.node,
        task_force=order.task_force,
        recipients=(order.subject,),
        evidence=digest,
        code=code,
        detail=detail[:DETAIL_SIZE],
    )
    if after is None or (after.nodes, after.policy) == (before.nodes, before.policy):
        # Nothing changes; that it was ordered is on record.
        appended = await ledger.append(connection, log, await ledger.take_turn(connection), [entry])
    else:
        published = await registrar.publish(connection, log, after.nodes, key, Change(after.policy, entry))
        appended = Appended(published.appended.note, lambda: published.appended.receipts[1:])
    index = appended.receipts[0].index
    said = (order.at, order.task_force, str(order.act), order.subject, None if code is None else str(code))
    await rows.insert(connection, {_TABLE.name: [(order.node, digest, index, now, *said, verdict.arrival.body)]})
    return appended, entry


async def _check_newest(connection: AsyncConnection, order: MembershipOrder) -> None:
    """Raises OrderRefused if an order of a later time is carried out, whoever gave it."""
    columns = _TABLE.c
    query = select(func.max(columns.said)).where(
        columns.task_force == order.task_force, columns.subject == order.subject, columns.code.is_(None)
    )
    newest = await connection.scalar(query)
    if newest is not None and newest >= order.at:
        raise OrderRefused(RefusalCode.ORDER_OUTDATED, "a later order on this node in this task force is in force")


async def _check_many(connection: AsyncConnection, node: str, now: int) -> None:
    """Raises OrderRefused for who could fill everybody's store."""
    columns = _TABLE.c
    lately = (columns.node == node) & (columns.at > now - _DAY_MS) & columns.code.is_(None)
    if (await connection.scalar(select(func.count()).where(lately)) or 0) >= MOST_A_DAY:
        said = f"{MOST_A_DAY} orders of {node} were carried out within a day"
        raise OrderRefused(RefusalCode.TOO_MANY_ORDERS, said)
