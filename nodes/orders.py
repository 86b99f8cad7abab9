"""A coordinator's orders: given, sent until the hub has them on record, and what it made of each.

One at a time goes out, in the order in which they were given; a later one waits for the receipt of the one before.
"""

import asyncio
import hashlib
import time
from dataclasses import dataclass
from typing import Annotated, Any, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import BigInteger, Column, Integer, LargeBinary, Table, Text, func, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import Connection

from crypto.keys import SigningKey
from crypto.log import log
from crypto.orders import sign_order
from crypto.receipt import Proven
from crypto.trust import Trust
from nodes import store
from nodes.errors import IdReused, RoutingRefused
from nodes.link import Link
from nodes.loops import TICK_S
from nodes.publishing import Publication
from nodes.signing import signed_by
from nodes.store import Store
from nodes.times import iso
from nodes.witness import Witness
from schemas.control import Event, MessageType
from schemas.header import NodeId, new_id
from schemas.membership import MAX_REASON, Act, MembershipOrder, OrderRefused, carried_out
from schemas.refusals import NEXT_STEP, RefusalCode

FIRST_PAUSE_MS: Final = 5_000
LONGEST_PAUSE_MS: Final = 600_000
_ORDER: Final = Table(
    "membership_order",
    store.metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("signed", LargeBinary, nullable=False),
    Column("task_force", Text, nullable=False),
    Column("words", Text, nullable=False),
    Column("given_at", BigInteger, nullable=False),
    # `queued`, then `accepted` or `refused`.
    Column("state", Text, nullable=False),
    Column("code", Text),
    Column("detail", Text),
    Column("settled_at", BigInteger),
    Column("ledger_index", BigInteger),
    Column("receipt", LargeBinary),
    Column("attempts", Integer, nullable=False, default=0),
    Column("resend_at", BigInteger, nullable=False, default=0),
)


class Wanted(BaseModel):
    """An order as it is asked for. With an `id` of its own (UUIDv7) it may be repeated at will."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    act: Act
    node: NodeId
    kinds: Annotated[tuple[str, ...], Field(min_length=1, max_length=100)] | None = None
    reason: Annotated[str, Field(min_length=1, max_length=MAX_REASON)]
    id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Ready:
    """An order to be published now."""

    id: str
    signed: bytes


async def give(box: Store, trust: Trust, node: str, key: SigningKey, task_force: str, wanted: Wanted) -> dict[str, Any]:
    """Signs and stores an order; when this returns it will not be lost.

    Raises RoutingRefused for one that the hub would refuse, IdReused, HsmUnavailable, ValidationError.
    """
    newest = await box.run(_newest)
    order = MembershipOrder(
        id=wanted.id or new_id(),
        node=node,
        task_force=task_force,
        act=wanted.act,
        subject=wanted.node,
        kinds=wanted.kinds,
        # Later than all before, whatever the clock says: the hub takes no older one.
        at=max(time.time_ns() // 1_000_000, newest + 1),
        reason=wanted.reason,
    )
    known = await box.run(_find, str(order.id))
    if known is not None:
        if (known["task_force"], known["order"]) != (task_force, order.in_words()):
            raise IdReused(f"id {order.id} was used for another order", "give this one an id of its own")
        return known
    try:
        carried_out(trust.roster, order)
    except OrderRefused as error:
        raise RoutingRefused(str(error.code), str(error), NEXT_STEP[error.code]) from error
    signed = await signed_by(key, sign_order, order, key)
    row = {
        "id": str(order.id),
        "digest": hashlib.sha256(signed).digest(),
        "signed": signed,
        "task_force": task_force,
        "words": order.in_words(),
        "given_at": order.at,
        "state": "queued",
    }
    return await box.run(_insert, row)


def _insert(connection: Connection, row: dict[str, Any]) -> dict[str, Any]:
    connection.execute(insert(_ORDER).values(row).on_conflict_do_nothing())
    return _find(connection, row["id"]) or {}


def _newest(connection: Connection) -> int:
    return int(connection.scalar(select(func.max(_ORDER.c.given_at))) or 0)


def _find(connection: Connection, id: str) -> dict[str, Any] | None:
    row = connection.execute(select(_ORDER).where(_ORDER.c.id == id)).first()
    return None if row is None else _described(row)


def listing(connection: Connection, limit: int) -> list[dict[str, Any]]:
    """What was ordered here, newest first, and what became of it."""
    rows = connection.execute(select(_ORDER).order_by(_ORDER.c.seq.desc()).limit(limit))
    return [_described(row) for row in rows]


def _described(row: Any) -> dict[str, Any]:
    described = {
        "id": row.id,
        "task_force": row.task_force,
        "order": row.words,
        "given": iso(row.given_at),
        "state": row.state,
        "settled": iso(row.settled_at),
        "ledger_index": row.ledger_index,
    }
    if row.code is not None:
        step = NEXT_STEP.get(RefusalCode(row.code), "")
        described["refusal"] = {"code": row.code, "detail": row.detail, "next": step}
    return described


def due(connection: Connection, now: int) -> Ready | None:
    """The oldest order without a receipt, if it is to be sent (again) by `now` (ms)."""
    query = select(_ORDER.c.id, _ORDER.c.signed, _ORDER.c.resend_at).where(_ORDER.c.state == "queued")
    row = connection.execute(query.order_by(_ORDER.c.seq).limit(1)).first()
    # One that was put off by a clock that was ahead does not wait for its time.
    return Ready(row.id, row.signed) if row is not None and not now < row.resend_at <= now + LONGEST_PAUSE_MS else None


def mark_sent(connection: Connection, id: str, now: int) -> None:
    """The broker has it; it is sent again, later and later, unless a receipt comes."""
    attempts = connection.scalar(select(_ORDER.c.attempts).where(_ORDER.c.id == id)) or 0
    again = now + min(FIRST_PAUSE_MS << min(attempts, 16), LONGEST_PAUSE_MS)
    connection.execute(update(_ORDER).where(_ORDER.c.id == id).values(attempts=attempts + 1, resend_at=again))


def settle(connection: Connection, proven: Proven, receipt: bytes) -> bool:
    """Takes in a proven entry of what the hub made of an order. False if it fits none of this node's."""
    entry = proven.entry
    unreadable = entry.event is Event.QUARANTINED
    code = RefusalCode.ENVELOPE_MALFORMED if unreadable else entry.code
    this = (_ORDER.c.digest == entry.evidence) & (_ORDER.c.state == "queued")
    values = {
        "state": "accepted" if code is None else "refused",
        "code": None if code is None else str(code),
        "detail": entry.detail if code is not None else None,
        "settled_at": entry.at,
        "ledger_index": proven.index,
        "receipt": receipt,
    }
    if connection.execute(update(_ORDER).where(this).values(values)).rowcount:
        log.info("order_settled", entry=proven.index, code=None if code is None else str(code))
        return True
    return connection.scalar(select(_ORDER.c.seq).where(_ORDER.c.digest == entry.evidence)) is not None


async def keep_sending(box: Store, link: Link, witness: Witness) -> None:
    """Sends what is ordered, for ever."""
    while True:
        await link.up.wait()
        now = time.time_ns() // 1_000_000
        found = None if witness.caught else await box.run(due, now)
        if found is not None:
            # An id of each attempt: none is published twice on a channel that may have lost the first.
            name = f"order-{found.id}-{now}"
            confirmed = await link.publish([Publication(name, MessageType.MEMBERSHIP, False, found.signed)])
            if confirmed == [True]:
                await box.run(mark_sent, found.id, now)
        await asyncio.sleep(TICK_S)
