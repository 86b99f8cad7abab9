"""The tail of a node's store: it fits the store's real tables, and tells each new id once."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, update
from sqlalchemy.engine import Connection

from bench.tail import Tail
from nodes import store
from nodes.store import Store

RECEIVED: dict[str, Any] = {
    "sender": "ro",
    "thread": "t",
    "kind": "alert",
    "header": b"h",
    "digest": b"d",
    "received_at": 1,
    "outcome": "delivered",
}
SENT: dict[str, Any] = {
    "request": b"r",
    "state": "queued",
    "urgent": 0,
    "header": b"h",
    "envelope": b"e" * 5000,
    "digest": b"d",
    "body": b"b",
    "queued_at": 1,
    "resend_at": 0,
    "expires": 2,
}


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Store]:
    opened = Store.open(tmp_path / "node.db", b"k" * 32)
    yield opened
    opened.close()


def receive(connection: Connection, id: str) -> None:
    connection.execute(insert(store.inbox).values(id=id, **RECEIVED))


def send(connection: Connection, id: str) -> None:
    connection.execute(insert(store.outbox).values(id=id, **SENT))


def settle(connection: Connection, id: str) -> None:
    connection.execute(update(store.outbox).where(store.outbox.c.id == id).values(state="accepted"))


async def test_received_messages_are_told_once_and_none_from_before(box: Store, tmp_path: Path) -> None:
    await box.run(receive, "before")
    tail = Tail.received(tmp_path)
    assert tail.new() == []
    await box.run(receive, "one")
    await box.run(receive, "two")
    assert tail.new() == ["one", "two"]
    await box.run(receive, "three")
    assert tail.new() == ["three"]
    assert tail.new() == []
    tail.close()


async def test_a_sent_message_is_told_when_its_receipt_was_taken_in(box: Store, tmp_path: Path) -> None:
    tail = Tail.accepted(tmp_path)
    await box.run(send, "one")
    await box.run(send, "two")
    assert tail.new() == []
    await box.run(settle, "two")
    assert tail.new() == ["two"]
    await box.run(settle, "one")
    assert tail.new() == ["one"]
    tail.close()
