"""Indicators of STIX 2.1 as a body of `cyber.indicator`, and back. Pure; OASIS's own library judges what is STIX.

What comes in is kept as it was written; what goes out is as the library writes it.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from nodes.errors import StixRefused
from schemas.kinds.cyber import Indicator

# What a STIX object has and a body does not need: an indicator is all that a body holds.
_FRAME: Final = frozenset({"type", "spec_version", "revoked"})
_FIELDS: Final = frozenset(Indicator.model_fields)


@dataclass(frozen=True, slots=True)
class Imported:
    """A body of `cyber.indicator`, and what of the bundle is not in it: objects by type, and properties."""

    body: dict[str, Any]
    left_out: Mapping[str, int]


def left_behind(body: Mapping[str, Any]) -> list[str]:
    """The fields of a body that a bundle has no place for."""
    return sorted(set(body) - {"indicators"})


def to_stix(body: Mapping[str, Any]) -> dict[str, Any]:
    """A bundle with the indicators of a valid body. Raises StixRefused for what is no STIX, such as a wrong pattern."""
    written = ({"type": "indicator", "spec_version": "2.1", **indicator} for indicator in body["indicators"])
    objects = [json.loads(_judged(item).serialize()) for item in written]
    # The same indicators make the same bundle.
    name = json.dumps(objects, sort_keys=True, ensure_ascii=False)
    return {"type": "bundle", "id": f"bundle--{uuid5(NAMESPACE_URL, name)}", "objects": objects}


def from_stix(bundle: Mapping[str, Any], title: str) -> Imported:
    """The body that holds a bundle's indicators, or a single one. Raises StixRefused."""
    objects = bundle.get("objects", [bundle] if bundle.get("type") == "indicator" else None)
    if not isinstance(objects, list) or not all(isinstance(item, dict) for item in objects):
        raise StixRefused(
            "this is neither a bundle of STIX nor an indicator", "give a bundle: an object with `objects`"
        )
    left_out: Counter[str] = Counter()
    indicators = []
    for item in objects:
        if item.get("type") != "indicator" or item.get("revoked"):
            left_out["revoked indicator" if item.get("type") == "indicator" else str(item.get("type"))[:40]] += 1
            continue
        _judged(item)
        indicators.append({name: value for name, value in item.items() if name in _FIELDS})
        left_out.update(f"property {name[:40]}" for name in item if name not in _FIELDS | _FRAME)
    if not indicators:
        raise StixRefused("the bundle has no indicator that is in force", "export indicators from the other system")
    return Imported({"title": title, "indicators": indicators}, dict(left_out))


def _judged(item: dict[str, Any]) -> Any:
    # At first use: the library takes a quarter of a second to load, and few commands need it.
    from stix2 import parse
    from stix2.exceptions import STIXError

    if item.get("spec_version") != "2.1":
        raise StixRefused(f"{_name(item)} is not of STIX 2.1", "export in version 2.1, where spec_version says so")
    try:
        return parse(item, allow_custom=True, version="2.1")
    except RecursionError as error:
        raise StixRefused(
            f"{_name(item)} is no STIX that is read here: it is nested too deeply, or its pattern has too many parts",
            "divide the pattern among several indicators",
        ) from error
    # The library looks into some properties before it knows what they are.
    except (STIXError, ValueError, TypeError, AttributeError, LookupError) as error:
        raise StixRefused(
            f"{_name(item)} is no STIX: {error}", "correct it in the system that it comes from"
        ) from error


def _name(item: Mapping[str, Any]) -> str:
    return str(item.get("id", "an indicator without id"))[:60]
