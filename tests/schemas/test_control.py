"""Control messages come back as they were, have one encoding each, and name what is wrong with them."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import cbor
from schemas.control import (
    AcknowledgedMessage,
    Acknowledgement,
    ControlRefused,
    Entry,
    Event,
    MessageType,
    Outcome,
    Receipt,
    Receipts,
    Wire,
)
from schemas.refusals import RefusalCode
from tests.schemas.strategies import FIXED_ID, acknowledgements, bundles, cbor_values, entries, news, rosters

ACKNOWLEDGEMENT = Acknowledgement(
    recipient="bg",
    sender="ro",
    at=1_100_000_000_000,
    items=(
        AcknowledgedMessage(id=FIXED_ID, envelope=b"\x11" * 32, outcome=Outcome.DELIVERED),
        AcknowledgedMessage(
            id=FIXED_ID, envelope=b"\x22" * 32, outcome=Outcome.DECLINED, code=RefusalCode.DECRYPTION_FAILED
        ),
    ),
)
ENTRY = Entry(event=Event.ACCEPTED, at=5, node="ro", message=FIXED_ID, envelope=b"\x11" * 32, recipients=("bg",))
BUNDLE = Receipts(
    checkpoint="note",
    receipts=(Receipt(index=3, entry=ENTRY.to_bytes(), salt=b"\x33" * 32, proof=(b"\x44" * 32,)),),
)
EXAMPLES: list[Wire] = [ACKNOWLEDGEMENT, ENTRY, BUNDLE]

NAMES = {Acknowledgement: "acknowledgement", Entry: "entry", Receipts: "receipts"}
BAD: list[tuple[Wire, str, Any]] = [
    (ACKNOWLEDGEMENT, "v", 2),
    (ACKNOWLEDGEMENT, "recipient", "BG"),
    (ACKNOWLEDGEMENT, "sender", ""),
    (ACKNOWLEDGEMENT, "at", -1),
    (ACKNOWLEDGEMENT, "at", 2**60),
    (ACKNOWLEDGEMENT, "items", []),
    (ACKNOWLEDGEMENT, "items", "all"),
    (ACKNOWLEDGEMENT, "items", [{}] * 1001),
    (ENTRY, "event", "invented"),
    (ENTRY, "node", 5),
    (ENTRY, "message", b"\x01" * 15),
    (ENTRY, "recipients", ["bg", "B"]),
    (ENTRY, "envelope", b"\x11" * 31),
    (ENTRY, "evidence", b"\x11" * 33),
    (ENTRY, "code", "because"),
    (ENTRY, "content", "secret"),
    (ENTRY, "erased", []),
    (ENTRY, "erased", [3, 2]),
    (ENTRY, "erased", [2, 2]),
    (ENTRY, "erased", [-1]),
    (ENTRY, "erased", [2**63]),
    (ENTRY, "erased", list(range(1001))),
    (BUNDLE, "checkpoint", "x" * 20_001),
    (BUNDLE, "receipts", []),
    (BUNDLE, "acknowledgements", [5]),
]
BAD_INSIDE: list[tuple[str, str, Any]] = [
    ("receipts.0.index", "index", -1),
    ("receipts.0.salt", "salt", b"\x33" * 31),
    ("receipts.0.proof.0", "proof", [b"\x44" * 31]),
    ("receipts.0.proof", "proof", [b"\x44" * 32] * 64),
    ("receipts.0.entry", "entry", 5),
]


def fields_of(message: Wire) -> dict[str, Any]:
    found: dict[str, Any] = cbor.decode(message.to_bytes())
    return found


@given(st.one_of(acknowledgements, entries, bundles, rosters, news))
@settings(max_examples=150, deadline=None)
def test_every_message_comes_back_as_it_was(message: Wire) -> None:
    assert type(message).from_bytes(message.to_bytes()) == message


@pytest.mark.parametrize(("message", "field", "value"), BAD)
def test_a_bad_value_is_refused_and_its_field_named(message: Wire, field: str, value: object) -> None:
    with pytest.raises(ControlRefused, match=rf"^{NAMES[type(message)]}, {field}\b"):
        type(message).from_bytes(cbor.encode({**fields_of(message), field: value}))


@pytest.mark.parametrize(("path", "field", "value"), BAD_INSIDE)
def test_a_bad_value_inside_a_receipt_is_refused_and_its_place_named(path: str, field: str, value: object) -> None:
    fields = fields_of(BUNDLE)
    fields["receipts"][0][field] = value
    with pytest.raises(ControlRefused, match=rf"^receipts, {path}: "):
        Receipts.from_bytes(cbor.encode(fields))


def test_an_id_of_the_databases_own_class_is_written_like_any_other() -> None:
    found = type("Driver", (UUID,), {"__slots__": ()})(bytes=FIXED_ID.bytes)
    assert ENTRY.model_copy(update={"message": found}).to_bytes() == ENTRY.to_bytes()


def test_a_missing_field_is_named() -> None:
    for message, field in [(ACKNOWLEDGEMENT, "items"), (ENTRY, "event"), (BUNDLE, "checkpoint")]:
        fields = fields_of(message)
        del fields[field]
        with pytest.raises(ControlRefused, match=rf", {field}: "):
            type(message).from_bytes(cbor.encode(fields))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("at", "5"),
        ("at", 5.0),
        ("v", True),
        ("message", str(FIXED_ID)),
        ("envelope", "\x11" * 32),
        ("code", None),
        ("created", "1"),
    ],
)
def test_a_second_way_of_writing_a_value_is_refused(field: str, value: object) -> None:
    with pytest.raises(ControlRefused):
        Entry.from_bytes(cbor.encode({**fields_of(ENTRY), field: value}))


def test_a_default_left_out_is_refused_because_it_is_always_written() -> None:
    fields = fields_of(ENTRY)
    del fields["v"]
    with pytest.raises(ControlRefused):
        Entry.from_bytes(cbor.encode(fields))


@pytest.mark.parametrize("data", [b"", b"\xff", b"\x00", b"\x80", b"\xa0", b"hello", ENTRY.to_bytes() + b"\x00"])
def test_bytes_that_are_no_message_are_refused(data: bytes) -> None:
    for kind in (Acknowledgement, Entry, Receipts):
        with pytest.raises(ControlRefused, match=f"^{NAMES[kind]}"):
            kind.from_bytes(data)


def test_one_receipt_of_a_bundle_is_encoded_as_a_bundle_of_its_own() -> None:
    other = replace(BUNDLE.receipts[0], index=70_000, proof=())
    both = BUNDLE.model_copy(update={"receipts": (*BUNDLE.receipts, other), "acknowledgements": (b"signed",)})
    assert [Receipts.from_bytes(both.alone(receipt)) for receipt in both.receipts] == [
        BUNDLE,
        BUNDLE.model_copy(update={"receipts": (other,)}),
    ]


@given(st.sampled_from(EXAMPLES), st.data())
@settings(max_examples=200, deadline=None)
def test_altered_bytes_are_refused_or_are_the_one_encoding_of_another_message(
    message: Wire, data: st.DataObject
) -> None:
    whole = message.to_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    altered = whole[:place] + data.draw(st.binary(max_size=3)) + whole[place + data.draw(st.integers(0, 3)) :]
    try:
        found = type(message).from_bytes(altered)
    except ControlRefused:
        return
    assert found.to_bytes() == altered


@given(st.sampled_from(EXAMPLES), st.data(), cbor_values)
@settings(max_examples=200, deadline=None)
def test_no_value_of_a_field_raises_anything_but_a_refusal(message: Wire, data: st.DataObject, value: object) -> None:
    fields = fields_of(message) | {data.draw(st.sampled_from(sorted(type(message).model_fields))): value}
    try:
        found = type(message).from_bytes(cbor.encode(fields))
    except ControlRefused:
        return
    assert found.to_bytes() == cbor.encode(fields)


def test_the_names_on_the_wire_are_stable() -> None:
    exchanged = ["envelope", "acknowledgement", "receipts", "roster"]
    witnesses = ["checkpoint_request", "checkpoint", "cosignature", "tile_request", "tiles"]
    later = ["membership", "renewal", "renewed", "authorities", "authorities_held", "handover"]
    assert [kind.value for kind in MessageType] == exchanged + witnesses + later
    assert [outcome.value for outcome in Outcome] == ["delivered", "declined"]
    assert [event.value for event in Event] == [
        "accepted",
        "refused",
        "delivered",
        "declined",
        "quarantined",
        "released",
        "discarded",
        "reminded",
        "escalated",
        "expired",
        "roster",
        "erased",
        "operator",
        "suspended",
        "reinstated",
        "revoked",
        "removed",
        "returned",
        "handed_over",
        "membership",
        "handover",
    ]
