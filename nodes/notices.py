"""Notices: what the hub's ledger says of what became of messages, this node's and those it received, and of nodes.

reminded, escalated: `recipient` has not answered by the time asked for. expired: it did not take the message. returned:
it takes no part, and will not get it. handed_over: it is gone, and the `heir` answers in its place. suspended,
revoked, removed, active: what a node, the `recipient`, is by a new roster. member_joined, member_suspended,
keys_changed: by a new roster it reads what goes to all of a task force, does not any more, or has another key.
policy_changed: the rules are others, or who coordinates, or what is opened to whom, for `all`.
"""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Row, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import Connection

from crypto.log import log
from crypto.receipt import Proven
from crypto.trust import Trust
from nodes import store
from nodes.times import iso
from schemas import policywords, rosterwords
from schemas.codes import TASK_FORCES
from schemas.control import Event
from schemas.header import Header
from schemas.policy import Policy
from schemas.roster import KeyUse, RosterNode

OF_MESSAGES: Final = (Event.REMINDED, Event.ESCALATED, Event.EXPIRED, Event.RETURNED, Event.HANDED_OVER)
JOINED: Final = "member_joined"
SUSPENDED: Final = "member_suspended"
KEYS_CHANGED: Final = "keys_changed"
POLICY_CHANGED: Final = "policy_changed"


def keep(connection: Connection, proven: Proven, node: str) -> bool:
    """Takes in a proven entry about a deadline. False if it fits no message sent, received or taken over here."""
    entry = proven.entry
    if node not in (entry.node, *(entry.recipients or ())) and not _sent(connection, proven):
        return False
    row = {
        "id": str(entry.message),
        "sender": entry.sender or "",
        "recipient": entry.node,
        "event": str(entry.event),
        "at": entry.at,
        "ledger_index": proven.index,
        "code": None if entry.code is None else str(entry.code),
        "heir": None if entry.recipients is None else entry.recipients[0],
    }
    if connection.execute(insert(store.notice).values(row).on_conflict_do_nothing()).rowcount:
        log.warning(str(entry.event), message=str(entry.message), recipient=entry.node)
    return True


def tell_of_nodes(connection: Connection, before: Trust | None, after: Trust, index: int | None) -> None:
    """Keeps what has become of nodes from one roster, in force, to the next; `index` is its entry's."""
    if before is None:
        return
    version, at = after.roster.version, after.roster.at
    for name, node in after.nodes.items():
        was = before.nodes.get(name)
        if was is None or was.standing == node.standing:
            continue
        row = {
            "id": f"roster {version}",
            "sender": "",
            "recipient": name,
            "event": rosterwords.state(node),
            "at": at if node.standing is None else node.standing.since,
            "ledger_index": -1 if index is None else index,
            "roster": version,
            "code": None if node.standing is None else str(node.standing.cause),
        }
        connection.execute(insert(store.notice).values(row).on_conflict_do_nothing())
        log.warning("node_changed", node=name, state=row["event"], roster=version)


def tell_of_members(connection: Connection, before: Trust | None, after: Trust, node: str, index: int | None) -> None:
    """Keeps who may read more from the roster `after` on: in a task force, or with another key.

    `node` is this one: its own keys it knows. A hub that adds a reader of its own so is seen by people.
    """
    if before is None:
        return
    for task_force in TASK_FORCES:
        for name in sorted({*after.members(task_force)} - {*before.members(task_force)}):
            known = before.nodes.get(name)
            # Who was shut out for a while is told as `active`.
            if known is None or known.active or task_force not in known.task_forces:
                _tell(connection, JOINED, name, after, index, task_force)
    for name, listed in after.nodes.items():
        known = before.nodes.get(name)
        if name != node and known is not None and _keys(listed) - _keys(known):
            _tell(connection, KEYS_CHANGED, name, after, index)


def tell_of_policy(connection: Connection, before: Trust | None, after: Trust, index: int | None) -> None:
    """Keeps whom a coordinator has suspended by the roster `after`, and that the rest of the policy is another.

    A rule or an opening that lets others read more is so seen by people, as a further member is.
    """
    if before is None:
        return
    old, new = before.roster.policy or Policy(), after.roster.policy or Policy()
    known = {(item.task_force, item.node) for item in old.suspended or ()}
    for item in new.suspended or ():
        if (item.task_force, item.node) not in known:
            _tell(connection, SUSPENDED, item.node, after, index, item.task_force)
    if policywords.differences(*(one.model_copy(update={"suspended": None}) for one in (old, new))):
        _tell(connection, POLICY_CHANGED, "all", after, index)


def _keys(node: RosterNode) -> set[tuple[KeyUse, bytes]]:
    return {(key.use, key.kid) for key in node.keys}


def _tell(connection: Connection, event: str, node: str, after: Trust, index: int | None, task_force: str = "") -> None:
    version = after.roster.version
    row = {
        # Of no message: with the task force it stands there once for each.
        "id": f"roster {version} {task_force}".rstrip(),
        "sender": "",
        "recipient": node,
        "event": event,
        "at": after.roster.at,
        "ledger_index": -1 if index is None else index,
        "roster": version,
    }
    connection.execute(insert(store.notice).values(row).on_conflict_do_nothing())
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
    place = {"at": iso(row.at), "ledger_index": row.ledger_index}
    if row.roster is not None:
        of_node = {"seq": row.seq, "event": row.event, "node": row.recipient, **place, "roster": row.roster}
        if row.event in (JOINED, SUSPENDED):
            return {**of_node, "task_force": row.id.rpartition(" ")[2]}
        return of_node if row.code is None else {**of_node, "cause": row.code}
    of_message = {
        "seq": row.seq,
        "event": row.event,
        "message": row.id,
        "sender": row.sender,
        "recipient": row.recipient,
        **place,
    }
    return of_message | {name: row._mapping[name] for name in ("code", "heir") if row._mapping[name] is not None}


def answered(connection: Connection, questions: Sequence[str]) -> set[str]:
    """Which of these received messages one of ours answers that was not refused and has not expired."""
    reply, sent = store.answer.c, store.outbox.c
    stands = sent.state.not_in(("refused", "expired"))
    query = select(reply.question).join(store.outbox, (sent.id == reply.id) & stands)
    return set(connection.execute(query.where(reply.question.in_(questions))).scalars())
