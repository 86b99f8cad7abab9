"""Versions of a made-up kind: an older body is read as the newest version, and newer fields are kept."""

import json
from typing import Any

import pytest

from schemas import registry
from schemas.kinds.common import Body, Line
from schemas.kinds.kind import Kind
from schemas.registry import BodyInvalid, KindUnknown, newest_body, read_body


class Sighting1(Body):
    """A plate that was seen."""

    plate: Line


class Sighting2(Body):
    """Plates that were seen."""

    plates: tuple[Line, ...]


class Sighting3(Body):
    """Plates that were seen, and how many there are."""

    plates: tuple[Line, ...]
    count: int
    place: Line | None = None


SIGHTINGS = {
    ("sighting", number): Kind("sighting", number, model, ())
    for number, model in enumerate((Sighting1, Sighting2, Sighting3), 1)
}


def to_2(body: dict[str, Any]) -> dict[str, Any]:
    plate = body.pop("plate")
    return body | {"plates": [plate]}


def to_3(body: dict[str, Any]) -> dict[str, Any]:
    return body | {"count": len(body["plates"])}


CONVERTERS = {("sighting", 1): to_2, ("sighting", 2): to_3}


def read(version: int, body: dict[str, Any]) -> Body:
    """As who works with bodies reads one: judged as it was sent, and then as the newest version has it."""
    came = read_body("sighting", version, json.dumps(body).encode(), SIGHTINGS)
    found = newest_body("sighting", version, came, SIGHTINGS, CONVERTERS)
    assert came == body
    return Sighting3.model_validate(found, extra="ignore")


@pytest.mark.parametrize(
    ("version", "body"),
    [(1, {"plate": "B 12 ABC"}), (2, {"plates": ["B 12 ABC"]}), (3, {"plates": ["B 12 ABC"], "count": 1})],
)
def test_a_body_of_any_version_is_read_as_the_newest(version: int, body: dict[str, Any]) -> None:
    assert read(version, body) == Sighting3(plates=("B 12 ABC",), count=1)


def test_what_is_newer_than_the_node_is_kept_in_the_body_and_left_out_of_the_model() -> None:
    body = {"plates": ["x"], "count": 1, "later": {"a": 1}}
    assert read_body("sighting", 3, json.dumps(body).encode(), SIGHTINGS) == body
    assert read(3, body) == Sighting3(plates=("x",), count=1)
    assert read(1, {"plate": "x", "later": 1}) == Sighting3(plates=("x",), count=1)


def test_a_body_is_judged_by_the_version_that_it_was_sent_in() -> None:
    with pytest.raises(BodyInvalid, match="plate: is required"):
        read(1, {"plates": ["x"], "count": 1})
    with pytest.raises(KindUnknown, match="sighting/4"):
        read(4, {"plates": ["x"], "count": 1})


def test_what_a_correction_carries_is_converted_too() -> None:
    content = {"kind": "sighting", "kind_version": 1, "body": {"plate": "x", "later": 1}}
    body = {"message": "01a20f97-e270-71d7-88d6-b834d3465199", "text": "t", "content": content}
    kinds = {**registry.KINDS, **SIGHTINGS}
    found = newest_body("correction", 1, body, kinds, CONVERTERS)["content"]
    assert found == {"kind": "sighting", "kind_version": 3, "body": {"plates": ["x"], "count": 1, "later": 1}}
    assert content["body"] == {"plate": "x", "later": 1}


def test_what_is_newer_than_all_versions_or_of_an_unknown_kind_stays_as_it_is() -> None:
    assert newest_body("sighting", 4, {"a": 1}, SIGHTINGS, CONVERTERS) == {"a": 1}
    content = {"kind": "of.tomorrow", "kind_version": 2, "body": {"a": 1}}
    assert newest_body("forward", 1, {"content": content}) == {"content": content}


def test_every_version_but_the_newest_has_a_converter() -> None:
    older = {key for key in registry.KINDS if registry.newest(key[0]).version != key[1]}
    assert set(registry.CONVERTERS) == older


@pytest.mark.parametrize("version", ["1", " 01", 1.0, True])
def test_a_version_that_a_correction_carries_in_another_form_is_a_number(version: object) -> None:
    body = {"title": "Seen", "text": "At the border."}
    carried = {"kind": "alert", "kind_version": version, "body": body, "later": 1}
    data = json.dumps({"message": "01a20f97-e270-71d7-88d6-b834d3465199", "content": carried, "text": "No."}).encode()
    found = newest_body("correction", 1, read_body("correction", 1, data))
    assert found["content"] == {"kind": "alert", "kind_version": 1, "body": body, "later": 1}
