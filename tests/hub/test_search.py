"""`seci-hub ledger search`: what is found by each thing that can be asked, in a real database."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from hub import ledger, search, tables
from hub.cli import main
from hub.pen import writing
from hub.rows import insert
from hub.search import Sought
from schemas.control import Entry, Event
from schemas.refusals import RefusalCode
from tests.hub.ownhub import OwnHub
from tests.hub.plans import questions, rows_read
from tests.typed import type_aside

pytestmark = pytest.mark.system
A, B, THREAD, OTHER = (UUID(int=number) for number in (0xA, 0xB, 0x7, 0x8))
DIGEST = bytes(32)
MANY = 3000


def _message(id: UUID, thread: UUID, sender: str, recipients: tuple[str, ...], task_force: str, at: int) -> Entry:
    return Entry(
        event=Event.ACCEPTED,
        at=at,
        node=sender,
        message=id,
        thread=thread,
        sender=sender,
        recipients=recipients,
        task_force=task_force,
        kind="alert",
        priority="normal",
        envelope=DIGEST,
    )


def _about(event: Event, at: int, node: str, id: UUID | None = None, **more: Any) -> Entry:
    return Entry(event=event, at=at, node=node, message=id, **more)


ENTRIES = (
    _about(Event.ROSTER, 1000, "seci", evidence=DIGEST, detail="version 1"),
    _message(A, THREAD, "ro", ("bg", "hu"), "drugs", 2000),
    _about(Event.DELIVERED, 3000, "bg", A, sender="ro", envelope=DIGEST, evidence=DIGEST),
    _message(B, THREAD, "bg", ("ro",), "trafficking", 4000),
    _about(Event.DECLINED, 5000, "hu", A, sender="ro", code=RefusalCode.BODY_INVALID, evidence=DIGEST),
    _about(Event.REFUSED, 6000, "tr", OTHER, code=RefusalCode.EXPIRED, detail="too late", envelope=DIGEST),
    _about(Event.QUARANTINED, 7000, "hu", evidence=DIGEST, detail="poem"),
    _about(Event.DISCARDED, 8000, "seci", evidence=DIGEST, detail="root: a poem"),
    _about(Event.REMINDED, 9000, "ro", B, sender="bg", thread=THREAD, envelope=DIGEST),
)


async def _record(connection: AsyncConnection, own: OwnHub, entries: tuple[Entry, ...]) -> None:
    """The entries, and of each the row that is written with it."""
    turn = await ledger.take_turn(connection)
    appended = await ledger.append(connection, own.log, turn, entries)
    rows: dict[str, list[tuple[object, ...]]] = {}
    for entry, receipt in zip(entries, appended.receipts, strict=True):
        table, fields = _row(entry)
        fields |= {"leaf_index": receipt.index, "at": entry.at}
        columns = tables.metadata.tables[table].columns
        rows.setdefault(table, []).append(tuple(fields.get(column.name) for column in columns))
    await insert(connection, rows)


def _row(entry: Entry) -> tuple[str, dict[str, Any]]:
    match entry.event:
        case Event.ACCEPTED:
            names = ("sender", "thread", "envelope", "task_force", "kind", "priority")
            fields = {name: getattr(entry, name) for name in names}
            return "message", fields | {"id": entry.message, "recipients": list(entry.recipients or ()), "expires": 0}
        case Event.DELIVERED | Event.DECLINED:
            fields = {"sender": entry.sender, "id": entry.message, "recipient": entry.node}
            return "acknowledgement", fields | {"outcome": str(entry.event), "evidence": DIGEST}
        case Event.REFUSED:
            fields = {"node": entry.node, "envelope": DIGEST, "message": entry.message}
            return "refusal", fields | {"code": str(entry.code)}
        case Event.QUARANTINED:
            return "quarantine", {"node": entry.node, "digest": DIGEST, "type": "poem", "reason": "poem"}
        case Event.DISCARDED:
            fields = {"node": "hu", "digest": DIGEST, "decision": "discarded"}
            return "quarantine_decision", fields | {"operator": "root", "reason": "a poem"}
        case Event.REMINDED:
            return "deadline", {"id": entry.message, "recipient": entry.node, "event": "reminded"}
        case _:
            return "roster", {"version": 1, "signed": b""}


ASKED: list[tuple[dict[str, Any], list[int]]] = [
    ({}, [8, 7, 6, 5, 4, 3, 2, 1, 0]),
    ({"id": A}, [4, 2, 1]),
    ({"id": B}, [8, 3]),
    ({"id": OTHER}, [5]),
    ({"id": UUID(int=99)}, []),
    ({"thread": THREAD}, [8, 4, 3, 2, 1]),
    ({"thread": OTHER}, []),
    ({"node": "ro"}, [8, 4, 3, 2, 1]),
    ({"node": "hu"}, [7, 6, 4, 1]),
    ({"node": "tr"}, [5]),
    ({"node": "seci"}, [7, 0]),
    ({"task_force": "drugs"}, [4, 2, 1]),
    ({"task_force": "trafficking"}, [8, 3]),
    ({"event": "accepted"}, [3, 1]),
    ({"event": "declined"}, [4]),
    ({"event": "released"}, []),
    ({"event": "discarded"}, [7]),
    ({"event": "roster"}, [0]),
    ({"since": 7000}, [8, 7, 6]),
    ({"until": 7000, "since": 5000}, [5, 4]),
    ({"before": 3}, [2, 1, 0]),
    ({"limit": 2}, [8, 7]),
    ({"limit": 2, "before": 7}, [6, 5]),
    ({"task_force": "drugs", "node": "bg"}, [2, 1]),
    ({"thread": THREAD, "event": "delivered"}, [2]),
]


async def test_each_question_has_its_answer(own: OwnHub, own_engine: AsyncEngine) -> None:
    async with writing(own_engine, own.log) as connection:
        await _record(connection, own, ENTRIES)
    async with own_engine.connect() as connection:
        for asked, wanted in ASKED:
            found = await search.search(connection, Sought(**asked))
            assert (asked, [item["index"] for item in found]) == (asked, wanted)
        found = await search.search(connection, Sought())
        assert [item["event"] for item in found] == [str(entry.event) for entry in reversed(ENTRIES)]
        assert [item.get("task_force") for item in found] == [
            *("trafficking", None, None, None, "drugs", "trafficking", "drugs", "drugs", None)
        ]
        _, out, _ = type_aside(main, "ledger", "search", "--event", "declined", "--home", own.home)
        assert [line.split()[0] for line in out.splitlines()] == ["entry", "4"]
        declined = found[4]
    assert declined == {
        "index": 4,
        "event": "declined",
        "at": "1970-01-01T00:00:05.000Z",
        "node": "hu",
        "message": str(A),
        "thread": str(THREAD),
        "sender": "ro",
        "task_force": "drugs",
        "code": "body_invalid",
        "evidence": DIGEST.hex(),
    }
    own.sql("DELETE FROM ledger_content WHERE leaf_index = 4")
    async with own_engine.connect() as connection:
        found = await search.search(connection, Sought(event="declined"))
    assert found == [{"index": 4, "event": "declined", "at": "1970-01-01T00:00:05.000Z", "erased": True}]


async def test_names_that_nobody_has_are_refused_and_the_known_ones_named(own: OwnHub) -> None:
    code, said = own.type("ledger", "search", "--node", "xx")
    assert (code, said["code"], "seci" in said["next"]) == (2, "node_unknown", True)
    for option, known in (("--task-force", "drugs"), ("--event", "accepted"), ("--since", "2026-11-24T14:00")):
        code, said = own.type("ledger", "search", option, "xx")
        assert (code, said["code"], known in str(said)) == (2, "usage", True)
    for time in ("2026-01-01T10:00", "2026-01-01T10:00+02:00", "20260101"):
        assert own.type("ledger", "search", "--until", time)[0] == 0
    # A member state that is not in the roster yet is somebody all the same.
    assert own.type("ledger", "search", "--node", "ro", "--since", "2026-01-01", "--until", "2026-02-01T10:00:00Z") == (
        0,
        {"entries": [], "before": None},
    )


async def test_by_message_or_thread_a_large_ledger_is_not_read_through(own: OwnHub, own_engine: AsyncEngine) -> None:
    async with writing(own_engine, own.log) as connection:
        numbers = range(1, MANY)
        sent = [_message(UUID(int=n), UUID(int=n), "ro", ("bg",), "drugs", n) for n in numbers]
        done = [_about(Event.DELIVERED, n, "bg", UUID(int=n), sender="ro", evidence=DIGEST) for n in numbers]
        await _record(connection, own, (*sent, *done))
    own.sql("ANALYZE")
    for sought in (Sought(id=UUID(int=77)), Sought(thread=UUID(int=77))):
        with questions(own_engine) as asked:
            async with own_engine.connect() as connection:
                assert len(await search.search(connection, sought)) == 2
        assert sum([await rows_read(own_engine, question) for question in asked]) < 50


def test_every_event_is_found_somewhere() -> None:
    assert {event for table in search._TABLES for event in table.events} == set(Event)
