"""Every kind has a line for lists, which names nobody who needs not be named."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from schemas.registry import KINDS, body_bytes, find
from schemas.summaries import _OF_KIND, LONGEST, summary


def _names(value: Any) -> Iterator[str]:
    """All names of persons and firms in a body."""
    if isinstance(value, dict):
        for name in value.get("names", ()):
            yield from name.values() if isinstance(name, dict) else (name,)
        yield from (value[name] for name in ("witness", "official") if name in value)
        for item in value.values():
            yield from _names(item)
    elif isinstance(value, list):
        for item in value:
            yield from _names(item)


@pytest.mark.parametrize(("kind", "version"), sorted(KINDS))
def test_each_example_says_what_it_is_about_and_names_nobody(kind: str, version: int) -> None:
    assert kind in _OF_KIND
    for example in find(kind, version).examples:
        body = json.loads(body_bytes(kind, version, dict(example)))
        line = summary(kind, body)
        assert 2 < len(line) <= LONGEST
        assert not [name for name in _names(body) if name in line]
        assert "_" not in line


def test_what_a_newer_sender_means_breaks_nothing() -> None:
    for kind, version in KINDS:
        example = find(kind, version).examples[0]
        for other in (None, 7, True, [], {}, [None, "a"], "x" * 999, {"stated": []}):
            for body in ({}, dict.fromkeys(example, other), *({**example, name: other} for name in example)):
                line = summary(kind, body)
                assert line.isprintable() and len(line) <= LONGEST
    assert summary("poem", {"title": "a"}) == "a"
    assert summary("alert", {"title": "a\x1b[2Jb\nc"}) == "a [2Jb c"
