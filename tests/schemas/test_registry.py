"""The registry of kinds: what a body may hold, what is said of a bad one, and that its content is never repeated."""

import json
import traceback
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from schemas import registry
from schemas.registry import BodyInvalid, KindUnknown, body_bytes, json_schema, read_body

EXAMPLES: dict[str, list[dict[str, Any]]] = {
    "alert": [
        {"title": "New route", "text": "Trucks by way of Giurgiu."},
        {
            "title": "New route",
            "text": "Trucks by way of Giurgiu. Ş ș Ж 🚚",
            "evaluation": {"source": "B", "information": "2"},
            "countries": ["RO", "BG"],
        },
    ],
    "request": [
        {"purpose": "investigation", "legal_basis": "Agreement, article 5", "question": "Who owns the car?"},
        {
            "purpose": "investigation",
            "legal_basis": "Agreement, article 5",
            "question": "Who owns the car?",
            "subjects": [
                {"type": "vehicle", "identifier": "B 12 ABC", "country": "RO", "note": "blue"},
                {"type": "phone", "identifier": "+40 21 000 0000"},
            ],
        },
    ],
    "reply": [
        {"result": "no_hit", "text": "Nothing known."},
        {
            "result": "refused",
            "text": "Not possible.",
            "reason": "judicial secrecy",
            "evaluation": {"source": "A", "information": "1"},
        },
    ],
    "drugs.seizure": [
        {
            "seized_on": "2003-09-21",
            "country": "TR",
            "seizures": [{"substance": "heroin", "quantity": "124", "unit": "kg"}],
        },
        {
            "seized_on": "2003-09-21",
            "country": "HR",
            "place": "Bregana",
            "seizures": [
                {"substance": "cocaine", "quantity": 0.6, "unit": "kg", "note": "in a spare wheel"},
                {"substance": "mdma", "quantity": 6838, "unit": "tablets"},
            ],
            "suspects": 3,
            "text": "At the border crossing.",
        },
    ],
    "operation.plan": [
        {
            "name": "MIRAGE",
            "year": 2004,
            "begins": "2004-06-01",
            "ends": "2004-06-10",
            "objective": "Victims are to be found and helped, traffickers charged.",
            "countries": ["RO", "BG"],
            "agencies": ["police"],
        },
        {
            "name": "SAFE HEAVEN",
            "year": 2004,
            "begins": "2004-03-01",
            "ends": "2004-03-20",
            "objective": "Controls at airports and on the Balkan route.",
            "countries": ["RO", "BG", "TR"],
            "agencies": ["police", "customs"],
            "indicators": ["offenders-arrested"],
            "substances": ["heroin", "cocaine"],
            "report_by": "2004-04-15",
            "text": "Şoförler ve водачи: as agreed in Bucharest.",
        },
    ],
    "operation.report": [
        {
            "name": "MIRAGE",
            "year": 2004,
            "country": "RO",
            "agency": "police",
            "begins": "2004-06-01",
            "ends": "2004-06-10",
            "results": [{"indicator": "victims-identified", "count": 601}],
        },
        {
            "name": "ROAD SHOW",
            "year": 2003,
            "country": "BG",
            "agency": "customs",
            "begins": "2003-09-01",
            "ends": "2003-09-30",
            "results": [
                {"indicator": "vehicles-seized", "count": 108},
                {"indicator": "other", "name": "plates found", "count": 3},
                {"indicator": "vehicles-value", "amount": {"value": "891.5", "currency": "EUR", "stated": "891,5"}},
            ],
            "seizures": [
                {
                    "substance": "opium",
                    "quantity": "3.3",
                    "unit": "kg",
                    "stated": "3,3 kilograms",
                    "reference": "BG/2003/17",
                }
            ],
            "text": "Κατασχέθηκαν at three crossings.",
        },
    ],
}
VALID = [(kind, body) for kind, bodies in EXAMPLES.items() for body in bodies]

# Kind, where in its second example, the bad value; `...` takes the field away.
BAD: list[tuple[str, str, Any]] = [
    ("alert", "title", ...),
    ("alert", "title", ""),
    ("alert", "title", "x" * 301),
    ("alert", "text", 5),
    ("alert", "evaluation", "B2"),
    ("alert", "evaluation.source", "D"),
    ("alert", "evaluation.information", ...),
    ("alert", "countries", ["RO"] * 51),
    ("alert", "countries.0", "Romania"),
    ("request", "purpose", ...),
    ("request", "legal_basis", None),
    ("request", "question", ["?"]),
    ("request", "subjects.0.type", "ship"),
    ("request", "subjects.1.identifier", ""),
    ("request", "subjects.0.country", "ro"),
    ("reply", "result", "maybe"),
    ("reply", "text", ...),
    ("reply", "reason", ""),
    ("drugs.seizure", "seized_on", "21.09.2003"),
    ("drugs.seizure", "country", "HRV"),
    ("drugs.seizure", "seizures", []),
    ("drugs.seizure", "seizures.0.substance", "tea"),
    ("drugs.seizure", "seizures.0.quantity", 0),
    ("drugs.seizure", "seizures.1.quantity", -1),
    ("drugs.seizure", "seizures.0.unit", "stone"),
    ("drugs.seizure", "suspects", -1),
    ("drugs.seizure", "suspects", 10_001),
    ("operation.plan", "name", "Safe_Heaven"),
    ("operation.plan", "year", 1998),
    ("operation.plan", "begins", ...),
    ("operation.plan", "countries", []),
    ("operation.plan", "agencies.1", "army"),
    ("operation.plan", "indicators.0", "arrests"),
    ("operation.plan", "substances.1", "tea"),
    ("operation.report", "country", "Bulgaria"),
    ("operation.report", "agency", ...),
    ("operation.report", "results.0.count", -1),
    ("operation.report", "results.0.count", 10.5),
    ("operation.report", "results.2.amount.currency", "Euro"),
    ("operation.report", "results.2.amount.value", -1),
    ("operation.report", "seizures.0.quantity", 0),
    ("operation.report", "seizures.0.reference", ""),
]
SECRET = "Zaharescu-4711"  # a name that must show nowhere


def step(name: str) -> str | int:
    return int(name) if name.isdigit() else name


def changed(kind: str, path: str, value: object) -> dict[str, Any]:
    """The kind's fuller example with one value replaced or taken away."""
    body = deepcopy(EXAMPLES[kind][1])
    *way, last = path.split(".")
    place: Any = body
    for name in way:
        place = place[step(name)]
    if value is ...:
        del place[step(last)]
    else:
        place[step(last)] = value
    return body


def places(value: object, path: str = "") -> list[str]:
    """The dotted paths of all that a body holds."""
    inner: list[tuple[str, object]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = [(str(index), item) for index, item in enumerate(value)]
    found = [f"{path}.{name}".lstrip(".") for name, _ in inner]
    return found + [deeper for name, item in inner for deeper in places(item, f"{path}.{name}".lstrip("."))]


@pytest.mark.parametrize(("kind", "body"), VALID)
def test_a_valid_body_reaches_the_recipient_as_it_was_said(kind: str, body: dict[str, Any]) -> None:
    found = read_body(kind, 1, body_bytes(kind, 1, body))
    expected = deepcopy(body)
    for seizure in expected.get("seizures", ()):
        seizure["quantity"] = str(seizure["quantity"])
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize(("kind", "path", "value"), BAD)
def test_a_bad_value_is_refused_at_both_ends_and_its_field_named(kind: str, path: str, value: object) -> None:
    body = changed(kind, path, value)
    with pytest.raises(BodyInvalid) as at_sender:
        body_bytes(kind, 1, body)
    with pytest.raises(BodyInvalid) as at_recipient:
        read_body(kind, 1, json.dumps(body).encode())
    for caught in (at_sender, at_recipient):
        assert [error.field for error in caught.value.errors] == [path]
        assert f"{path}: " in str(caught.value)


def test_every_bad_field_is_named_at_once() -> None:
    with pytest.raises(BodyInvalid) as caught:
        body_bytes("request", 1, {"question": "", "subjects": [{"type": "ship"}]})
    assert {error.field for error in caught.value.errors} == {
        "purpose",
        "legal_basis",
        "question",
        "subjects.0.type",
        "subjects.0.identifier",
    }


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_what_is_said_of_a_bad_body_never_repeats_its_content(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(sorted(EXAMPLES)))
    path = data.draw(st.sampled_from(places(EXAMPLES[kind][1])))
    wrong: list[Any] = [SECRET, SECRET * 30_000, [SECRET], {"name": SECRET}, {"name": [SECRET]}, f"2003-{SECRET}"]
    body = changed(kind, path, data.draw(st.sampled_from(wrong)))
    for check in (
        lambda: body_bytes(kind, 1, body),
        lambda: read_body(kind, 1, json.dumps(body).encode()),
        lambda: read_body(kind, 1, json.dumps(body).encode()[:-1]),
    ):
        try:
            check()
        except BodyInvalid as error:
            assert SECRET not in str(error)
            assert SECRET not in "".join(str(item) for item in error.errors)
            assert SECRET not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize(("kind", "version"), [("alarm", 1), ("alert", 2), ("alert", 0), ("", 1), ("Alert", 1)])
def test_an_unknown_kind_or_version_is_refused_and_the_known_ones_named(kind: str, version: int) -> None:
    known = (
        "known are alert/1$" if kind == "alert" else r"known are .*alert/1, .*drugs\.seizure/1, .*reply/1, request/1"
    )
    for ask in (
        lambda: body_bytes(kind, version, {}),
        lambda: read_body(kind, version, b"{}"),
        lambda: json_schema(kind, version),
    ):
        with pytest.raises(KindUnknown, match=known):
            ask()


@pytest.mark.parametrize(
    ("kind", "path"),
    [("alert", "titel"), ("alert", "evaluation.certainty"), ("request", "subjects.1.colour"), ("reply", "results")],
)
def test_an_unknown_field_is_refused_at_the_sender_and_kept_at_the_recipient(kind: str, path: str) -> None:
    body = changed(kind, path, "new")
    with pytest.raises(BodyInvalid) as caught:
        body_bytes(kind, 1, body)
    assert [error.field for error in caught.value.errors] == [path]
    assert read_body(kind, 1, json.dumps(body).encode()) == body


def test_an_unknown_field_does_not_hide_a_bad_one_at_the_recipient() -> None:
    body = {"title": "", "text": "t", "later": 1}
    with pytest.raises(BodyInvalid) as caught:
        read_body("alert", 1, json.dumps(body).encode())
    assert [error.field for error in caught.value.errors] == ["title"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"alert"',
        b"\xff\xfe",
        '{"title": "t", "text": "t"}'.encode("utf-16"),
        '{"title": "t", "text": "t"}'.encode("utf-8-sig"),
        b'{"title": "t", "text": "t", "later": NaN}',
        b'{"title": "t", "text": "t", "later": 1e999}',
        b'{"title": "t", "text": "t", "later": "\\ud800"}',
        b'{"title": "\\ud800", "text": "t"}',
        b'{"title": "t", "text": "t", "later": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
    ],
    ids=lambda data: repr(data[:40]),
)
def test_what_is_not_utf8_json_of_an_object_is_refused_by_a_recipient(data: bytes) -> None:
    with pytest.raises(BodyInvalid, match="body: "):
        read_body("alert", 1, data)


def test_a_body_is_nested_64_deep_at_most() -> None:
    def nested(deep: int) -> bytes:
        return b'{"title": "t", "text": "t", "later": ' + b"[" * (deep - 1) + b"1.5" + b"]" * (deep - 1) + b"}"

    assert read_body("alert", 1, nested(64))["title"] == "t"
    with pytest.raises(BodyInvalid, match="body: "):
        read_body("alert", 1, nested(65))


@pytest.mark.parametrize("body", [None, [], "alert", 5, b"{}"])
def test_what_is_not_an_object_is_refused_at_the_sender(body: object) -> None:
    with pytest.raises(BodyInvalid, match="body: "):
        body_bytes("alert", 1, body)


@pytest.mark.parametrize("kind", EXAMPLES)
def test_the_exported_schema_is_valid_and_agrees_with_the_model(kind: str) -> None:
    schema = json_schema(kind, 1)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    for body in EXAMPLES[kind]:
        validator.validate(body)
    for bad_kind, path, value in BAD:
        if bad_kind == kind:
            assert not validator.is_valid(changed(kind, path, value)), (path, value)
    assert not validator.is_valid({**EXAMPLES[kind][0], "unknown": 1})


def test_a_schema_names_its_draft_and_is_plain_json() -> None:
    schema = json_schema("alert", 1)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert json.loads(json.dumps(schema)) == schema


def test_absent_fields_are_left_out_of_what_travels() -> None:
    assert json.loads(body_bytes("reply", 1, {"result": "hit", "text": "t", "reason": None})) == {
        "result": "hit",
        "text": "t",
    }


def test_the_codes_of_the_errors_are_those_of_refusals() -> None:
    assert (registry.KindUnknown.code, registry.BodyInvalid.code) == ("kind_unknown", "body_invalid")
