"""`python -m tests.vectors.bodies`: adds to bodies.jsonl what shows more of the kinds than the bodies that are there.

A line is never changed: what was valid once is sent by older nodes, and has to be valid under every later model.
"""

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import HypothesisWarning

from deploy.schemas import BODIES, bodies_of
from schemas.registry import KINDS, body_bytes
from tests.schemas.instances import bodies

_LOOKED_AT: Final = 150
_LONGEST: Final = 1500
_MOST: Final = 12


def main(file: Path = BODIES) -> None:
    """Appends to the file; says how many lines."""
    there = list(bodies_of(file)) if file.exists() else []
    new = []
    for (kind, version), found in sorted(KINDS.items()):
        mine = [body for _, name, number, body in there if (name, number) == (kind, version)]
        shown = {path for body in mine for path in _paths(body)}
        examples = [dict(example) for example in found.examples]
        for number, body in enumerate((*examples, *_random(kind, version))):
            paths = set(_paths(body))
            # An example shows what is new, also of a kind that has enough.
            if paths <= shown or (number >= len(examples) and len(mine) >= _MOST + len(examples)):
                continue
            shown |= paths
            mine.append(body)
            new.append({"kind": kind, "version": version, "body": body})
    with file.open("a", encoding="utf-8") as out:
        out.writelines(json.dumps(line) + "\n" for line in new)
    print(f"{len(new)} bodies added")


def _random(kind: str, version: int) -> list[dict[str, Any]]:
    """Valid ones, the same each time, those that show the most first."""
    found: list[dict[str, Any]] = []

    @settings(
        derandomize=True,
        database=None,
        deadline=None,
        max_examples=_LOOKED_AT,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(bodies(kind, version))
    def collect(body: dict[str, Any]) -> None:
        body_bytes(kind, version, body)
        if len(json.dumps(body)) <= _LONGEST:
            found.append(body)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HypothesisWarning)
        collect()
    return sorted(found, key=lambda body: -len(set(_paths(body))))


def _paths(value: Any, at: str = "") -> Iterator[str]:
    """What a body shows: its fields, and which of an enumeration's codes stand there."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _paths(item, f"{at}.{name}")
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _paths(item, f"{at}[]")
    else:
        code = isinstance(value, str) and at.endswith(("type", "unit", "indicator", "substance", "outcome", "reason"))
        yield f"{at}={value}" if code else at


if __name__ == "__main__":
    main()
