"""The header: it names the field that is wrong, has one encoding, and comes back as it was."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas import cbor
from schemas.codes import Agency, Handling, Priority
from schemas.header import MAX_BODY, NONCE_SIZE, Header, HeaderRefused, Routing
from tests.schemas.strategies import FIXED_ID, cbor_values, headers

HEADER = Header(
    id=FIXED_ID,
    thread=FIXED_ID,
    sender="ro",
    agency=Agency.POLICE,
    task_force="drugs",
    recipients=("bg", "hu"),
    kind="drugs.seizure",
    kind_version=1,
    operation="Containment 2003",
    priority=Priority.NORMAL,
    handling=Handling.H1,
    created=1_100_000_000_000,
    expires=1_100_086_400_000,
    reply_by=1_100_003_600_000,
    suite="SECI1-EdDSA",
    digest=b"\x11" * 32,
    size=100,
)
WIRE = HEADER.to_bytes()
FIELDS: dict[str, Any] = cbor.decode(WIRE)
REQUIRED = sorted(set(FIELDS) - {"v", "operation", "reply_by"})

NOT_NODES = ["", "r", "RO", "romaniaxy", "r0", "ro\n", 5, b"ro", None]
NOT_IDS = ["", b"", b"\x01" * 15, b"\x01" * 17, str(FIXED_ID), 5, 2**62, [], None]
NOT_CODES = ["", "navy", "POLICE", 5, b"police", [], {}, None]
NOT_MILLIS = [-1, 253_402_300_800_000, 2**63, 1.0, True, "1", b"", None]
ATTACHMENT = {"digest": b"\x22" * 32, "size": 5}
BAD_VALUES: dict[str, list[Any]] = {
    "v": [0, 2, "1", None, [1]],
    "id": [*NOT_IDS, uuid4().bytes],
    "thread": NOT_IDS,
    "in_reply_to": NOT_IDS[:-1],
    "sender": NOT_NODES,
    "agency": NOT_CODES,
    "task_force": ["", "Drugs", "x" * 41, "-drugs", "dr ugs", "drugs\n", 5, b"drugs", None],
    "recipients": ["bg", [], ["hu", "bg"], ["bg", "bg"], ["bg", "ro"], ["BG"], [5], {"bg": 1}, None, ["aa"] * 65],
    "kind": ["", "Alert", "a..b", ".a", "a.b.c.d", "a_", "x" * 41, "alert\n", 5, None],
    "kind_version": [0, -1, 1000, 1.0, "1", True, None],
    "operation": ["", "x" * 61, 5, b"x"],
    "priority": NOT_CODES,
    "handling": [*NOT_CODES, "h0", "H4"],
    "created": [*NOT_MILLIS],
    "expires": [*NOT_MILLIS, HEADER.created, HEADER.created - 1],
    "reply_by": [*NOT_MILLIS[:-1], HEADER.created, HEADER.expires + 1],
    "attachments": [
        [5],
        [{}],
        [{**ATTACHMENT, "digest": b"\x22" * 31}],
        [{**ATTACHMENT, "size": -1}],
        [{**ATTACHMENT, "name": "x"}],
        [ATTACHMENT] * 33,
        {},
    ],
    "roster": [5, {}, {"version": 0, "digest": b"\x33" * 32}, {"version": 1, "digest": b""}, {"version": 1}],
    "suite": ["", "SECI0-EdDSA", "SECI1-NONE", 5, None],
    "digest": [b"", b"\x11" * 31, b"\x11" * 33, "1" * 32, 5, None],
    "size": [NONCE_SIZE - 1, NONCE_SIZE + MAX_BODY + 1, 100.0, True, "100", None],
    "priorty": ["normal"],
}
CASES = [(name, value) for name, values in BAD_VALUES.items() for value in values]

Pairs = list[tuple[bytes, bytes]]
PAIRS: Pairs = sorted(
    ((cbor.encode(name), cbor.encode(value)) for name, value in FIELDS.items()), key=lambda pair: (len(pair[0]), pair)
)


def written(pairs: Pairs) -> bytes:
    """A map with these pairs, in this order."""
    assert len(pairs) < 24
    return bytes([0xA0 + len(pairs)]) + b"".join(name + value for name, value in pairs)


def rewritten(name: str, value: bytes) -> bytes:
    """The header with one field's value in these bytes."""
    key = cbor.encode(name)
    return written([(found, value if found == key else old) for found, old in PAIRS])


OTHER_ENCODINGS: dict[str, Callable[[], bytes]] = {
    "with its fields in another order": lambda: written(PAIRS[::-1]),
    "as a map of indefinite length": lambda: b"\xbf" + WIRE[1:] + b"\xff",
    "with a field twice": lambda: written([*PAIRS[:1], *PAIRS]),
    "with an integer longer than need be": lambda: rewritten("size", b"\x19\x00\x64"),
    "with an integer as a float": lambda: rewritten("size", cbor2.dumps(100.0, canonical=True)),
    "with an integer as a bignum": lambda: rewritten("size", b"\xc2\x41\x64"),
    "with text of indefinite length": lambda: rewritten("sender", b"\x7f\x61r\x61o\xff"),
    "with true for one": lambda: rewritten("v", b"\xf5"),
    "with null for an absent field": lambda: cbor.encode({**FIELDS, "in_reply_to": None}),
    "with an empty list of attachments": lambda: cbor.encode({**FIELDS, "attachments": []}),
    "without its version": lambda: cbor.encode({name: v for name, v in FIELDS.items() if name != "v"}),
    "under the self-described tag": lambda: b"\xd9\xd9\xf7" + WIRE,
    "with a byte after it": lambda: WIRE + b"\x00",
    "without its last byte": lambda: WIRE[:-1],
}


def test_the_example_reads_and_writes_the_same_bytes() -> None:
    assert written(PAIRS) == WIRE
    assert Header.from_bytes(WIRE) == HEADER


@given(headers)
@settings(max_examples=100, deadline=None)
def test_every_header_comes_back_as_it_was(header: Header) -> None:
    assert Header.from_bytes(header.to_bytes()) == header


@pytest.mark.parametrize(("name", "value"), CASES)
def test_a_bad_value_is_refused_and_its_field_named(name: str, value: object) -> None:
    with pytest.raises(HeaderRefused) as caught:
        Header.from_bytes(cbor.encode({**FIELDS, name: value}))
    assert caught.value.field.split(".")[0] == name
    assert str(caught.value).startswith(name)


def test_every_field_has_bad_values_here() -> None:
    assert set(Header.model_fields) <= set(BAD_VALUES)


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_field_is_named(name: str) -> None:
    with pytest.raises(HeaderRefused) as caught:
        Header.from_bytes(cbor.encode({field: value for field, value in FIELDS.items() if field != name}))
    assert caught.value.field == name


def test_the_version_is_judged_before_what_a_later_version_may_have_changed() -> None:
    with pytest.raises(HeaderRefused) as caught:
        Header.from_bytes(cbor.encode({**FIELDS, "v": 2, "agency": "navy", "id": "new", "digest": b""}))
    assert caught.value.field == "v"


@pytest.mark.parametrize("encoding", OTHER_ENCODINGS.values(), ids=OTHER_ENCODINGS)
def test_a_header_is_refused(encoding: Callable[[], bytes]) -> None:
    assert encoding() != WIRE
    with pytest.raises(HeaderRefused):
        Header.from_bytes(encoding())


@pytest.mark.parametrize("value", [5, "ro", b"ro", [], [FIELDS], None, {}, {1: 2}, {5: {}, "v": 1}])
def test_what_is_not_a_map_of_named_fields_is_refused(value: object) -> None:
    with pytest.raises(HeaderRefused):
        Header.from_bytes(cbor.encode(value))


@given(st.integers(0, len(WIRE) - 1), st.binary(max_size=3), st.integers(0, 3))
@settings(max_examples=300, deadline=None)
def test_altered_bytes_are_refused_or_are_the_one_encoding_of_another_header(
    place: int, patch: bytes, gone: int
) -> None:
    data = WIRE[:place] + patch + WIRE[place + gone :]
    try:
        header = Header.from_bytes(data)
    except HeaderRefused:
        return
    assert header.to_bytes() == data


@given(st.sampled_from(sorted(BAD_VALUES)), cbor_values)
@settings(max_examples=200, deadline=None)
def test_no_value_of_a_field_raises_anything_but_a_refusal(name: str, value: object) -> None:
    try:
        header = Header.from_bytes(cbor.encode({**FIELDS, name: value}))
    except HeaderRefused:
        return
    assert header.to_bytes() == cbor.encode({**FIELDS, name: value})


def test_a_header_cannot_be_changed_once_made() -> None:
    with pytest.raises(ValidationError):
        HEADER.size = 5  # type: ignore[misc]


def test_a_sender_cannot_misspell_a_routing_field() -> None:
    fields = {name: getattr(HEADER, name) for name in Routing.model_fields}
    with pytest.raises(ValidationError, match="operatoin"):
        Routing(**fields, operatoin="Mirage")  # type: ignore[call-arg]
