"""Times that cannot be are refused at the sender, odd ones and unverified identifiers are told."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.plausible import UNVERIFIED, check
from schemas.registry import KINDS, BodyInvalid, body_bytes, find

NOW = int(datetime(2004, 11, 24, 12, tzinfo=UTC).timestamp() * 1000)
LATER = int(datetime(2026, 11, 24, tzinfo=UTC).timestamp() * 1000)


def person(**fields: Any) -> dict[str, Any]:
    return {"title": "t", "text": "x", "entities": [{"type": "person", **fields}]}


def event(**fields: Any) -> dict[str, Any]:
    return {"title": "t", "text": "x", "entities": [{"type": "event", **fields}]}


@pytest.mark.parametrize(("kind", "version"), sorted(KINDS))
def test_no_example_is_impossible(kind: str, version: int) -> None:
    for example in find(kind, version).examples:
        check(kind, json.loads(body_bytes(kind, version, dict(example))), LATER)


def test_no_day_is_too_late_to_be_compared() -> None:
    # Whatever an integrator sends for "for ever".
    assert check("alert", event(began="2004-11-22", ended="9999-12-31T23:59+00:00"), NOW) == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (person(born="2004-12"), "entities.0.born"),
        (person(born="1970", died="1969-12-31"), "entities.0.died"),
        (person(documents=[{"issued": "2004-05", "expires": "2004-04-30"}]), "entities.0.documents.0.expires"),
        (event(began="2004-11-24T12:00+02:00", ended="2004-11-24T10:59+01:00"), "entities.0.ended"),
        (event(began="2004-11-24T12:00+02:00", ended="2004-11-22"), "entities.0.ended"),
    ],
)
def test_what_cannot_be_is_refused_with_its_field(body: dict[str, Any], field: str) -> None:
    with pytest.raises(BodyInvalid) as caught:
        check("alert", body, NOW)
    assert [error.field for error in caught.value.errors] == [field]
    content = {"text": "x", "content": {"kind": "alert", "kind_version": 1, "body": body}}
    with pytest.raises(BodyInvalid) as caught:
        check("correction", content, NOW)
    assert [error.field for error in caught.value.errors] == [f"content.body.{field}"]
    # Who hands on what another has said cannot mend it.
    assert len(check("forward", content, NOW)) == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (person(born="1880"), "entities.0.born"),
        (person(documents=[{"issued": "2005"}]), "entities.0.documents.0.issued"),
    ],
)
def test_what_is_odd_is_told(body: dict[str, Any], field: str) -> None:
    [warning] = check("alert", body, NOW)
    assert warning.startswith(f"body.{field}: ")


@pytest.mark.parametrize(
    "body",
    [
        person(born="2004", died="2004-01"),
        person(born="2004-11-25"),
        event(began="2004-11-24T23:00-05:00", ended="2004-11-24"),
        event(began="2004-11", ended="2004-11-01"),
        event(began="2006"),
    ],
)
def test_what_may_be_passes_in_silence(body: dict[str, Any]) -> None:
    assert check("alert", body, NOW) == []


def test_an_identifier_that_fails_its_check_is_told_wherever_it_is() -> None:
    vehicle = {"title": "t", "text": "x", "entities": [{"type": "vehicle", "vin": "WVWZZZ1JZXW00000"}]}
    body = json.loads(body_bytes("alert", 1, vehicle))
    assert check("alert", body, NOW) == [f"body.entities.0.vin: {UNVERIFIED}"]
    content = {"message": "01a20f97-e270-71d7-88d6-b834d3465199", "text": "x", "content": {"kind": "alert"}}
    content["content"] |= {"kind_version": 1, "body": vehicle}  # type: ignore[operator]
    body = json.loads(body_bytes("correction", 1, content))
    assert check("correction", body, NOW) == [f"body.content.body.entities.0.vin: {UNVERIFIED}"]
