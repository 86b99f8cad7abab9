"""A past for the ledger: so many entries of messages accepted and delivered, as the hub itself would have written.

The hub's own code appends them, in its own role, with rows in every table that a message has, so that the ledger
verifies and the hub's indexes are as large as after years. What is not real: nobody sealed or signed these
messages; digests and acknowledgements are random bytes of the usual size. Half of the entries are messages,
the other half their deliveries.
"""

import asyncio
import secrets
import time
from collections.abc import Iterator
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from bench.place import Place, Route
from deploy.local.instance import say
from hub import ledger, rows
from hub.database import engine_of
from hub.pen import writing
from hub.rows import Rows
from hub.settings import Settings
from hub.setup import ledger_of
from schemas.codes import Handling, Priority
from schemas.control import Entry, Event, Outcome
from schemas.header import new_id

# Messages in one transaction, under one checkpoint: what the hub writes when it is busy.
BATCH: Final = 200
# A message every second or so: the ids are ordered in time, and all are past.
APART_MS: Final = 1000
ACKNOWLEDGEMENT_SIZE: Final = 250
LIFETIME_MS: Final = 7 * 24 * 3600 * 1000


def write(place: Place, route: Route, entries: int) -> None:
    """Writes so many entries and leaves the database as it would be at rest. No hub may be at work."""
    say(f"  writing {entries} entries into the ledger ...")
    asyncio.run(_write(Settings.load(place.exchange.hub_home), route, entries // 2))
    place.exchange.services.postgres.run_sql("vacuum (analyze)")
    place.exchange.services.postgres.run_sql("checkpoint")


async def _write(settings: Settings, route: Route, messages: int) -> None:
    log, engine = ledger_of(settings), engine_of(settings.database_url)
    first = time.time_ns() // 1_000_000 - messages * APART_MS
    try:
        for start in range(0, messages, BATCH):
            past = [first + number * APART_MS for number in range(start, min(start + BATCH, messages))]
            async with writing(engine, log) as connection:
                turn = await ledger.take_turn(connection)
                await _append(connection, log, turn, route, past)
            if start % (BATCH * 250) == 0:
                say(f"    {2 * start}")
    finally:
        await engine.dispose()


async def _append(
    connection: AsyncConnection, log: ledger.Ledger, turn: ledger.Turn, route: Route, past: list[int]
) -> None:
    ids, digests = [new_id(at) for at in past], [secrets.token_bytes(32) for _ in past]
    signed = [secrets.token_bytes(ACKNOWLEDGEMENT_SIZE) for _ in past]
    taken = [accepted(route, *item) for item in zip(ids, digests, past, strict=True)]
    delivered = [_delivered(route, *item) for item in zip(ids, digests, signed, past, strict=True)]
    appended = await ledger.append(connection, log, turn, [*taken, *delivered])
    indices = iter(receipt.index for receipt in appended.receipts)
    messages = list(_message_rows(taken, indices))
    acknowledgements = [
        (route.sender, id, route.recipient, str(Outcome.DELIVERED), index, at, ledger.evidence(word))
        for id, index, at, word in zip(ids, indices, past, signed, strict=True)
    ]
    documents = [(ledger.evidence(word), word) for word in signed]
    found: Rows = {"message": messages, "acknowledgement_document": documents, "acknowledgement": acknowledgements}
    await rows.insert(connection, found)


def _message_rows(entries: list[Entry], indices: Iterator[int]) -> Iterator[tuple[object, ...]]:
    for entry in entries:
        expires = entry.at + LIFETIME_MS
        yield (
            *(entry.sender, entry.message, entry.envelope, next(indices), entry.at, entry.thread),
            *(entry.task_force, entry.kind, entry.priority, list(entry.recipients or ()), expires),
            *(None, None, None),  # answers nothing, and asks for no answer
        )


def accepted(route: Route, id: UUID, digest: bytes, at: int) -> Entry:
    """The entry of a message that was taken in."""
    return Entry(
        event=Event.ACCEPTED,
        at=at,
        node=route.sender,
        message=id,
        thread=id,
        sender=route.sender,
        recipients=(route.recipient,),
        task_force="trafficking",
        kind="alert",
        kind_version=1,
        priority=str(Priority.NORMAL),
        handling=str(Handling.H1),
        created=at,
        envelope=digest,
    )


def _delivered(route: Route, id: UUID, digest: bytes, signed: bytes, at: int) -> Entry:
    return Entry(
        event=Event.DELIVERED,
        at=at,
        node=route.recipient,
        message=id,
        sender=route.sender,
        envelope=digest,
        evidence=ledger.evidence(signed),
    )
