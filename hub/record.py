"""Recording a batch of verdicts in one transaction, and saying what is to be published for it.

A message is recognised by sender and id, with its envelope's digest. The same message again is
not an error: its receipt is repeated, and it is published again to the recipients that have not
acknowledged it (they recognise it too). The same id with another digest is refused.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, starmap
from typing import Final
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from hub import archive, deadlines, ledger, orders, tables, threads
from hub.errors import RosterChanged
from hub.judge import Acceptable, Acknowledged, Ordered, Refusable, Unreadable, Verdict
from hub.metrics import recorded
from hub.publication import Owed, Publication, bundles, deliveries
from schemas.codes import Priority
from schemas.control import AcknowledgedMessage, Acknowledgement, Entry, Event, Outcome
from schemas.header import Header
from schemas.refusals import RefusalCode

# Once the quarantine holds so much, more content is not kept: nobody may fill the disk with what cannot be read.
QUARANTINE_BYTES: Final = 2 * 1024**3
_QUARANTINE_SIZE: Final = text("SELECT pg_total_relation_size('quarantine_content')")
_TABLES: Final = (
    tables.message,
    tables.refusal,
    tables.acknowledgement,
    tables.quarantine,
    tables.quarantine_content,
)
_ERASED = "it was on record already, and the record has been erased since; this copy is not delivered"
_REUSED = "another message with this id was accepted before; this one is not delivered"


@dataclass(frozen=True, slots=True)
class _Going:
    """A message on its way to recipients, all of its own or those that have not acknowledged it."""

    id: UUID
    message: archive.Message
    recipients: tuple[str, ...]
    envelope: bytes


@dataclass(slots=True)
class _Draft:
    """A batch being turned into entries, of which the first gets index `base`.

    `now` is when it was judged, `locked` when the ledger was ours; `owed` is in the entries' order; `going` has
    what goes to recipients; `again` has receipts of older entries, by index.
    """

    base: int
    now: int
    locked: int
    entries: list[Entry]
    owed: list[Owed]
    rows: dict[str, list[tuple[object, ...]]]
    going: list["_Going"]
    again: dict[int, Owed]

    def add(self, entry: Entry, owed: Owed) -> int:
        """The index that the entry will have."""
        self.entries.append(entry)
        self.owed.append(owed)
        return self.base + len(self.entries) - 1

    def repeat(self, index: int, owed: Owed) -> None:
        """Repeats an older entry's receipt; one of this batch is sent anyway."""
        if index < self.base:
            self.again[index] = owed


@dataclass(frozen=True)
class Recorded:
    """What is to be published for a batch, and the entries that it made.

    Publications are made when they are first asked for, as the receipts in them are: see `ledger.Appended`.
    """

    make: Callable[[], Iterable[Publication]]
    entries: tuple[Entry, ...]

    @cached_property
    def publications(self) -> tuple[Publication, ...]:
        """In the order in which they are to go."""
        return tuple(self.make())


NOTHING: Final = Recorded(tuple, ())


async def record(
    connection: AsyncConnection, log: ledger.Ledger, verdicts: Sequence[Verdict], now: int, roster: int | None = None
) -> Recorded:
    """Records the batch; what is to be published is published once the caller has committed.

    Raises RosterChanged if there is a newer roster than the version it was judged by: then nothing is recorded.
    """
    words = [v for v in verdicts if isinstance(v, Ordered)]
    if words:
        # These make a roster themselves.
        _check_roster((await archive.take_turn_seeing(connection, []))[1], roster)
        roster = None
    # First, for they append to the ledger themselves: what comes behind takes its turn anew.
    ordered = await orders.carry_out(connection, log, words, now)
    envelopes = [v for v in verdicts if isinstance(v, Acceptable | Refusable)]
    turn, seen = await archive.take_turn_seeing(connection, [archive.Asked.by(verdict) for verdict in envelopes])
    _check_roster(seen, roster)
    # Nothing on record is dated after a roster that came behind it: by that, a revoked key's last word is told.
    draft = _Draft(turn.range.size, min(now, turn.at), turn.at, [], [], {table.name: [] for table in _TABLES}, [], {})
    await _take_envelopes(connection, draft, envelopes, seen)
    await _take_acknowledged(connection, draft, [v for v in verdicts if isinstance(v, Acknowledged)])
    for verdict in verdicts:
        if isinstance(verdict, Unreadable):
            await _quarantine(connection, draft, verdict)
    going = await _deliveries(connection, draft.going)
    owed: list[tuple[ledger.Appended, Iterable[Owed]]] = []
    if draft.entries:
        owed.append((await ledger.append(connection, log, turn, draft.entries, draft.rows), draft.owed))
    if draft.again:
        owed.append((await ledger.prove(connection, log, list(draft.again)), draft.again.values()))
    entries = (*ordered.entries, *draft.entries)
    recorded(entries, len(draft.again))
    return Recorded(lambda: chain(ordered.publications, going, *starmap(bundles, owed)), entries)


def _check_roster(seen: archive.Seen, judged_by: int | None) -> None:
    if judged_by is not None and seen.roster not in (None, judged_by):
        raise RosterChanged("the roster has changed since a batch was judged", "nothing to do: it is judged anew")


async def _take_envelopes(
    connection: AsyncConnection, draft: _Draft, verdicts: Sequence[Acceptable | Refusable], seen: archive.Seen
) -> None:
    known, refused = seen.messages, seen.refused
    erased = await archive.erased(connection, [*(message.index for message in known.values()), *refused.values()])
    duplicates: dict[tuple[str, UUID], tuple[archive.Message, bytes]] = {}
    for verdict in verdicts:
        node, digest, id = verdict.arrival.node, verdict.digest, verdict.message
        before = known.get(id) if id is not None else None
        same = before if before is not None and (before.sender, before.envelope) == (node, digest) else None
        if refused.get((node, digest)) in erased:
            refused[node, digest] = _refuse(draft, verdict, *_now_refused(verdict), new=False)
        elif same is not None and id is not None and same.index not in erased:
            # What was accepted stays so, whatever the roster or the clock says by now.
            draft.repeat(same.index, Owed((node,)))
            if same.index < draft.base:
                duplicates[node, id] = (same, verdict.arrival.body)
        elif (node, digest) in refused:
            draft.repeat(refused[node, digest], Owed((node,)))
        elif same is not None:
            refused[node, digest] = _refuse(draft, verdict, *_now_refused(verdict))
        elif isinstance(verdict, Refusable):
            refused[node, digest] = _refuse(draft, verdict, verdict.code, verdict.detail)
        elif before is not None:
            refused[node, digest] = _refuse(draft, verdict, RefusalCode.ID_REUSED, _REUSED)
        else:
            known[verdict.message] = _accept(draft, verdict)
    await _deliver_again(connection, draft, duplicates)


def _accept(draft: _Draft, verdict: Acceptable) -> archive.Message:
    header, digest = verdict.header, verdict.digest
    index = draft.add(_accepted(header, digest, draft.now), Owed((header.sender,)))
    draft.rows["message"].append(_message_row(header, digest, index, draft))
    urgent = header.priority is Priority.URGENT
    message = archive.Message(header.sender, digest, index, header.thread, header.recipients, urgent)
    draft.going.append(_Going(header.id, message, header.recipients, verdict.arrival.body))
    return message


def _now_refused(verdict: Acceptable | Refusable) -> tuple[RefusalCode, str]:
    # Nothing is erased before what comes again is refused for its age or expiry; so says the verdict, if it can.
    return verdict.code if isinstance(verdict, Refusable) else RefusalCode.EXPIRED, _ERASED


def _refuse(draft: _Draft, verdict: Acceptable | Refusable, code: RefusalCode, detail: str, *, new: bool = True) -> int:
    node = verdict.arrival.node
    entry = Entry(
        event=Event.REFUSED,
        at=draft.now,
        node=node,
        message=verdict.message,
        envelope=verdict.digest,
        code=code,
        detail=detail,
    )
    index = draft.add(entry, Owed((node,)))
    if new:
        draft.rows["refusal"].append((node, verdict.digest, verdict.message, index, str(code), draft.now))
    return index


async def _deliver_again(
    connection: AsyncConnection, draft: _Draft, duplicates: dict[tuple[str, UUID], tuple[archive.Message, bytes]]
) -> None:
    # A kill may have come between commit and publishing: whoever has not acknowledged gets it again.
    if not duplicates:
        return
    done = set(await archive.acknowledgements(connection, [id for _, id in duplicates]))
    done |= await archive.given_up(connection, duplicates)
    for (sender, id), (message, envelope) in duplicates.items():
        waiting = tuple(node for node in message.recipients if (sender, id, node) not in done)
        draft.going.append(_Going(id, message, waiting, envelope))


async def _deliveries(connection: AsyncConnection, going: Sequence[_Going]) -> list[Publication]:
    # In the ledger's order, and each with what comes before it in its thread: between lanes and workers
    # the broker keeps no order, so the recipient does.
    going = sorted(going, key=lambda item: item.message.index)
    steps = [threads.Step(item.id, item.message.thread, item.message.index, item.recipients) for item in going]
    before = await threads.predecessors(connection, steps)
    return [
        publication
        for item, after in zip(going, before, strict=True)
        for publication in deliveries(
            item.envelope,
            item.message.sender,
            str(item.id),
            urgent=item.message.urgent,
            recipients=item.recipients,
            after=after,
        )
    ]


async def _take_acknowledged(connection: AsyncConnection, draft: _Draft, verdicts: Sequence[Acknowledged]) -> None:
    items = [(verdict, item) for verdict in verdicts for item in verdict.acknowledgement.items]
    if not items:
        return
    ids = {item.id for _, item in items}
    messages = await archive.addressed(connection, ids)
    known = await archive.acknowledgements(connection, ids)
    erased = await archive.erased(connection, [index for index, _ in known.values()])
    evidence = {id(verdict): ledger.evidence(verdict.arrival.body) for verdict in verdicts}
    documents: dict[bytes, bytes] = {}
    strange: dict[bytes, Acknowledged] = {}
    for verdict, item in items:
        ack, digest, signed = verdict.acknowledgement, evidence[id(verdict)], verdict.arrival.body
        key = (ack.sender, item.id, ack.recipient)
        message = messages.get((ack.sender, item.id))
        # An erased message has no recipients on record.
        if message is None or message[0] != item.envelope or (message[1] and ack.recipient not in message[1]):
            strange[digest] = verdict
        elif key in known and known[key][0] not in erased:
            index, first = known[key]
            draft.repeat(index, Owed((ack.sender, ack.recipient), first))
        else:
            entry = _acknowledged(ack, item, digest, draft.now)
            index = draft.add(entry, Owed((ack.sender, ack.recipient), signed))
            if key not in known:
                documents[digest] = signed
                draft.rows["acknowledgement"].append((*key, str(item.outcome), index, draft.now, digest))
            known[key] = (index, signed)
    if documents:
        rows = [{"evidence": digest, "signed": signed} for digest, signed in documents.items()]
        await connection.execute(insert(tables.acknowledgement_document).on_conflict_do_nothing(), rows)
    for verdict in strange.values():
        await _quarantine(connection, draft, Unreadable(verdict.arrival, "not_addressed"))


async def _quarantine(connection: AsyncConnection, draft: _Draft, verdict: Unreadable) -> None:
    arrival = verdict.arrival
    digest = ledger.evidence(arrival.body)
    if any(row[:2] == (arrival.node, digest) for row in draft.rows["quarantine"]):
        return
    table = tables.quarantine.c
    query = select(table.leaf_index).where(table.node == arrival.node, table.digest == digest)
    known = await connection.scalar(query)
    new = known is None
    if known is not None and not await archive.erased(connection, [known]):
        draft.repeat(known, Owed((arrival.node,)))
        return
    entry = Entry(event=Event.QUARANTINED, at=draft.now, node=arrival.node, evidence=digest, detail=verdict.reason)
    index = draft.add(entry, Owed((arrival.node,)))
    if not new:
        return
    row = (arrival.node, digest, index, draft.now, arrival.type, verdict.reason)
    draft.rows["quarantine"].append(row)
    if await connection.scalar(_QUARANTINE_SIZE) < QUARANTINE_BYTES:
        draft.rows["quarantine_content"].append((arrival.node, digest, arrival.body))


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


def _acknowledged(ack: Acknowledgement, item: AcknowledgedMessage, evidence: bytes, now: int) -> Entry:
    # Without validation, as above: the acknowledgement is valid.
    return Entry.model_construct(
        event=Event.DELIVERED if item.outcome is Outcome.DELIVERED else Event.DECLINED,
        at=now,
        node=ack.recipient,
        message=item.id,
        sender=ack.sender,
        envelope=item.envelope,
        evidence=evidence,
        code=item.code,
    )


def _message_row(header: Header, digest: bytes, index: int, draft: _Draft) -> tuple[object, ...]:
    due = deadlines.due_times(header, draft.locked)
    return (
        header.sender,
        header.id,
        digest,
        index,
        draft.now,
        header.thread,
        header.task_force,
        header.kind,
        str(header.priority),
        list(header.recipients),
        due.expires,
        header.in_reply_to,
        due.remind_at,
        due.reply_by,
    )
