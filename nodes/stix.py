"""Indicators of STIX 2.1 as a body of `cyber.indicator`, and back. Pure; OASIS's own library judges what is STIX.

What comes in is kept as it was written; what goes out is as the library writes it.
"""

import json
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from nodes.errors import StixRefused
from schemas.codes import Tlp
from schemas.kinds.cyber import Indicator

# What a STIX object has and a body does not need: an indicator is all that a body holds.
_FRAME: Final = frozenset({"type", "spec_version", "revoked"})
_FIELDS: Final = frozenset(Indicator.model_fields) - {"tlp"}
_MARKING: Final = "object_marking_refs"
# TLP 2.0 in STIX is an extension: OASIS's common objects for STIX have its definitions, of the same ids everywhere.
_TLP_EXTENSION: Final = "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d"
_TLP: Final[Mapping[str, Tlp]] = {
    "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487": Tlp.CLEAR,
    "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb": Tlp.GREEN,
    "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421": Tlp.AMBER,
    "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003": Tlp.AMBER_STRICT,
    "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1": Tlp.RED,
}
# TLP 1.0, as STIX 2.1 itself defines it (section 7.2.1.4), and what FIRST says that it is in 2.0.
_OLDER_TLP: Final[Mapping[str, Tlp]] = {
    "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9": Tlp.CLEAR,
    "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da": Tlp.GREEN,
    "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82": Tlp.AMBER,
    "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed": Tlp.RED,
}
_KNOWN: Final = {**_TLP, **_OLDER_TLP}


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
    labels = [indicator["tlp"] for indicator in body["indicators"] if "tlp" in indicator]
    definitions = [_definition(id, tlp) for id, tlp in _TLP.items() if tlp in labels]
    written = [*definitions, *map(_written, body["indicators"])]
    objects = [json.loads(_judged(item).serialize()) for item in written]
    # The same indicators make the same bundle.
    name = json.dumps(objects, sort_keys=True, ensure_ascii=False)
    return {"type": "bundle", "id": f"bundle--{uuid5(NAMESPACE_URL, name)}", "objects": objects}


def _written(indicator: Mapping[str, Any]) -> dict[str, Any]:
    plain = {name: value for name, value in indicator.items() if name != "tlp"}
    marking = {_MARKING: [id for id, tlp in _TLP.items() if tlp == indicator["tlp"]]} if "tlp" in indicator else {}
    return {"type": "indicator", "spec_version": "2.1", **plain, **marking}


def _definition(id: str, tlp: Tlp) -> dict[str, Any]:
    level = tlp.removeprefix("TLP:").lower()
    extension = {"extension_type": "property-extension", "tlp_2_0": level}
    about = {"spec_version": "2.1", "id": id, "created": "2022-10-01T00:00:00.000Z", "name": str(tlp)}
    return {"type": "marking-definition", **about, "extensions": {_TLP_EXTENSION: extension}}


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
        if item.get("type") == "marking-definition" and str(item.get("id")) in _KNOWN:
            continue
        if item.get("type") != "indicator" or item.get("revoked"):
            left_out["revoked indicator" if item.get("type") == "indicator" else str(item.get("type"))[:40]] += 1
            continue
        _judged(item)
        markings = item.get(_MARKING, ())
        labels = {_KNOWN[id] for id in markings if id in _KNOWN}
        indicators.append({name: value for name, value in item.items() if name in _FIELDS} | _strictest(labels))
        understood = _FIELDS | _FRAME | ({_MARKING} if len(labels) == len(markings) else set())
        left_out.update(f"property {name[:40]}" for name in item if name not in understood)
    if not indicators:
        raise StixRefused("the bundle has no indicator that is in force", "export indicators from the other system")
    return Imported({"title": title, "indicators": indicators}, dict(left_out))


def _strictest(labels: Collection[Tlp]) -> dict[str, str]:
    # The labels stand in their order, the strictest first.
    return {"tlp": str(min(labels, key=tuple(Tlp).index))} if labels else {}


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
