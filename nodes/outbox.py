"""The outbox: from an integrator's message to a sealed envelope, and what becomes of it.

    queued -> sent -> accepted -> (delivered | declined, per recipient)
                   -> refused, expired

A message leaves the sending loop only on a verified receipt from the hub; until then it is sent
again and again under the same id, which the hub recognises.
"""

import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import bindparam, case, func, or_, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import Connection

from crypto.envelope import digest_of, seal
from crypto.keyfile import NodeKeys
from crypto.receipt import Proven
from crypto.trust import Trust
from nodes import amendments, answers, notices, onward, operations, proofs, store
from nodes.described import describe_header
from nodes.errors import IdReused, MessageUnknown
from nodes.outgoing import Answered, Outgoing, left_out, route
from nodes.prepared import Prepared
from nodes.signing import signed_by
from nodes.store import Store
from nodes.times import iso
from schemas import plausible, registry
from schemas.amended import AMENDING, Said
from schemas.codes import Priority
from schemas.control import AcknowledgedMessage, Event
from schemas.header import NONCE_SIZE, Header
from schemas.refusals import NEXT_STEP, RefusalCode

# One batch has so many bytes, and the message that goes beyond: on a slow line, what an urgent one has to wait for.
BATCH_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Ready:
    """A message to be published now; `again` if the broker had it before and no receipt came."""

    id: str
    urgent: bool
    envelope: bytes
    again: bool = False


async def accept(
    box: Store, message: Outgoing, node: str, keys: NodeKeys, trust: Trust
) -> tuple[dict[str, Any], Ready | None]:
    """Validates, seals and stores a message; when this returns it will not be lost.

    Returns what to answer, and the message as it is to be published unless it was here before: the same request
    under the same id gives the same answer. Raises KindUnknown, BodyInvalid, RoutingRefused, IdReused,
    MessageUnknown.
    """
    now = time.time_ns() // 1_000_000
    absent = left_out(message, node, trust)
    missed = {"left_out": absent} if absent else {}
    unreached = [f"not to {one['node']}, which is {one['state']}: reach it by another way" for one in absent]
    if message.id is not None:
        known = await box.run(_repeated, message)
        if known is not None:
            return known | {"warnings": _remarks(message, now) + unreached} | missed, None
    body = registry.body_bytes(message.kind, message.kind_version, message.body)
    content = json.loads(body)
    warnings = plausible.check(message.kind, content, now) + unreached
    answered = await box.run(_answered, message.in_reply_to) if message.in_reply_to else None
    earlier = await box.run(amendments.earlier, message, body) if message.kind in AMENDING else None
    routing = route(message, node, trust, answered, now, earlier)
    if (operation := operations.named(message)) is not None:
        warnings += await box.run(operations.check, box, operation)
    if onward.uses_earlier(message):
        # What the handling of earlier messages forbids, and what a recipient needs to see that it does not.
        completed = await box.run(onward.complete, box, message, routing)
        body = registry.body_bytes(message.kind, message.kind_version, completed)
    recipients = {name: trust.sealing_key(name, routing.created) for name in routing.recipients}
    nonce = secrets.token_bytes(NONCE_SIZE)
    header, envelope = await signed_by(keys.signing, seal, routing, body, recipients, keys.signing, nonce)
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
        "nonce": box.close_body(id, nonce),
        "queued_at": now,
        "resend_at": 0,
        "expires": header.expires,
    }
    amends = amendments.said_in(header, content)
    if not await box.run(_insert, row, message.in_reply_to, amends):
        # Two requests with one id at the same moment: the other one was first.
        return (await box.run(_repeated, message) or {}) | {"warnings": warnings} | missed, None
    warnings += amendments.untold(message, earlier, routing.recipients)
    answer = _answer(header, "queued", now) | {"warnings": warnings} | missed
    return answer, Ready(id, bool(row["urgent"]), envelope)


def _remarks(message: Outgoing, now: int) -> list[str]:
    # It was taken before: what cannot be by now is no reason to refuse it.
    body = json.loads(registry.body_bytes(message.kind, message.kind_version, message.body))
    return [f"body.{one}" for one in plausible.remarks(message.kind, body, now)]


def _answer(header: Header, state: str, queued_at: int) -> dict[str, Any]:
    # Since when it is here tells who repeats a request that it is a repetition.
    return {
        "id": str(header.id),
        "state": state,
        "queued": iso(queued_at),
        "thread": str(header.thread),
        "recipients": list(header.recipients),
    }


_INSERT: Final = Prepared(
    insert(store.outbox).on_conflict_do_nothing(),
    *("id", "request", "state", "urgent", "header", "envelope", "digest", "body", "nonce"),
    *("queued_at", "resend_at", "expires"),
)


def _insert(connection: Connection, row: dict[str, Any], question: UUID | None, amends: Said | None) -> bool:
    new = _INSERT.change(connection, **row) is not None
    if new and amends is not None:
        amendments.keep(connection, amends)
    if new and question is not None:
        connection.execute(insert(store.answer).values(question=str(question), id=row["id"]))
    return new


def _repeated(connection: Connection, message: Outgoing) -> dict[str, Any] | None:
    table = store.outbox.c
    query = select(table.request, table.state, table.header, table.queued_at).where(table.id == str(message.id))
    row = connection.execute(query).first()
    if row is None:
        return None
    if row.request != message.digest():
        raise IdReused(f"id {message.id} was used for another message", "send this one with an id of its own")
    return _answer(Header.from_bytes(row.header), row.state, row.queued_at)


def _answered(connection: Connection, id: UUID) -> Answered:
    table = store.inbox.c
    found = connection.scalar(select(table.header).where(table.id == str(id), table.outcome == "delivered"))
    if found is None:
        raise MessageUnknown(f"in_reply_to: no message {id} in the inbox", "check the id with `seci-node inbox`")
    header = Header.from_bytes(found)
    return Answered(header.sender, header.thread, header.task_force, header.expires)


_WAITING: Final = store.one_of(store.outbox.c.state, "queued", "sent")
_READY: Final = (
    select(store.outbox.c.id, store.outbox.c.urgent, store.outbox.c.envelope, store.outbox.c.state)
    .where(_WAITING, store.outbox.c.resend_at <= bindparam("now"), store.outbox.c.expires > bindparam("now"))
    .where(store.outbox.c.urgent == bindparam("lane"))
    .order_by(store.outbox.c.seq)
    .limit(bindparam("most"))
)


def ready(connection: Connection, limit: int, now: int, *, urgent: bool) -> list[Ready]:
    """A batch of a lane to send: new messages and those whose receipt is overdue, oldest first."""
    found, size = list[Ready](), 0
    with connection.execute(_READY, {"now": now, "most": limit, "lane": int(urgent)}) as rows:
        for row in rows:
            found.append(Ready(row.id, bool(row.urgent), row.envelope, row.state == "sent"))
            size += len(row.envelope)
            if size >= BATCH_BYTES:
                break
    return found


def is_full(batch: Sequence[Ready], most: int) -> bool:
    """Whether a batch has no room for another message, so that there may be more than it has."""
    return len(batch) >= most or sum(len(item.envelope) for item in batch) >= BATCH_BYTES


# A receipt may have been quicker; when it was sent is noted all the same.
_MARK_SENT: Final = Prepared(
    update(store.outbox)
    .where(store.outbox.c.id == bindparam("this"))
    .values(
        state=case((_WAITING, "sent"), else_=store.outbox.c.state),
        sent_at=func.coalesce(store.outbox.c.sent_at, bindparam("now")),
        attempts=store.outbox.c.attempts + 1,
        resend_at=store.next_attempt(store.outbox.c.attempts),
    )
)


def mark_sent(connection: Connection, sent: Sequence[tuple[str, int]], first_pause_ms: int) -> None:
    """The broker has these ids, since when (ms). They are sent again, later and later, unless a receipt comes."""
    _MARK_SENT.change_each(connection, [{"this": id, "now": at, "first_ms": first_pause_ms} for id, at in sent])


def defer(connection: Connection, id: str, until: int) -> None:
    """The link broke at it: let others go first until then."""
    connection.execute(update(store.outbox).where(store.outbox.c.id == id).values(resend_at=until))


def expire(connection: Connection, now: int) -> list[str]:
    """Gives up on messages past their expiry without a receipt; returns their ids."""
    table = store.outbox
    overdue = table.c.state.in_(("queued", "sent")) & (table.c.expires <= now)
    values = {"state": "expired", "settled_at": now, "code": str(RefusalCode.EXPIRED)}
    done = connection.execute(update(table).where(overdue).values(values).returning(table.c.id))
    return [row.id for row in done]


_UNSETTLED: Final = store.one_of(store.outbox.c.state, "queued", "sent", "expired")
_SETTLED: Final[dict[str, Any]] = {
    name: bindparam(f"new_{name}") for name in ("state", "settled_at", "ledger_index", "receipt", "code", "detail")
}
_REFUSE: Final = Prepared(
    update(store.outbox).where(store.outbox.c.digest == bindparam("this"), _UNSETTLED).values(_SETTLED)
)
# What an operator released from the quarantine was refused before.
_RELEASED: Final = (store.outbox.c.state == "refused") & (store.outbox.c.ledger_index < bindparam("index"))
_ACCEPT: Final = Prepared(
    update(store.outbox).where(store.outbox.c.digest == bindparam("this"), or_(_UNSETTLED, _RELEASED)).values(_SETTLED)
)


def settle(connection: Connection, proven: Proven, receipt: bytes) -> bool:
    """Takes in a proven entry that a message of ours was accepted or refused. False if it fits none.

    A message that the hub could not even read is in its quarantine: refused, to its sender.
    """
    entry, table = proven.entry, store.outbox.c
    unreadable = entry.event is Event.QUARANTINED
    refused = unreadable or entry.event is Event.REFUSED
    digest = entry.evidence if unreadable else entry.envelope
    code = RefusalCode.ENVELOPE_MALFORMED if unreadable else entry.code
    changed = (_REFUSE if refused else _ACCEPT).change(
        connection,
        this=digest,
        index=proven.index,
        new_state="refused" if refused else "accepted",
        new_settled_at=entry.at,
        new_ledger_index=proven.index,
        new_receipt=receipt,
        new_code=str(code) if refused else None,
        new_detail=entry.detail if refused else None,
    )
    if changed is not None:
        return True
    return connection.scalar(select(table.seq).where(table.digest == digest)) is not None


_HEADER: Final = Prepared(
    select(store.outbox.c.header).where(
        store.outbox.c.id == bindparam("id"), store.outbox.c.digest == bindparam("digest")
    )
)
_INSERT_DELIVERY: Final = Prepared(
    insert(store.delivery).on_conflict_do_nothing(),
    *("id", "recipient", "outcome", "at", "code", "ledger_index", "receipt", "evidence"),
)


def settle_delivery(connection: Connection, proven: Proven, item: AcknowledgedMessage, receipt: bytes) -> bool:
    """Takes in a proven entry that a recipient stored or declined a message of ours. False if it fits none."""
    entry = proven.entry
    known = _HEADER.first(connection, id=str(item.id), digest=item.envelope)
    if known is None or str(item.outcome) != str(entry.event):
        return False
    if entry.node not in Header.from_bytes(known[0]).recipients:
        return False
    row = {
        "id": str(item.id),
        "recipient": entry.node,
        "outcome": str(item.outcome),
        "at": entry.at,
        "code": None if item.code is None else str(item.code),
        "ledger_index": proven.index,
        "receipt": receipt,
        "evidence": entry.evidence,
    }
    _INSERT_DELIVERY.change(connection, **row)
    return True


def describe(connection: Connection, box: Store, id: str) -> dict[str, Any]:
    """A sent message's whole state, for the API. Raises MessageUnknown."""
    table = store.outbox.c
    row = connection.execute(select(store.outbox).where(table.id == id)).first()
    if row is None:
        raise MessageUnknown(f"no message {id} in the outbox", "list them with `seci-node status`")
    deliveries = connection.execute(select(store.delivery).where(store.delivery.c.id == id)).all()
    described = _description(
        row, {item.recipient: item for item in deliveries}, json.loads(box.open_body(id, row.body))
    )
    described["witnessed"] = proofs.is_witnessed(connection, row.receipt)
    witnessed = {item.recipient: proofs.is_witnessed(connection, item.receipt) for item in deliveries}
    for delivery in described["deliveries"]:
        if delivery["recipient"] in witnessed:
            delivery["witnessed"] = witnessed[delivery["recipient"]]
    told = notices.of(connection, id)
    ended = {notice["recipient"]: notice for notice in told if notice["event"] in (Event.EXPIRED, Event.RETURNED)}
    for delivery in described["deliveries"]:
        if delivery["state"] == "waiting" and (end := ended.get(delivery["recipient"])) is not None:
            delivery |= {name: end[name] for name in ("at", "code") if name in end} | {"state": end["event"]}
    amendments.tell(connection, [described])
    header = Header.from_bytes(row.header)
    came = answers.of(connection, box, header)
    return {**described, "notices": told, "answers": came, "unanswered": answers.lacking(header, came)}


def read(connection: Connection, box: Store, id: str) -> tuple[Header, dict[str, Any]] | None:
    """The header and body of a sent message; None if there is none."""
    row = connection.execute(select(store.outbox.c.header, store.outbox.c.body).where(store.outbox.c.id == id)).first()
    return None if row is None else (Header.from_bytes(row.header), json.loads(box.open_body(id, row.body)))


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
    found = [_description(row, deliveries.get(row.id, {}), None) for row in rows]
    amendments.tell(connection, found)
    return found


def _description(row: Any, deliveries: dict[str, Any], body: Any) -> dict[str, Any]:
    header = Header.from_bytes(row.header)
    described: dict[str, Any] = {
        "seq": row.seq,
        "id": row.id,
        "state": row.state,
        **describe_header(header),
        "times": {
            "queued": iso(row.queued_at),
            "sent": iso(_sent(row)),
            row.state if row.state in ("refused", "expired") else "accepted": iso(row.settled_at),
        },
        "deliveries": [_delivery(name, deliveries.get(name), header.expires) for name in header.recipients],
        "receipt_verified": row.receipt is not None,
        "ledger_index": row.ledger_index,
    }
    if row.code is not None:
        step = NEXT_STEP.get(RefusalCode(row.code), "")
        described["refusal"] = {"code": row.code, "detail": row.detail, "next": step}
    if body is not None:
        described["body"] = body
    return described


def _sent(row: Any) -> int | None:
    # When the broker took it is written a moment later; killed before, only the receipt says that it was sent by then.
    sent: int | None = row.sent_at
    if sent is None and row.receipt is not None:
        sent = max(row.queued_at, row.settled_at)
    return sent


def _delivery(recipient: str, item: Any, expires: int) -> dict[str, Any]:
    if item is None:
        return {"recipient": recipient, "state": "waiting"}
    described = {
        "recipient": recipient,
        "state": item.outcome,
        "at": iso(item.at),
        "ledger_index": item.ledger_index,
    }
    if item.at > expires:
        # Recipients take a message for some minutes more, for clocks differ; their word may come later still.
        described["late"] = True
    return described if item.code is None else {**described, "code": item.code}
