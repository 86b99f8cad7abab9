"""Recording a batch of verdicts in one transaction, and saying what is to be published for it.

A message is recognised by sender and id, with its envelope's digest. The same message again is
not an error: its receipt is repeated, and it is published again to the recipients that have not
acknowledged it (they recognise it too). The same id with another digest is refused.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from hub import ledger, tables
from hub.judge import Acceptable, Acknowledged, Refusable, Unreadable, Verdict
from schemas.codes import Priority
from schemas.control import AcknowledgedMessage, Entry, Event, MessageType, Outcome, Receipt, Receipts
from schemas.header import Header
from schemas.refusals import RefusalCode

# A receipt has 1 to 2 KB: a bundle of so many stays far below the broker's limit for a message.
BUNDLE_SIZE: Final = 250


@dataclass(frozen=True, slots=True)
class Publication:
    """One message for one node's inbox. `message_id` is unique per node and content."""

    node: str
    type: MessageType
    urgent: bool
    message_id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Recorded:
    """A batch on record: what to publish, and how many entries of each event were made."""

    publications: tuple[Publication, ...]
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class _Owed:
    """Which nodes are owed an entry's receipt, and the signed acknowledgement that goes with it."""

    nodes: tuple[str, ...]
    signed: bytes | None = None


@dataclass(slots=True)
class _Draft:
    """A batch being turned into entries. `owed` is in the entries' order; `again` by index, of older entries."""

    entries: list[Entry]
    owed: list[_Owed]
    rows: dict[str, list[tuple[object, ...]]]
    publications: list[Publication]
    again: dict[int, _Owed]

    def add(self, entry: Entry, owed: _Owed) -> int:
        self.entries.append(entry)
        self.owed.append(owed)
        return len(self.entries) - 1


async def record(connection: AsyncConnection, log: ledger.Ledger, verdicts: Sequence[Verdict], now: int) -> Recorded:
    """Records the batch and returns what is to be published once the caller has committed."""
    await ledger.lock(connection)
    base = (await ledger.head(connection)).range.size
    draft = _Draft([], [], {name: [] for name in _COLUMNS}, [], {})
    await _take_accepted(connection, draft, [v for v in verdicts if isinstance(v, Acceptable)], base, now)
    await _take_refused(connection, draft, [v for v in verdicts if isinstance(v, Refusable)], base, now)
    await _take_acknowledged(connection, draft, [v for v in verdicts if isinstance(v, Acknowledged)], base, now)
    await _take_unreadable(connection, draft, [v for v in verdicts if isinstance(v, Unreadable)], base, now)
    if draft.entries:
        appended = await ledger.append(connection, log, draft.entries)
        await _insert(connection, draft)
        draft.publications.extend(_bundles(appended, draft.owed))
    if draft.again:
        proven = await ledger.prove(connection, list(draft.again))
        draft.publications.extend(_bundles(proven, draft.again.values()))
    return Recorded(tuple(draft.publications), tuple(entry.event for entry in draft.entries))


async def _take_accepted(
    connection: AsyncConnection, draft: _Draft, verdicts: list[Acceptable], base: int, now: int
) -> None:
    known = await _known_messages(connection, verdicts)
    conflicts: list[Refusable] = []
    for verdict in verdicts:
        header, digest = verdict.verified.header, verdict.verified.digest
        seen = known.get((header.sender, header.id))
        if seen is None:
            index = base + draft.add(_accepted(header, digest, now), _Owed((header.sender,)))
            known[header.sender, header.id] = (digest, index)
            draft.rows["message"].append(_message_row(header, digest, index, now))
            draft.publications.extend(_deliveries(verdict, header.recipients))
        elif seen[0] == digest:
            if seen[1] < base:
                draft.again[seen[1]] = _Owed((header.sender,))
                waiting = await _waiting(connection, header)
                draft.publications.extend(_deliveries(verdict, waiting))
        else:
            detail = "another message with this id was accepted before; this one is not delivered"
            conflicts.append(Refusable(verdict.arrival, digest, header.id, RefusalCode.ID_REUSED, detail))
    await _take_refused(connection, draft, conflicts, base, now)


async def _take_refused(
    connection: AsyncConnection, draft: _Draft, verdicts: list[Refusable], base: int, now: int
) -> None:
    if not verdicts:
        return
    table = tables.refusal.c
    keys = [(verdict.arrival.node, verdict.envelope) for verdict in verdicts]
    query = select(table.node, table.envelope, table.leaf_index).where(tuple_(table.node, table.envelope).in_(keys))
    known = {(row.node, row.envelope): row.leaf_index for row in await connection.execute(query)}
    for verdict in verdicts:
        key = (verdict.arrival.node, verdict.envelope)
        if key in known:
            if known[key] < base:
                draft.again[known[key]] = _Owed((verdict.arrival.node,))
            continue
        entry = Entry(
            event=Event.REFUSED,
            at=now,
            node=verdict.arrival.node,
            message=verdict.message,
            envelope=verdict.envelope,
            code=verdict.code,
            detail=verdict.detail,
        )
        index = known[key] = base + draft.add(entry, _Owed((verdict.arrival.node,)))
        draft.rows["refusal"].append((*key, index, str(verdict.code), now))


async def _take_acknowledged(
    connection: AsyncConnection, draft: _Draft, verdicts: list[Acknowledged], base: int, now: int
) -> None:
    items = [(verdict, item) for verdict in verdicts for item in verdict.acknowledgement.items]
    if not items:
        return
    ids = {item.id for _, item in items}
    messages = await _addressed(connection, ids)
    known = await _known_acknowledgements(connection, ids)
    for verdict, item in items:
        ack = verdict.acknowledgement
        key = (ack.sender, item.id, ack.recipient)
        message = messages.get((ack.sender, item.id))
        if message is None or message[0] != item.envelope or ack.recipient not in message[1]:
            draft.rows["quarantine"].extend(
                await _quarantine(connection, draft, Unreadable(verdict.arrival, "not_addressed"), base, now)
            )
        elif key in known:
            # Again, so somebody may have missed it: a kill comes between a commit and its publishing.
            index, signed = known[key]
            if index < base:
                draft.again[index] = _Owed((ack.sender, ack.recipient), signed)
        else:
            signed = verdict.arrival.body
            index = base + draft.add(_acknowledged(verdict, item, now), _Owed((ack.sender, ack.recipient), signed))
            known[key] = (index, signed)
            draft.rows["acknowledgement"].append((*key, str(item.outcome), index, now, signed))


async def _take_unreadable(
    connection: AsyncConnection, draft: _Draft, verdicts: list[Unreadable], base: int, now: int
) -> None:
    for verdict in verdicts:
        draft.rows["quarantine"].extend(await _quarantine(connection, draft, verdict, base, now))


async def _quarantine(
    connection: AsyncConnection, draft: _Draft, verdict: Unreadable, base: int, now: int
) -> list[tuple[object, ...]]:
    arrival = verdict.arrival
    digest = ledger.evidence(arrival.body)
    table = tables.quarantine.c
    known = await connection.scalar(select(table.leaf_index).where(table.node == arrival.node, table.digest == digest))
    if known is not None or any(row[:2] == (arrival.node, digest) for row in draft.rows["quarantine"]):
        return []
    entry = Entry(event=Event.QUARANTINED, at=now, node=arrival.node, evidence=digest, detail=verdict.reason)
    index = base + draft.add(entry, _Owed((arrival.node,)))
    return [(arrival.node, digest, index, now, arrival.type[:40], verdict.reason, arrival.body)]


def _accepted(header: Header, digest: bytes, now: int) -> Entry:
    # Built without validation: every value comes from a validated header, and this is the hot path.
    return Entry.model_construct(
        event=Event.ACCEPTED,
        at=now,
        node=header.sender,
        message=header.id,
        thread=header.thread,
        sender=header.sender,
        recipients=header.recipients,
        task_force=header.task_force,
        kind=header.kind,
        kind_version=header.kind_version,
        operation=header.operation,
        priority=str(header.priority),
        handling=str(header.handling),
        created=header.created,
        envelope=digest,
    )


def _acknowledged(verdict: Acknowledged, item: AcknowledgedMessage, now: int) -> Entry:
    ack = verdict.acknowledgement
    return Entry(
        event=Event.DELIVERED if item.outcome is Outcome.DELIVERED else Event.DECLINED,
        at=now,
        node=ack.recipient,
        message=item.id,
        sender=ack.sender,
        envelope=item.envelope,
        evidence=ledger.evidence(verdict.arrival.body),
        code=item.code,
    )


def _deliveries(verdict: Acceptable, recipients: Iterable[str]) -> list[Publication]:
    header = verdict.verified.header
    urgent = header.priority is Priority.URGENT
    return [
        Publication(node, MessageType.ENVELOPE, urgent, f"{header.id}/{node}", verdict.arrival.body)
        for node in recipients
    ]


def _bundles(appended: ledger.Appended, owed: Iterable[_Owed]) -> list[Publication]:
    by_node: dict[str, list[tuple[Receipt, bytes | None]]] = {}
    for receipt, to in zip(appended.receipts, owed, strict=True):
        for node in dict.fromkeys(to.nodes):
            by_node.setdefault(node, []).append((receipt, to.signed))
    return [
        _bundle(node, appended.note, items[start : start + BUNDLE_SIZE])
        for node, items in by_node.items()
        for start in range(0, len(items), BUNDLE_SIZE)
    ]


def _bundle(node: str, note: str, items: Sequence[tuple[Receipt, bytes | None]]) -> Publication:
    signed = dict.fromkeys(signed for _, signed in items if signed is not None)
    receipts = tuple(receipt for receipt, _ in items)
    bundle = Receipts.model_construct(checkpoint=note, receipts=receipts, acknowledgements=tuple(signed))
    body = bundle.to_bytes()
    return Publication(node, MessageType.RECEIPTS, False, f"{ledger.evidence(body)[:16].hex()}/{node}", body)


async def _known_messages(
    connection: AsyncConnection, verdicts: list[Acceptable]
) -> dict[tuple[str, UUID], tuple[bytes, int]]:
    if not verdicts:
        return {}
    table = tables.message.c
    ids = [verdict.verified.header.id for verdict in verdicts]
    rows = await connection.execute(
        select(table.sender, table.id, table.envelope, table.leaf_index).where(table.id.in_(ids))
    )
    return {(row.sender, row.id): (row.envelope, row.leaf_index) for row in rows}


async def _addressed(
    connection: AsyncConnection, ids: Iterable[UUID]
) -> dict[tuple[str, UUID], tuple[bytes, list[str]]]:
    table = tables.message.c
    rows = await connection.execute(
        select(table.sender, table.id, table.envelope, table.recipients).where(table.id.in_(ids))
    )
    return {(row.sender, row.id): (row.envelope, row.recipients) for row in rows}


async def _known_acknowledgements(
    connection: AsyncConnection, ids: Iterable[UUID]
) -> dict[tuple[str, UUID, str], tuple[int, bytes]]:
    table = tables.acknowledgement.c
    rows = await connection.execute(
        select(table.sender, table.id, table.recipient, table.leaf_index, table.signed).where(table.id.in_(ids))
    )
    return {(row.sender, row.id, row.recipient): (row.leaf_index, row.signed) for row in rows}


async def _waiting(connection: AsyncConnection, header: Header) -> list[str]:
    table = tables.acknowledgement.c
    rows = await connection.execute(select(table.recipient).where(table.sender == header.sender, table.id == header.id))
    done = {row.recipient for row in rows}
    return [node for node in header.recipients if node not in done]


def _message_row(header: Header, digest: bytes, index: int, now: int) -> tuple[object, ...]:
    return (
        header.sender,
        header.id,
        digest,
        index,
        now,
        header.thread,
        header.task_force,
        header.kind,
        str(header.priority),
        list(header.recipients),
        header.expires,
    )


_COLUMNS = {
    table.name: tuple(column.name for column in table.columns)
    for table in (tables.message, tables.refusal, tables.acknowledgement, tables.quarantine)
}


async def _insert(connection: AsyncConnection, draft: _Draft) -> None:
    for name, rows in draft.rows.items():
        if rows:
            await ledger.copy(connection, name, _COLUMNS[name], rows)
