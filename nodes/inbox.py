"""The inbox: verify, open, store, acknowledge. Whatever one message holds, the next one is not kept waiting.

A batch of arrivals is stored in one transaction, together with the duty to acknowledge each
message; only then is the broker told. Killed in between, the broker delivers again and
(sender, id) tells what is known already.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import Connection

from crypto.envelope import open_envelope, reopen, verify
from crypto.errors import CryptoError
from crypto.keyfile import NodeKeys
from crypto.trust import InTime, Trust, never
from nodes import amendments, notices, proofs, store
from nodes.amendments import said_in
from nodes.described import describe_header
from nodes.errors import MessageUnknown
from nodes.forwarded import FORWARD, ForwardRefused, check_forward
from nodes.prepared import Prepared
from nodes.store import Store
from nodes.times import iso
from schemas import registry
from schemas.amended import Said, carries
from schemas.control import AcknowledgedMessage, Acknowledgement, Entry, Outcome
from schemas.header import NONCE_SIZE, Header
from schemas.refusals import RefusalCode
from schemas.summaries import summary

MEMBERSHIP: Final = (
    RefusalCode.RECIPIENTS_MISMATCH,
    RefusalCode.NOT_A_MEMBER,
    RefusalCode.RECIPIENT_NOT_A_MEMBER,
    RefusalCode.AGENCY_NOT_OF_SENDER,
    RefusalCode.POLICY_REFUSED,
    RefusalCode.KIND_NOT_OF_TASK_FORCE,
)
# Clocks differ: a message is good for so much longer than it says.
CLOCK_MS: Final = 5 * 60 * 1000
PAGE_BYTES: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Received:
    """A message that was opened, or declined with a code. `content_key` opens the envelope's content once more.

    `let_through`: the hub had all that it takes to refuse it.
    """

    header: Header
    digest: bytes
    envelope: bytes
    content_key: bytes | None
    code: RefusalCode | None
    amends: Said | None = None
    let_through: bool = False


class Undecided(Exception):
    """A newer roster may allow what the one in hand does not, or what comes before it in its thread is missing."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def receive(
    envelope: bytes,
    node: str,
    keys: NodeKeys,
    trust: Trust,
    now: int,
    *,
    final: bool = True,
    in_time: Callable[[str], InTime] = lambda _: never,
) -> Received:
    """Checks and opens an envelope at `now` (ms); what is wrong inside, or comes too late, is declined.

    `in_time` says by its sender whether it is proven to have been accepted before the sender's key was revoked.
    Raises CryptoError for an envelope whose signature does not hold: nobody can be told. Raises
    Undecided, unless `final`, where the roster alone speaks against it.
    """
    verified = verify(envelope, lambda header, kid: trust.signer_of(header, kid, in_time(header.sender)))
    header, opened = verified.header, None
    try:
        trust.check_recipient_keys(verified, header.created)
        if registry.lacks_care(header.kind, header.handling):
            # Whatever a roster says.
            raise _Declined(RefusalCode.BODY_INVALID)
        _check_policy(header, node, trust)
        if header.expires + CLOCK_MS <= now:
            raise _Declined(RefusalCode.EXPIRED)
        opened = open_envelope(verified, node, keys.encryption)
        body = registry.read_body(header.kind, header.kind_version, opened.body)
        if registry.lacks_care(carries(body), header.handling):
            raise _Declined(RefusalCode.BODY_INVALID)
        _check_policy(header, node, trust, carries(body))
        _check_care(header, body, trust, final=final)
        if header.kind == FORWARD:
            check_forward(header, body, node, trust)
    except (CryptoError, registry.BodyInvalid, registry.KindUnknown, _Declined, ForwardRefused) as error:
        if not final and error.code in MEMBERSHIP:
            raise Undecided(error.code) from error
        let_through = opened is None and error.code in MEMBERSHIP
        return Received(header, verified.digest, envelope, None, RefusalCode(error.code), let_through=let_through)
    return Received(header, verified.digest, envelope, opened.content_key, None, said_in(header, body))


class _Declined(Exception):
    def __init__(self, code: RefusalCode) -> None:
        super().__init__(code)
        self.code = code


def _check_policy(header: Header, node: str, trust: Trust, carried: str = "") -> None:
    # The hub checked this; a recipient does not take its word for it. By the roster of when it was written: what has
    # been allowed since then does no harm either.
    then = trust.then(header.created)
    denied = then.access.denial(header, node, carried)
    if denied is not None and then is not trust and header.sender in trust.nodes:
        denied = trust.access.denial(header, node, carried)
    if denied is not None:
        raise _Declined(denied.code)
    if not trust.access.takes_part(node, header.task_force):
        raise _Declined(RefusalCode.RECIPIENT_NOT_A_MEMBER)


def _check_care(header: Header, body: Mapping[str, Any], trust: Trust, *, final: bool) -> None:
    # What is carried the hub cannot see: a witness's movement that is handed on is one all the same.
    said = registry.CAREFUL.intersection((header.kind, carries(body)))
    if not said:
        return
    others = set(trust.members(header.task_force)) - {header.sender}
    if any(registry.lacks_care(kind, header.handling, header.recipients, others) for kind in said):
        # A newer roster may have members that this one lacks.
        raise _Declined(RefusalCode.BODY_INVALID) if final else Undecided(RefusalCode.RECIPIENTS_MISMATCH)


_OTHER: Final = Prepared(
    select(store.inbox.c.seq).where(store.inbox.c.id == bindparam("id"), store.inbox.c.sender != bindparam("sender"))
)
_INSERT: Final = Prepared(
    insert(store.inbox).on_conflict_do_nothing(),
    *("sender", "id", "thread", "kind", "header", "digest", "content_key", "received_at", "outcome", "code"),
    "acknowledge_at",
)
_INSERT_SEALED: Final = Prepared(insert(store.sealed).prefix_with("OR REPLACE"), "seq", "envelope")


def keep(connection: Connection, box: Store, received: Received, now: int) -> bool:
    """Stores a message with the duty to acknowledge it. False if it was known: it is acknowledged again."""
    header = received.header
    id = str(header.id)
    if received.code is None and _OTHER.first(connection, id=id, sender=header.sender) is not None:
        # The hub lets no id through twice. An answer by this id must not go to who came second.
        received = replace(received, content_key=None, code=RefusalCode.ID_REUSED)
    row = {
        "sender": header.sender,
        "id": id,
        "thread": str(header.thread),
        "kind": header.kind,
        "header": header.to_bytes(),
        "digest": received.digest,
        "content_key": None if received.content_key is None else box.close_body(id, received.content_key),
        "received_at": now,
        "outcome": str(Outcome.DELIVERED if received.code is None else Outcome.DECLINED),
        "code": None if received.code is None else str(received.code),
        "acknowledge_at": now,
    }
    seq = _INSERT.change(connection, **row)
    if seq is not None:
        _INSERT_SEALED.change(connection, seq=seq, envelope=received.envelope)
        if received.amends is not None and received.code is None:
            amendments.keep(connection, received.amends)
        return True
    table = store.inbox
    known = (table.c.sender == header.sender) & (table.c.id == id) & (table.c.digest == received.digest)
    connection.execute(update(table).where(known).values(acknowledge_at=now))
    return False


def knows(connection: Connection, id: str) -> bool:
    """Whether a message with this id has come, whatever became of it."""
    return connection.scalar(select(store.inbox.c.seq).where(store.inbox.c.id == id)) is not None


@dataclass(frozen=True, slots=True)
class Duty:
    """An acknowledgement to send, and the rows that it is for."""

    acknowledgement: Acknowledgement
    seqs: tuple[int, ...]


_DUE: Final = Prepared(
    select(*(store.inbox.c[name] for name in ("seq", "sender", "id", "digest", "outcome", "code")))
    .where(store.inbox.c.acknowledge_at <= bindparam("now"))
    .order_by(store.inbox.c.acknowledge_at)
    .limit(bindparam("most"))
)


def duties(connection: Connection, node: str, limit: int, now: int, at: int | None = None) -> list[Duty]:
    """Acknowledgements that are due, one for each sender, dated `at` or else `now` (ms)."""
    by_sender: dict[str, list[tuple[int, AcknowledgedMessage]]] = {}
    for seq, sender, id, digest, outcome, code in _DUE.all(connection, now=now, most=limit):
        reason = None if code is None else RefusalCode(code)
        item = AcknowledgedMessage(id=UUID(id), envelope=digest, outcome=Outcome(outcome), code=reason)
        by_sender.setdefault(sender, []).append((seq, item))
    return [
        Duty(
            Acknowledgement(recipient=node, sender=sender, at=at or now, items=tuple(item for _, item in items)),
            tuple(seq for seq, _ in items),
        )
        for sender, items in by_sender.items()
    ]


# A receipt that was quicker has ended the duty: it does not begin again.
_MARK_ACKNOWLEDGED: Final = Prepared(
    update(store.inbox)
    .where(store.inbox.c.seq == bindparam("this"), store.inbox.c.acknowledge_at.is_not(None))
    .values(
        acknowledge_at=store.next_attempt(store.inbox.c.attempts),
        attempts=store.inbox.c.attempts + 1,
    )
)


def mark_acknowledged(connection: Connection, seqs: Sequence[int], now: int, first_pause_ms: int) -> None:
    """The broker has the acknowledgements; they are sent again, later and later, unless a receipt comes."""
    _MARK_ACKNOWLEDGED.change_each(connection, [{"this": seq, "now": now, "first_ms": first_pause_ms} for seq in seqs])


_ACKNOWLEDGED: Final = Prepared(
    update(store.inbox)
    .where(
        store.inbox.c.sender == bindparam("by"),
        store.inbox.c.id == bindparam("this"),
        store.inbox.c.digest == bindparam("of"),
    )
    .values(acknowledge_at=None, receipt=func.coalesce(store.inbox.c.receipt, bindparam("proof")))
)


def acknowledged(connection: Connection, proven: Sequence[tuple[Entry, bytes | None]]) -> None:
    """The hub has our acknowledgements on record: the duty is done. Of several receipts of one the first is kept."""
    rows = [
        {"by": entry.sender, "this": str(entry.message), "of": entry.envelope, "proof": receipt}
        for entry, receipt in proven
    ]
    _ACKNOWLEDGED.change_each(connection, rows)


_WITH_ENVELOPE: Final = select(store.inbox, store.sealed.c.envelope).outerjoin(
    store.sealed, store.sealed.c.seq == store.inbox.c.seq
)


def listing(
    connection: Connection, box: Store, after: int, limit: int, kind: str | None, thread: str | None
) -> list[dict[str, Any]]:
    """Received messages in the order of arrival, from behind `after` on, with their bodies; about 8 MB at most."""
    table = store.inbox.c
    query = _WITH_ENVELOPE.where(table.seq > after, table.outcome == str(Outcome.DELIVERED))
    if kind is not None:
        query = query.where(table.kind == kind)
    if thread is not None:
        query = query.where(table.thread == thread)
    found: list[dict[str, Any]] = []
    size = 0
    for row in connection.execute(query.order_by(table.seq).limit(limit).execution_options(yield_per=10)):
        size += len(row.content or row.envelope or b"")
        if found and size > PAGE_BYTES:
            break
        found.append(_described(box, row))
    amendments.tell(connection, found)
    return _with_debts(connection, found, time.time_ns() // 1_000_000)


def show(connection: Connection, box: Store, id: str) -> dict[str, Any]:
    """One received message. Raises MessageUnknown."""
    row = find(connection, id)
    [described] = _with_debts(connection, [_described(box, row)], time.time_ns() // 1_000_000)
    amendments.tell(connection, [described])
    proven = {"receipt_verified": row.receipt is not None, "witnessed": proofs.is_witnessed(connection, row.receipt)}
    return {**described, **proven, "notices": notices.of(connection, id)}


def find(connection: Connection, id: str) -> Any:
    """A received message's row, with its envelope if that was kept. Raises MessageUnknown."""
    # A second sender of the same id was declined.
    query = _WITH_ENVELOPE.where(store.inbox.c.id == id).order_by(store.inbox.c.seq)
    row = connection.execute(query).first()
    if row is None:
        raise MessageUnknown(f"no message {id} in the inbox", "list them with `seci-node inbox`")
    return row


def of_kind(connection: Connection, kind: str) -> Sequence[Any]:
    """The rows of all that came and was taken of a kind, in the order of arrival, each with its envelope."""
    table = store.inbox.c
    query = _WITH_ENVELOPE.where(table.kind == kind, table.outcome == str(Outcome.DELIVERED)).order_by(table.seq)
    return connection.execute(query).all()


def plans(connection: Connection) -> Sequence[Any]:
    """The rows of all plans of operations that came and were taken, in the order of arrival, each with its envelope."""
    query = _WITH_ENVELOPE.where(store.CAME_PLAN, store.inbox.c.outcome == str(Outcome.DELIVERED))
    return connection.execute(query.order_by(store.inbox.c.seq)).all()


def in_thread(connection: Connection, thread: str) -> Sequence[Any]:
    """The rows of a thread that came and were taken, in the order of arrival, each with its envelope."""
    table = store.inbox.c
    query = _WITH_ENVELOPE.where(table.thread == thread, table.outcome == str(Outcome.DELIVERED)).order_by(table.seq)
    return connection.execute(query).all()


def read(connection: Connection, box: Store, id: str) -> tuple[Header, dict[str, Any]] | None:
    """The header and body of a received message; None if there is none, or it was declined."""
    try:
        row = find(connection, id)
    except MessageUnknown:
        return None
    content = content_of(box, row)
    return None if content is None else (Header.from_bytes(row.header), json.loads(content[NONCE_SIZE:]))


def content_of(box: Store, row: Any) -> bytes | None:
    """Nonce and body of a row that `find` gave, in clear; None if it was declined."""
    if row.content_key is not None:
        return reopen(row.envelope, box.open_body(row.id, row.content_key))
    return None if row.content is None else box.open_body(row.id, row.content)


def _with_debts(connection: Connection, found: list[dict[str, Any]], now: int) -> list[dict[str, Any]]:
    # `overdue` as the hub sees it: an answer is owed from `reply_by` on, until the message has expired.
    asked = [message["id"] for message in found if "reply_by" in message]
    done, at = notices.answered(connection, asked) if asked else (), iso(now) or ""
    for message in found:
        if "reply_by" in message:
            message["answered"] = message["id"] in done
            owed = message["state"] == Outcome.DELIVERED and not message["answered"]
            message["overdue"] = owed and message["reply_by"] <= at < message["expires"]
    return found


def _described(box: Store, row: Any) -> dict[str, Any]:
    described = {
        "seq": row.seq,
        "id": row.id,
        "state": row.outcome,
        "received": iso(row.received_at),
        **describe_header(Header.from_bytes(row.header)),
    }
    content = content_of(box, row)
    if content is None:
        return {**described, "code": row.code}
    body = json.loads(content[NONCE_SIZE:])
    return {**described, "about": summary(row.kind, body), "body": body}
