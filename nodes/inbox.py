"""The inbox: verify, open, store, acknowledge. Whatever one message holds, the next one is not kept waiting.

A batch of arrivals is stored in one transaction, together with the duty to acknowledge each
message; only then is the broker told. Killed in between, the broker delivers again and
(sender, id) tells what is known already.
"""

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import Connection

from crypto.envelope import Opened, open_envelope, verify
from crypto.errors import CryptoError
from crypto.keyfile import NodeKeys
from crypto.trust import Trust
from nodes import store
from nodes.errors import MessageUnknown
from nodes.outbox import describe_header, iso
from nodes.store import Store
from schemas import registry
from schemas.control import AcknowledgedMessage, Acknowledgement, Outcome
from schemas.header import NONCE_SIZE, Header
from schemas.refusals import RefusalCode


@dataclass(frozen=True, slots=True)
class Received:
    """A message that was opened, or declined with a code. `content` is nonce and body, in clear."""

    header: Header
    digest: bytes
    content: bytes | None
    code: RefusalCode | None


def receive(envelope: bytes, node: str, keys: NodeKeys, trust: Trust) -> Received:
    """Checks and opens an envelope; what is wrong inside is declined.

    Raises CryptoError for an envelope whose signature does not hold: nobody can be told.
    """
    verified = verify(envelope, trust.signer_of)
    header = verified.header
    try:
        trust.check_recipient_keys(verified)
        _check_members(header, node, trust)
        opened: Opened = open_envelope(verified, node, keys.encryption)
        registry.read_body(header.kind, header.kind_version, opened.body)
    except (CryptoError, registry.BodyInvalid, registry.KindUnknown, _Declined) as error:
        return Received(header, verified.digest, None, RefusalCode(error.code))
    return Received(header, verified.digest, opened.nonce + opened.body, None)


class _Declined(Exception):
    def __init__(self, code: RefusalCode) -> None:
        super().__init__(code)
        self.code = code


def _check_members(header: Header, node: str, trust: Trust) -> None:
    # The hub checked this; a recipient does not take its word for it.
    for name, code in (
        (header.sender, RefusalCode.NOT_A_MEMBER),
        (node, RefusalCode.RECIPIENT_NOT_A_MEMBER),
    ):
        if name not in trust.nodes or header.task_force not in trust.nodes[name].task_forces:
            raise _Declined(code)


def keep(connection: Connection, box: Store, received: Received, now: int) -> bool:
    """Stores a message with the duty to acknowledge it. False if it was known: it is acknowledged again."""
    header = received.header
    id = str(header.id)
    row = {
        "sender": header.sender,
        "id": id,
        "thread": str(header.thread),
        "kind": header.kind,
        "header": header.to_bytes(),
        "digest": received.digest,
        "content": None if received.content is None else box.close_body(id, received.content),
        "received_at": now,
        "outcome": str(Outcome.DELIVERED if received.code is None else Outcome.DECLINED),
        "code": None if received.code is None else str(received.code),
        "acknowledge_at": now,
    }
    done = connection.execute(insert(store.inbox).values(row).on_conflict_do_nothing())
    if done.rowcount:
        return True
    table = store.inbox
    known = (table.c.sender == header.sender) & (table.c.id == id) & (table.c.digest == received.digest)
    connection.execute(update(table).where(known).values(acknowledge_at=now))
    return False


def to_acknowledge(
    connection: Connection, node: str, limit: int, now: int, first_pause_ms: int
) -> list[Acknowledgement]:
    """Acknowledgements that are due, one for each sender; due again, later and later, unless a receipt comes."""
    table = store.inbox
    query = (
        select(table.c.seq, table.c.sender, table.c.id, table.c.digest, table.c.outcome, table.c.code)
        .where(table.c.acknowledge_at <= now)
        .order_by(table.c.acknowledge_at)
        .limit(limit)
    )
    rows = connection.execute(query).all()
    if rows:
        again = store.next_attempt(table.c.attempts, now, first_pause_ms)
        values = {"acknowledge_at": again, "attempts": table.c.attempts + 1}
        connection.execute(update(table).where(table.c.seq.in_([row.seq for row in rows])).values(values))
    by_sender: dict[str, list[AcknowledgedMessage]] = {}
    for row in rows:
        code = None if row.code is None else RefusalCode(row.code)
        item = AcknowledgedMessage(id=UUID(row.id), envelope=row.digest, outcome=Outcome(row.outcome), code=code)
        by_sender.setdefault(row.sender, []).append(item)
    return [
        Acknowledgement(recipient=node, sender=sender, at=now, items=tuple(items))
        for sender, items in by_sender.items()
    ]


def acknowledged(connection: Connection, sender: str, id: str, digest: bytes) -> None:
    """The hub has our acknowledgement on record: the duty is done."""
    table = store.inbox
    this = (table.c.sender == sender) & (table.c.id == id) & (table.c.digest == digest)
    connection.execute(update(table).where(this).values(acknowledge_at=None))


def listing(
    connection: Connection, box: Store, after: int, limit: int, kind: str | None, thread: str | None
) -> list[dict[str, Any]]:
    """Received messages in the order of arrival, from behind `after` on, with their bodies."""
    table = store.inbox.c
    query = select(store.inbox).where(table.seq > after, table.outcome == str(Outcome.DELIVERED))
    if kind is not None:
        query = query.where(table.kind == kind)
    if thread is not None:
        query = query.where(table.thread == thread)
    rows = connection.execute(query.order_by(table.seq).limit(limit)).all()
    return [_described(box, row) for row in rows]


def show(connection: Connection, box: Store, id: str) -> dict[str, Any]:
    """One received message. Raises MessageUnknown."""
    row = connection.execute(select(store.inbox).where(store.inbox.c.id == id)).first()
    if row is None:
        raise MessageUnknown(f"no message {id} in the inbox", "list them with `seci-node inbox`")
    return _described(box, row)


def _described(box: Store, row: Any) -> dict[str, Any]:
    described = {
        "seq": row.seq,
        "id": row.id,
        "state": row.outcome,
        "received": iso(row.received_at),
        **describe_header(Header.from_bytes(row.header)),
    }
    if row.content is None:
        return {**described, "code": row.code}
    return {**described, "body": json.loads(box.open_body(row.id, row.content)[NONCE_SIZE:])}
