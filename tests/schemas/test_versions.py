"""Versions of a made-up kind: an older body is read as the newest version, and newer fields are kept."""

import json
from typing import Any

import pytest

from schemas import registry
from schemas.kinds.common import Body, Line
from schemas.kinds.kind import Kind
from schemas.registry import BodyInvalid, KindUnknown, read_body, read_newest


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
    return read_newest("sighting", version, json.dumps(body).encode(), SIGHTINGS, CONVERTERS)


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
    with pytest.raises(BodyInvalid, match="plate: Field required"):
        read(1, {"plates": ["x"], "count": 1})
    with pytest.raises(KindUnknown, match="sighting/4"):
        read(4, {"plates": ["x"], "count": 1})


def test_every_version_but_the_newest_has_a_converter() -> None:
    older = {key for key in registry.KINDS if registry.newest(key[0]).version != key[1]}
    assert set(registry.CONVERTERS) == older
