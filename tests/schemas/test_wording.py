"""What is wrong with a body is told in words, of whatever kind and whatever the mistake."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from schemas.header import Header
from schemas.registry import KINDS, BodyInvalid, body_bytes, find, json_schema
from schemas.wording import PATTERNS, of_pattern

MISTAKES: tuple[Any, ...] = (
    *(None, True, "", "x", "31.12.2004", "x" * 400, -5, 1.5, 10**30, [], {}, {"a": 1}, [None], [{}] * 200),
    *("2004-13-45", "2004-02-30T10:00+02:00", "12,5", "1e99", "NaN"),
)
# Of expressions, of Python and of pydantic.
FOREIGN = re.compile(
    r"[\^$\\\[\]{}|]|\b(str|string|int|integer|tuple|dict|dictionary|None|Input|should|pattern|regex|instance|"
    r"object of|function|discriminator|tag|pydantic|validat\w*|parse\w*|unix|datetime\w*|bytes|"
    r"Decimal|UUID object|union|extra)\b"
)


def places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield way
    for step, inner in (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    ):
        yield from places(inner, (*way, step))


def changed(body: Any, way: tuple[Any, ...], mistake: Any) -> Any:
    if not way:
        return mistake
    step, *rest = way
    if isinstance(body, dict):
        return body | {step: changed(body[step], tuple(rest), mistake)}
    return [*body[:step], changed(body[step], tuple(rest), mistake), *body[step + 1 :]]


@pytest.mark.parametrize(("kind", "version"), sorted(KINDS))
def test_a_typical_mistake_is_told_in_words(kind: str, version: int) -> None:
    told: dict[str, str] = {}
    for example in find(kind, version).examples:
        body = json.loads(json.dumps(dict(example)))
        for way in places(body):
            for mistake in MISTAKES:
                try:
                    body_bytes(kind, version, changed(body, way, mistake))
                except BodyInvalid as error:
                    told |= {item.wanted: item.field for item in error.errors}
                except ValueError as error:
                    # A carried body of a kind that there is not.
                    assert "is not known" in str(error)
        told |= _without_each(kind, version, body)
    assert told
    for wanted, field in told.items():
        assert wanted.startswith(("must ", "is ", "may ")), wanted
        assert not wanted.startswith("is not as it must be"), wanted
        assert not FOREIGN.search(wanted), wanted
        assert not re.search(r"[\[\]()]", field), field


def _without_each(kind: str, version: int, body: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in (*body, "colour"):
        try:
            body_bytes(kind, version, {key: value for key, value in body.items() if key != name} | {"colour": 1})
        except BodyInvalid as error:
            found |= {item.wanted: item.field for item in error.errors}
    return found


def _patterns(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("pattern"), str) and "type" in value:
            yield value["pattern"]
        for name, item in value.items():
            if name != "examples":
                yield from _patterns(item)
    elif isinstance(value, list):
        for item in value:
            yield from _patterns(item)


def test_every_expression_has_words() -> None:
    schemas = [*(json_schema(*key) for key in KINDS), Header.model_json_schema()]
    used = {pattern for schema in schemas for pattern in _patterns(schema)}
    assert len(used) > 10
    for pattern in used - PATTERNS.keys():
        # Those that end in a time.
        assert "T(" in pattern, pattern
        assert of_pattern(pattern)
