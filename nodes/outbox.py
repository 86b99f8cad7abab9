"""The outbox: from an integrator's message to a sealed envelope, and what becomes of it.

    queued -> sent -> accepted -> (delivered | declined, per recipient)
                   -> refused, expired

A message leaves the sending loop only on a verified receipt from the hub; until then it is sent
again and again under the same id, which the hub recognises.
"""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import func, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import Connection

from crypto.envelope import digest_of, seal
from crypto.keyfile import NodeKeys
from crypto.receipt import Proven
from crypto.trust import Trust
from nodes import store
from nodes.errors import IdReused, MessageUnknown, RoutingRefused
from nodes.store import Store
from schemas import registry
from schemas.codes import TASK_FORCES, Agency, Handling, Priority
from schemas.control import AcknowledgedMessage, Event
from schemas.header import Header, Routing, new_id
from schemas.refusals import NEXT_STEP, RefusalCode

LIFETIME_MS: Final = 7 * 24 * 3600 * 1000


class Outgoing(BaseModel):
    """A message as an integrator posts it. Times are ISO 8601 with a zone; without `to` it goes to all members."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str = Field(max_length=40, examples=["alert"])
    kind_version: int = 1
    task_force: str | None = Field(None, max_length=40, examples=["trafficking"])
    to: tuple[str, ...] | None = Field(None, min_length=1, max_length=64)
    agency: Agency | None = None
    priority: Priority = Priority.NORMAL
    handling: Handling = Handling.H1
    operation: str | None = Field(None, min_length=1, max_length=60)
    in_reply_to: UUID | None = None
    reply_by: datetime | None = None
    expires: datetime | None = None
    id: UUID | None = None
    body: dict[str, Any]

    def digest(self) -> bytes:
        """SHA-256 of the whole request, to tell a repeated request from a reused id."""
        return hashlib.sha256(self.model_dump_json().encode()).digest()


@dataclass(frozen=True, slots=True)
class Answered:
    """The message that a reply answers: whose it is and where it stands."""

    sender: str
    thread: UUID
    task_force: str
    expires: int


def route(message: Outgoing, node: str, trust: Trust, answered: Answered | None, now: int) -> Routing:
    """The routing of a message, decided from the roster. Raises RoutingRefused with the hub's own codes."""
    if node not in trust.nodes:
        raise _refused(RefusalCode.SENDER_UNKNOWN, f"{node} is not in the roster")
    task_force = message.task_force or (answered.task_force if answered else None)
    if task_force is None or task_force not in TASK_FORCES:
        known = ", ".join(TASK_FORCES)
        raise _refused(RefusalCode.TASK_FORCE_UNKNOWN, f"task force {task_force!r} is not one of {known}")
    mine = trust.nodes[node]
    if task_force not in mine.task_forces:
        raise _refused(RefusalCode.NOT_A_MEMBER, f"{node} is not a member of {task_force}")
    agency = message.agency or (mine.agencies[0] if mine.agencies else Agency.POLICE)
    if agency not in mine.agencies:
        raise _refused(RefusalCode.AGENCY_NOT_OF_SENDER, f"the roster names no agency {agency} for {node}")
    _check_answer(message, task_force, answered)
    id = message.id or new_id(now)
    return Routing(
        id=id,
        thread=answered.thread if answered else id,
        in_reply_to=message.in_reply_to,
        sender=node,
        agency=agency,
        task_force=task_force,
        recipients=_recipients(message, node, task_force, trust, answered),
        kind=message.kind,
        kind_version=message.kind_version,
        operation=message.operation,
        priority=message.priority,
        handling=message.handling,
        created=now,
        expires=now + LIFETIME_MS if message.expires is None else _millis(message.expires),
        reply_by=None if message.reply_by is None else _millis(message.reply_by),
    )


def _check_answer(message: Outgoing, task_force: str, answered: Answered | None) -> None:
    # Else a slip of the hand would tell a whole task force what one member asked.
    if message.kind == "reply" and answered is None:
        raise RoutingRefused("reply_without_question", "a reply answers a message", "name it with in_reply_to")
    if answered is None:
        return
    if task_force != answered.task_force:
        detail = f"the thread is one of {answered.task_force}, not of {task_force}"
        raise RoutingRefused("task_force_mismatch", detail, "leave task_force out, or begin a thread of its own")
    if message.kind == "reply" and message.to is not None and answered.sender not in message.to:
        detail = f"a reply goes to who asked, {answered.sender}, at least"
        raise RoutingRefused("reply_not_to_asker", detail, "leave `to` out, or name them too")


def _recipients(
    message: Outgoing, node: str, task_force: str, trust: Trust, answered: Answered | None
) -> tuple[str, ...]:
    members = [member for member in trust.members(task_force) if member != node]
    if message.to is not None:
        for recipient in message.to:
            if recipient not in trust.nodes:
                known = ", ".join(sorted(trust.nodes))
                raise _refused(RefusalCode.RECIPIENT_UNKNOWN, f"{recipient} is not in the roster, which has {known}")
            if recipient not in members:
                what = "is the sender" if recipient == node else f"is not a member of {task_force}"
                raise _refused(RefusalCode.RECIPIENT_NOT_A_MEMBER, f"{recipient} {what}")
        return tuple(sorted(set(message.to)))
    if answered is not None:
        return (answered.sender,)
    if not members:
        raise _refused(RefusalCode.RECIPIENT_UNKNOWN, f"{task_force} has no other members")
    return tuple(members)


def _refused(code: RefusalCode, message: str) -> RoutingRefused:
    return RoutingRefused(str(code), message, NEXT_STEP[code])


def _millis(moment: datetime) -> int:
    if moment.tzinfo is None:
        raise RoutingRefused("time_without_zone", "times need a zone", "write them as 2026-11-24T14:00:00Z")
    return int(moment.timestamp() * 1000)


async def accept(box: Store, message: Outgoing, node: str, keys: NodeKeys, trust: Trust) -> dict[str, Any]:
    """Validates, seals and stores a message; when this returns it will not be lost.

    The same request under the same id gives the same answer. Raises KindUnknown, BodyInvalid,
    RoutingRefused, IdReused, MessageUnknown.
    """
    now = time.time_ns() // 1_000_000
    if message.id is not None:
        known = await box.run(_repeated, message)
        if known is not None:
            return known
    body = registry.body_bytes(message.kind, message.kind_version, message.body)
    answered = await box.run(_answered, message.in_reply_to) if message.in_reply_to else None
    routing = route(message, node, trust, answered, now)
    recipients = {name: trust.sealing_key(name, now) for name in routing.recipients}
    header, envelope = seal(routing, body, recipients, keys.signing)
    id = str(header.id)
    row = {
        "id": id,
        "request": message.digest(),
        "state": "queued",
        "urgent": int(header.priority is Priority.URGENT),
        "header": header.to_bytes(),
        "envelope": envelope,
        "digest": digest_of(envelope),
        "body": box.close_body(id, body),
        "queued_at": now,
        "resend_at": 0,
        "expires": header.expires,
    }
    if not await box.run(_insert, row):
        # Two requests with one id at the same moment: the other one was first.
        return await box.run(_repeated, message) or {}
    return {"id": id, "state": "queued", "thread": str(header.thread), "recipients": list(header.recipients)}


def _insert(connection: Connection, row: dict[str, Any]) -> bool:
    return connection.execute(insert(store.outbox).values(row).on_conflict_do_nothing()).rowcount > 0


def _repeated(connection: Connection, message: Outgoing) -> dict[str, Any] | None:
    table = store.outbox.c
    query = select(table.request, table.state, table.header).where(table.id == str(message.id))
    row = connection.execute(query).first()
    if row is None:
        return None
    if row.request != message.digest():
        raise IdReused(f"id {message.id} was used for another message", "send this one with an id of its own")
    header = Header.from_bytes(row.header)
    return {
        "id": str(header.id),
        "state": row.state,
        "thread": str(header.thread),
        "recipients": list(header.recipients),
    }


def _answered(connection: Connection, id: UUID) -> Answered:
    table = store.inbox.c
    found = connection.scalar(select(table.header).where(table.id == str(id), table.outcome == "delivered"))
    if found is None:
        raise MessageUnknown(f"in_reply_to: no message {id} in the inbox", "check the id with `seci-node inbox`")
    header = Header.from_bytes(found)
    return Answered(header.sender, header.thread, header.task_force, header.expires)


@dataclass(frozen=True, slots=True)
class Ready:
    """A message to be published now."""

    id: str
    urgent: bool
    envelope: bytes


def ready(connection: Connection, limit: int, now: int) -> list[Ready]:
    """Messages to send: new ones and those whose receipt is overdue, urgent ones first, oldest first."""
    table = store.outbox.c
    query = (
        select(table.id, table.urgent, table.envelope)
        .where(table.state.in_(("queued", "sent")), table.resend_at <= now, table.expires > now)
        .order_by(table.urgent.desc(), table.seq)
        .limit(limit)
    )
    return [Ready(row.id, bool(row.urgent), row.envelope) for row in connection.execute(query)]


def mark_sent(connection: Connection, ids: Sequence[str], now: int, first_pause_ms: int) -> None:
    """The broker has them. They are sent again, later and later, unless a receipt comes before."""
    table = store.outbox
    values = {
        "state": "sent",
        "sent_at": func.coalesce(table.c.sent_at, now),
        "attempts": table.c.attempts + 1,
        "resend_at": store.next_attempt(table.c.attempts, now, first_pause_ms),
    }
    waiting = table.c.state.in_(("queued", "sent"))
    connection.execute(update(table).where(table.c.id.in_(ids), waiting).values(values))


def defer(connection: Connection, ids: Sequence[str], until: int) -> None:
    """The broker would not take them: let others go first until then."""
    table = store.outbox
    connection.execute(update(table).where(table.c.id.in_(ids)).values(resend_at=until))


def expire(connection: Connection, now: int) -> list[str]:
    """Gives up on messages past their expiry without a receipt; returns their ids."""
    table = store.outbox
    overdue = table.c.state.in_(("queued", "sent")) & (table.c.expires <= now)
    values = {"state": "expired", "settled_at": now, "code": str(RefusalCode.EXPIRED)}
    done = connection.execute(update(table).where(overdue).values(values).returning(table.c.id))
    return [row.id for row in done]


def settle(connection: Connection, proven: Proven, receipt: bytes) -> bool:
    """Takes in a proven entry that a message of ours was accepted or refused. False if it fits none.

    A message that the hub could not even read is in its quarantine: refused, to its sender.
    """
    entry, table = proven.entry, store.outbox
    unreadable = entry.event is Event.QUARANTINED
    refused = unreadable or entry.event is Event.REFUSED
    digest = entry.evidence if unreadable else entry.envelope
    values: dict[str, Any] = {
        "state": "refused" if refused else "accepted",
        "settled_at": entry.at,
        "ledger_index": proven.index,
        "receipt": receipt,
    }
    if refused:
        code = RefusalCode.ENVELOPE_MALFORMED if unreadable else entry.code
        values |= {"code": str(code), "detail": entry.detail}
    waiting = table.c.state.in_(("queued", "sent", "expired"))
    done = connection.execute(update(table).where(table.c.digest == digest, waiting).values(values))
    if done.rowcount:
        return True
    known = connection.scalar(select(table.c.seq).where(table.c.digest == digest))
    return known is not None


def settle_delivery(connection: Connection, proven: Proven, item: AcknowledgedMessage) -> bool:
    """Takes in a proven entry that a recipient stored or declined a message of ours. False if it fits none."""
    entry, table = proven.entry, store.outbox
    known = connection.scalar(select(table.c.header).where(table.c.id == str(item.id), table.c.digest == item.envelope))
    if known is None or str(item.outcome) != str(entry.event) or entry.node not in Header.from_bytes(known).recipients:
        return False
    row = {
        "id": str(item.id),
        "recipient": entry.node,
        "outcome": str(item.outcome),
        "at": entry.at,
        "code": None if item.code is None else str(item.code),
        "ledger_index": proven.index,
    }
    connection.execute(insert(store.delivery).values(row).on_conflict_do_nothing())
    return True


def describe(connection: Connection, box: Store, id: str) -> dict[str, Any]:
    """A sent message's whole state, for the API. Raises MessageUnknown."""
    table = store.outbox.c
    row = connection.execute(select(store.outbox).where(table.id == id)).first()
    if row is None:
        raise MessageUnknown(f"no message {id} in the outbox", "list them with `seci-node status`")
    deliveries = connection.execute(select(store.delivery).where(store.delivery.c.id == id)).all()
    return _description(row, {item.recipient: item for item in deliveries}, json.loads(box.open_body(id, row.body)))


# Not the envelope and the body: a list of large messages would fill the memory.
_LISTED: Final = (
    *("seq", "id", "state", "header", "queued_at", "sent_at", "settled_at", "code", "detail"),
    *("ledger_index", "receipt"),
)


def recent(connection: Connection, limit: int, before: int | None) -> list[dict[str, Any]]:
    """Sent messages, newest first, without their bodies. `before` is the `seq` to go on from."""
    table = store.outbox.c
    query = select(*(table[name] for name in _LISTED)).order_by(table.seq.desc()).limit(limit)
    if before is not None:
        query = query.where(table.seq < before)
    rows = connection.execute(query).all()
    ids = [row.id for row in rows]
    deliveries: dict[str, dict[str, Any]] = {}
    for item in connection.execute(select(store.delivery).where(store.delivery.c.id.in_(ids))):
        deliveries.setdefault(item.id, {})[item.recipient] = item
    return [_description(row, deliveries.get(row.id, {}), None) for row in rows]


def _description(row: Any, deliveries: dict[str, Any], body: Any) -> dict[str, Any]:
    header = Header.from_bytes(row.header)
    described: dict[str, Any] = {
        "seq": row.seq,
        "id": row.id,
        "state": row.state,
        **describe_header(header),
        "times": {
            "queued": iso(row.queued_at),
            "sent": iso(row.sent_at),
            row.state if row.state in ("refused", "expired") else "accepted": iso(row.settled_at),
        },
        "deliveries": [_delivery(name, deliveries.get(name)) for name in header.recipients],
        "receipt_verified": row.receipt is not None,
        "ledger_index": row.ledger_index,
    }
    if row.code is not None:
        step = NEXT_STEP.get(RefusalCode(row.code), "")
        described["refusal"] = {"code": row.code, "detail": row.detail, "next": step}
    if body is not None:
        described["body"] = body
    return described


def _delivery(recipient: str, item: Any) -> dict[str, Any]:
    if item is None:
        return {"recipient": recipient, "state": "waiting"}
    described = {
        "recipient": recipient,
        "state": item.outcome,
        "at": iso(item.at),
        "ledger_index": item.ledger_index,
    }
    return described if item.code is None else {**described, "code": item.code}


def describe_header(header: Header) -> dict[str, Any]:
    """A header as the API shows it."""
    shown = {
        "kind": header.kind,
        "kind_version": header.kind_version,
        "sender": header.sender,
        "agency": str(header.agency),
        "task_force": header.task_force,
        "recipients": list(header.recipients),
        "thread": str(header.thread),
        "in_reply_to": None if header.in_reply_to is None else str(header.in_reply_to),
        "operation": header.operation,
        "priority": str(header.priority),
        "handling": str(header.handling),
        "created": iso(header.created),
        "expires": iso(header.expires),
        "reply_by": iso(header.reply_by),
    }
    return {name: value for name, value in shown.items() if value is not None}


def iso(millis: int | None) -> str | None:
    """ISO 8601 in UTC with milliseconds."""
    if millis is None:
        return None
    return datetime.fromtimestamp(millis / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
