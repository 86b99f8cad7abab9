"""Recording a batch of verdicts in one transaction, and saying what is to be published for it.

A message is recognised by sender and id, with its envelope's digest. The same message again is
not an error: its receipt is repeated, and it is published again to the recipients that have not
acknowledged it (they recognise it too). The same id with another digest is refused.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from hub import ledger, tables
from hub.judge import Acceptable, Acknowledged, Refusable, Unreadable, Verdict
from schemas.codes import Priority
from schemas.control import AcknowledgedMessage, Entry, Event, MessageType, Outcome, Receipt, Receipts
from schemas.header import Header
from schemas.refusals import RefusalCode


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


@dataclass(slots=True)
class _Draft:
    """A batch being turned into entries. `to` says for each new entry which nodes get its receipt."""

    entries: list[Entry]
    to: list[tuple[str, ...]]
    rows: dict[str, list[tuple[object, ...]]]
    publications: list[Publication]
    again: list[tuple[str, int]]
    acknowledgements: dict[str, list[bytes]]

    def add(self, entry: Entry, to: tuple[str, ...]) -> int:
        self.entries.append(entry)
        self.to.append(to)
        return len(self.entries) - 1


async def record(connection: AsyncConnection, log: ledger.Ledger, verdicts: Sequence[Verdict], now: int) -> Recorded:
    """Records the batch and returns what is to be published once the caller has committed."""
    await ledger.lock(connection)
    base = (await ledger.head(connection)).range.size
    draft = _Draft([], [], {name: [] for name in _COLUMNS}, [], [], {})
    await _take_accepted(connection, draft, [v for v in verdicts if isinstance(v, Acceptable)], base, now)
    await _take_refused(connection, draft, [v for v in verdicts if isinstance(v, Refusable)], base, now)
    await _take_acknowledged(connection, draft, [v for v in verdicts if isinstance(v, Acknowledged)], base, now)
    await _take_unreadable(connection, draft, [v for v in verdicts if isinstance(v, Unreadable)], base, now)
    if draft.entries:
        appended = await ledger.append(connection, log, draft.entries)
        await _insert(connection, draft)
        draft.publications.extend(_receipts(draft, appended))
    if draft.again:
        draft.publications.extend(await _receipts_again(connection, draft.again))
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
            index = base + draft.add(_accepted(header, digest, now), (header.sender,))
            known[header.sender, header.id] = (digest, index)
            draft.rows["message"].append(_message_row(header, digest, index, now))
            draft.publications.extend(_deliveries(verdict, header.recipients))
        elif seen[0] == digest:
            if seen[1] < base:
                draft.again.append((header.sender, seen[1]))
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
                draft.again.append((verdict.arrival.node, known[key]))
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
        index = known[key] = base + draft.add(entry, (verdict.arrival.node,))
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
            if known[key] < base:
                draft.again.append((ack.recipient, known[key]))
        else:
            entry = _acknowledged(verdict, item, now)
            index = known[key] = base + draft.add(entry, (ack.sender, ack.recipient))
            draft.rows["acknowledgement"].append((*key, str(item.outcome), index, now, verdict.arrival.body))
            signed = draft.acknowledgements.setdefault(ack.sender, [])
            if not signed or signed[-1] != verdict.arrival.body:
                signed.append(verdict.arrival.body)


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
    index = base + draft.add(entry, (arrival.node,))
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


def _receipts(draft: _Draft, appended: ledger.Appended) -> list[Publication]:
    by_node: dict[str, list[Receipt]] = {}
    for nodes, receipt in zip(draft.to, appended.receipts, strict=True):
        for node in dict.fromkeys(nodes):
            by_node.setdefault(node, []).append(receipt)
    return [
        _bundle(node, appended.note, receipts, draft.acknowledgements.get(node, []))
        for node, receipts in by_node.items()
    ]


async def _receipts_again(connection: AsyncConnection, again: list[tuple[str, int]]) -> list[Publication]:
    by_node: dict[str, list[int]] = {}
    for node, index in dict.fromkeys(again):
        by_node.setdefault(node, []).append(index)
    publications = []
    for node, indices in by_node.items():
        proven = await ledger.prove(connection, indices)
        publications.append(_bundle(node, proven.note, list(proven.receipts), []))
    return publications


def _bundle(node: str, note: str, receipts: list[Receipt], signed: list[bytes]) -> Publication:
    bundle = Receipts.model_construct(checkpoint=note, receipts=tuple(receipts), acknowledgements=tuple(signed))
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


async def _known_acknowledgements(connection: AsyncConnection, ids: Iterable[UUID]) -> dict[tuple[str, UUID, str], int]:
    table = tables.acknowledgement.c
    rows = await connection.execute(
        select(table.sender, table.id, table.recipient, table.leaf_index).where(table.id.in_(ids))
    )
    return {(row.sender, row.id, row.recipient): row.leaf_index for row in rows}


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
