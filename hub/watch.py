"""What an operator looks up: messages, one message's whole way. Reads only.

All of it comes from the ledger's entries and the tables made in the same transactions; times are the hub's.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, any_, func, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from hub import tables
from schemas.control import Entry


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which messages: None stands for any. `before` is a ledger index to go on from, newest first."""

    node: str | None = None
    task_force: str | None = None
    kind: str | None = None
    undelivered: bool = False
    before: int | None = None
    limit: int = 50


async def messages(connection: AsyncConnection, wanted: Wanted) -> list[dict[str, Any]]:
    """Accepted messages, newest first, each with how many recipients have acknowledged it."""
    table, done = tables.message.c, tables.acknowledgement.c
    acknowledged = (
        select(func.count()).where(done.sender == table.sender, done.id == table.id).scalar_subquery().label("done")
    )
    query = select(tables.message, acknowledged).order_by(table.leaf_index.desc()).limit(wanted.limit)
    if wanted.undelivered:
        query = query.where(acknowledged < func.cardinality(table.recipients))
    rows = await connection.execute(_filtered(query, wanted))
    return [
        {
            "index": row.leaf_index,
            "id": str(row.id),
            "at": iso(row.at),
            "sender": row.sender,
            "recipients": list(row.recipients),
            "acknowledged": row.done,
            "task_force": row.task_force,
            "kind": row.kind,
            "priority": row.priority,
        }
        for row in rows
    ]


def _filtered(query: Select[Any], wanted: Wanted) -> Select[Any]:
    table = tables.message.c
    if wanted.node is not None:
        query = query.where(or_(table.sender == wanted.node, literal(wanted.node) == any_(table.recipients)))
    if wanted.task_force is not None:
        query = query.where(table.task_force == wanted.task_force)
    if wanted.kind is not None:
        query = query.where(table.kind == wanted.kind)
    if wanted.before is not None:
        query = query.where(table.leaf_index < wanted.before)
    return query


async def trace(connection: AsyncConnection, id: UUID) -> list[dict[str, Any]]:
    """Every step of a message's way, in the order of the ledger; deliveries that are held come last."""
    table = tables.message.c
    message = (await connection.execute(select(tables.message).where(table.id == id))).first()
    steps = await _entries(connection, await _indices(connection, id))
    if message is None:
        return steps
    created = steps[0].get("created") if steps else None
    done = {step["node"] for step in steps if step["event"] in ("delivered", "declined")}
    for step in steps:
        # Recipients take a message for some minutes more, for clocks differ.
        if step["event"] in ("delivered", "declined") and step["at"] > (iso(message.expires) or ""):
            step["late"] = True
    begin = [{"event": "created", "at": created, "node": message.sender}] if created else []
    waiting = [{"event": "waiting", "node": node} for node in message.recipients if node not in done]
    return [*begin, *steps, *waiting, *await _held(connection, message.sender, id)]


async def _indices(connection: AsyncConnection, id: UUID) -> list[int]:
    found: set[int] = set()
    for table in (tables.message, tables.refusal, tables.acknowledgement, tables.deadline):
        column = table.c.message if table is tables.refusal else table.c.id
        found |= set((await connection.execute(select(table.c.leaf_index).where(column == id))).scalars())
    return sorted(found)


async def _entries(connection: AsyncConnection, indices: list[int]) -> list[dict[str, Any]]:
    table, erasure = tables.ledger_content.c, tables.erasure.c
    query = select(table.leaf_index, table.entry).where(table.leaf_index.in_(indices))
    steps = [_step(row.leaf_index, Entry.from_bytes(row.entry)) for row in await connection.execute(query)]
    # Of what is erased there is the erasure, in its place.
    erased = select(erasure.leaf_index, table.entry).join(tables.ledger_content, table.leaf_index == erasure.erased_by)
    rows = await connection.execute(erased.where(erasure.leaf_index.in_(indices)))
    steps += [_step(row.leaf_index, Entry.from_bytes(row.entry)) for row in rows]
    return sorted(steps, key=lambda step: int(step["index"]))


def _step(index: int, entry: Entry) -> dict[str, Any]:
    step = {
        "event": str(entry.event),
        "at": iso(entry.at),
        "node": entry.node,
        "index": index,
        "created": iso(entry.created),
        "recipients": None if entry.recipients is None else list(entry.recipients),
        "task_force": entry.task_force,
        "kind": entry.kind,
        "code": None if entry.code is None else str(entry.code),
        "detail": entry.detail,
    }
    return {name: value for name, value in step.items() if value is not None}


async def _held(connection: AsyncConnection, sender: str, id: UUID) -> list[dict[str, Any]]:
    table = tables.held.c
    rows = await connection.execute(
        select(table.node, table.attempts, table.due, table.reason).where(table.message_id.like(f"{sender}/{id}/%"))
    )
    return [
        {"event": "held", "node": row.node, "attempts": row.attempts, "next": iso(row.due), "code": row.reason}
        for row in rows
    ]


def iso(millis: int | None) -> str | None:
    """ISO 8601 in UTC with milliseconds."""
    if millis is None:
        return None
    return datetime.fromtimestamp(millis / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
