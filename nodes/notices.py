"""Notices: what the hub's ledger says of deadlines, of this node's messages and of those it received, and of members.

reminded, escalated: `recipient` has not answered by the time asked for. expired: it did not take the message.
member_joined, keys_changed: by a new roster a node reads what goes to all of a task force, or has another key.
"""

from typing import Any, Final

import structlog
from sqlalchemy import Row, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import Connection

from crypto.receipt import Proven
from crypto.trust import Trust
from nodes import store
from nodes.times import iso
from schemas.codes import TASK_FORCES
from schemas.header import Header
from schemas.roster import KeyUse, RosterNode

log = structlog.get_logger()

JOINED: Final = "member_joined"
KEYS_CHANGED: Final = "keys_changed"
_OF_ROSTER: Final = "roster "


def keep(connection: Connection, proven: Proven, node: str) -> bool:
    """Takes in a proven entry about a deadline. False if it fits no message sent or received here."""
    entry = proven.entry
    if entry.node != node and not _sent(connection, proven):
        return False
    row = {
        "id": str(entry.message),
        "sender": entry.sender or "",
        "recipient": entry.node,
        "event": str(entry.event),
        "at": entry.at,
        "ledger_index": proven.index,
    }
    if connection.execute(insert(store.notice).values(row).on_conflict_do_nothing()).rowcount:
        log.warning(str(entry.event), message=str(entry.message), recipient=entry.node)
    return True


def tell_of_members(connection: Connection, before: Trust, after: Trust, node: str) -> None:
    """Keeps who may read more from the roster `after` on: in a task force, or with another key.

    `node` is this one: its own keys it knows. A hub that adds a reader of its own so is seen by people.
    """
    for task_force in TASK_FORCES:
        for name in sorted({*after.members(task_force)} - {*before.members(task_force)}):
            _tell(connection, JOINED, name, after, task_force)
    for name, listed in after.nodes.items():
        known = before.nodes.get(name)
        if name != node and known is not None and _keys(listed) - _keys(known):
            _tell(connection, KEYS_CHANGED, name, after)


def _keys(node: RosterNode) -> set[tuple[KeyUse, bytes]]:
    return {(key.use, key.kid) for key in node.keys}


def _tell(connection: Connection, event: str, node: str, roster: Trust, task_force: str = "") -> None:
    version, at = roster.roster.version, roster.roster.at
    # Of no message: the id says of which roster, and of which task force.
    row = {"id": f"{_OF_ROSTER}{version} {task_force}", "sender": "", "recipient": node, "event": event}
    connection.execute(insert(store.notice).values({**row, "at": at, "ledger_index": -1}).on_conflict_do_nothing())
    log.warning(event, node=node, task_force=task_force, roster=version)


def _sent(connection: Connection, proven: Proven) -> bool:
    entry, table = proven.entry, store.outbox.c
    known = select(table.header).where(table.id == str(entry.message), table.digest == entry.envelope)
    header = connection.scalar(known)
    return header is not None and entry.node in Header.from_bytes(header).recipients


def of(connection: Connection, id: str) -> list[dict[str, Any]]:
    """The notices about one message, in the order of the ledger."""
    table = store.notice
    rows = connection.execute(select(table).where(table.c.id == id).order_by(table.c.ledger_index))
    return [_described(row) for row in rows]


def listing(connection: Connection, after: int, limit: int) -> list[dict[str, Any]]:
    """Notices in the order in which they came, from behind `after` on."""
    table = store.notice
    rows = connection.execute(select(table).where(table.c.seq > after).order_by(table.c.seq).limit(limit))
    return [_described(row) for row in rows]


def _described(row: Row[Any]) -> dict[str, Any]:
    if row.id.startswith(_OF_ROSTER):
        version, _, task_force = row.id.removeprefix(_OF_ROSTER).partition(" ")
        of_node = {"seq": row.seq, "event": row.event, "node": row.recipient, "at": iso(row.at), "roster": int(version)}
        return {**of_node, "task_force": task_force} if task_force else of_node
    return {
        "seq": row.seq,
        "event": row.event,
        "message": row.id,
        "sender": row.sender,
        "recipient": row.recipient,
        "at": iso(row.at),
        "ledger_index": row.ledger_index,
    }
