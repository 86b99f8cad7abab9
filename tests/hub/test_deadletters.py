"""Where a dead letter comes from, by headers that anyone may have had a hand in."""

from types import SimpleNamespace
from typing import Any

import pytest
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from hub.deadletters import _is_asked_again, _origin, _undelivered
from hub.publication import Publication
from hub.tolerance import MAX_TABLE, decode_tolerantly
from schemas.control import MessageType


def _letter(headers: Any, **properties: Any) -> Any:
    """A message with these headers and properties, as it is after its way over the wire."""
    decode_tolerantly()
    found = ContentHeader()
    sent = ContentHeader(body_size=1, properties=Basic.Properties(headers=headers, **properties))
    found.unmarshal(sent.marshal())
    return SimpleNamespace(header=found)


def _dead(queue: object, **properties: Any) -> Any:
    return _letter({"x-death": [{"queue": queue, "reason": "delivery_limit", "count": 1}]}, **properties)


@pytest.mark.parametrize(
    "headers",
    [
        None,
        {},
        {"x-death": "q.in.ro"},
        {"x-death": []},
        {"x-death": ["q.in.ro"]},
        {"x-death": [["q.in.ro"]]},
        {"x-death": [{}]},
        {"x-death": [{"queue": 7}]},
        {"x-death": [{"queue": ["q.in.ro"]}]},
        {"x-death": [{"queue": None}]},
        {"x-death": [{"queue": bytearray(b"q.in.\xff")}]},
        {"x-death": [{"queue": "q.in.ro"}], "padding": "x" * MAX_TABLE},
    ],
)
def test_an_origin_that_does_not_read_is_none(headers: Any) -> None:
    assert _origin(_letter(headers)) == ""


def test_headers_that_are_no_table_are_no_origin() -> None:
    assert _origin(SimpleNamespace(header=SimpleNamespace(properties=SimpleNamespace(headers=["x-death"])))) == ""


@pytest.mark.parametrize(
    ("queue", "origin"),
    [
        ("q.in.ro", "q.in.ro"),
        ("q.in.ro\x00\n\u2028", "q.in.ro\\x00\\n\\u2028"),
        ("q.in." + "a" * 200, "q.in." + "a" * 35),
    ],
)
def test_an_origin_is_fit_for_tables_and_logs(queue: str, origin: str) -> None:
    assert _origin(_dead(queue)) == origin


def test_what_an_inbox_could_not_keep_is_tried_again() -> None:
    letter = _dead("q.inbox.bg.urgent", message_type="envelope", message_id="ro/1/bg", correlation_id="0")
    expected = Publication("bg", MessageType.ENVELOPE, True, "ro/1/bg", b"x", "0")
    assert _undelivered(letter, _origin(letter), b"x") == expected


@pytest.mark.parametrize(
    ("queue", "properties"),
    [
        ("q.in.ro", {}),
        ("q.inbox.BG", {}),
        ("q.inbox.b\x00", {}),
        ("q.inbox.bg", {"message_type": "poem"}),
        ("q.inbox.bg", {"message_type": None}),
        ("q.inbox.bg", {"message_id": None}),
        ("q.inbox.bg", {"message_id": "1\x00"}),
        ("q.inbox.bg", {"correlation_id": "1\x00"}),
    ],
)
def test_what_the_hub_never_published_to_an_inbox_is_not(queue: str, properties: dict[str, Any]) -> None:
    letter = _dead(queue, **{"message_type": "envelope", "message_id": "ro/1/bg", **properties})
    assert _undelivered(letter, _origin(letter), b"x") is None


@pytest.mark.parametrize(
    ("queue", "kind", "reason", "let_go"),
    [
        ("q.in.ro", "checkpoint_request", "expired", True),
        ("q.in.ro", "cosignature", "maxlen", True),
        ("q.in.ro", "tile_request", "delivery_limit", False),
        ("q.inbox.ro", "tiles", "delivery_limit", True),
        ("q.inbox.ro", "checkpoint", "expired", True),
        ("q.inbox.ro", "roster", "expired", False),
        ("q.in.ro", "envelope", "expired", False),
        ("q.in.ro", "acknowledgement", "expired", False),
        ("q.inbox.ro", "receipts", "delivery_limit", False),
        ("q.in.ro", None, "expired", False),
    ],
)
def test_what_witnesses_ask_again_is_let_go(queue: str, kind: str | None, reason: str, let_go: bool) -> None:
    letter = _letter({"x-death": [{"queue": queue, "reason": reason, "count": 1}]}, message_type=kind)
    assert _is_asked_again(letter, _origin(letter)) is let_go
