"""What is wanted of a value, in an officer's words: no expression, no class and no word of Python or pydantic.

Each text goes on behind `it`: `must be a date, as 2026-11-24`.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

_PARTIAL: Final = "(18|19|20)[0-9]{2}(-(0[1-9]|1[0-2])(-(0[1-9]|[12][0-9]|3[01]))?)?"
# By the expressions of all our models; a test sees that none is forgotten.
PATTERNS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "^[a-z][a-z0-9-]{0,39}$": "must begin with a small letter, and have small letters, digits and -, 40 at most",
        "^[a-z][a-z0-9.-]{0,39}$": "must begin with a small letter, and have small letters, digits, . and - only, "
        "40 at most",
        "^[0-9A-F]{6}$": "must be 6 digits or capitals from A to F, as 4B1A2C",
        "^[A-Z]{2}$": "must be a country's code of two capitals, as RO",
        "^[A-Z]{3}$": "must be a currency's code of three capitals, as EUR",
        f"^{_PARTIAL}$": "must be a date as far as it is known: 1974, 1974-08 or 1974-08-12",
        "^[0-9A-Z]{4}$": "must be 4 digits or capitals, as 45G1",
        "^[0-9]{4}([0-9]{2}){0,3}$": "must be a code of the Harmonised System: 4, 6, 8 or 10 digits",
        "^[0-9]{9}$": "must be 9 digits",
        "^[0-9]{4}$": "must be 4 digits, as 3332",
        "^[a-z]{2,8}$": "must be the id of a node: 2 to 8 small letters, as ro or seci",
        "^[a-z]{2,3}$": "must be a language's code of two or three small letters, as ro, el, sq",
        "^indicator--[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$": "must be indicator-- and a UUID in small letters",
        "^[a-z0-9_-]{1,60}$": "must be small letters, digits, - and _ only, 60 at most, as malicious-activity",
        "^[A-Z][a-z]?-[0-9]{1,3}m?$": "must be an isotope, as Cs-137",
        "^[A-Z0-9]+([ -][A-Z0-9]+)*$": "must be capitals and digits, with single blanks or hyphens between, as MIRAGE",
        "^[a-z]+(_[a-z]+)*(\\.[a-z]+(_[a-z]+)*){0,2}$": "must be a kind's name, as alert or drugs.seizure",
    }
)
_TIMES: Final = "must be a date, or a time with its offset: 2004-11-15 or 2004-11-15T03:00+02:00"
_UTC: Final = "must be a time in UTC, as 2004-11-15T03:00:00Z"
_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "missing": "is required",
        "extra_forbidden": "is not a known field",
        "string_type": "must be a text",
        "string_sub_type": "must be a text",
        "string_unicode": "must be a text in Unicode",
        "bytes_type": "must be bytes",
        "enum_type": "must be one of the codes that there are",
        "none_required": "must be left out",
        "is_instance_of": "must be of another type",
        "union_tag_not_found": "must have a type that says what it is",
        "too_short": "must have more items",
        "too_long": "must have fewer items",
        "finite_number": "must be a number that is finite",
        "timezone_aware": "must be a time with a zone, as 2026-11-24T14:00:00Z",
        "int_from_float": "must be a whole number",
        "invalid_key": "must have names that are texts",
        "frozen_set_type": "must be a list",
        "recursion_loop": "must not contain itself",
    }
)
# By the word that a type begins with, for the many ways in which each may fail.
_BEGIN: Final[Mapping[str, str]] = MappingProxyType(
    {
        "bool": "must be true or false",
        "int": "must be a whole number",
        "float": "must be a number",
        "decimal": "must be a number, with a decimal point if it needs one",
        "datetime": "must be a time with a zone, as 2026-11-24T14:00:00Z",
        "date": "must be a date, as 2026-11-24",
        "timezone": "must be a time with a zone, as 2026-11-24T14:00:00Z",
        "uuid": "must be a message's id, as 01a20f97-e270-71d7-88d6-b834d3465199",
        "list": "must be a list",
        "tuple": "must be a list",
        "set": "must be a list",
        "iterable": "must be a list",
        "dict": "must be an object, with fields of its own",
        "mapping": "must be an object, with fields of its own",
        "model": "must be an object, with fields of its own",
        "dataclass": "must be an object, with fields of its own",
    }
)
_COMPARED: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "greater_than": ("must be more than", "gt"),
        "greater_than_equal": ("must be at least", "ge"),
        "less_than": ("must be less than", "lt"),
        "less_than_equal": ("must be at most", "le"),
        "multiple_of": ("must be a multiple of", "multiple_of"),
        "decimal_max_digits": ("must have no more digits than", "max_digits"),
        "decimal_max_places": ("must have no more digits behind the point than", "decimal_places"),
        "decimal_whole_digits": ("must have no more digits before the point than", "whole_digits"),
    }
)
_PREFIX: Final = "Value error, "


def wanted(item: Mapping[str, Any], field: str = "") -> str:
    """What is wanted where pydantic found this fault, an item of its `errors()`. Rules of ours may name the `field`."""
    kind, about = str(item["type"]), item.get("ctx") or {}
    if kind == "value_error":
        return behind_it(str(item["msg"]).removeprefix(_PREFIX).removeprefix(f"{field}: "))
    if kind == "string_pattern_mismatch":
        return of_pattern(about["pattern"])
    if kind in _COMPARED:
        words, name = _COMPARED[kind]
        return f"{words} {about[name]}"
    if kind in ("enum", "literal_error"):
        return _one_of(str(about["expected"]))
    if kind == "union_tag_invalid":
        return _one_of(str(about["expected_tags"]))
    if kind in ("string_too_long", "string_too_short", "bytes_too_long", "bytes_too_short"):
        return _length(about)
    if kind in ("too_long", "too_short"):
        return _count(about)
    return _TYPES.get(kind) or _BEGIN.get(kind.split("_")[0], "is not as it must be; see: seci-node schema show KIND")


def behind_it(text: str) -> str:
    """A fault in words of our own, so that it goes on behind `it`."""
    words = re.sub(r"^'.*' is not one of ", "must be one of ", text.removeprefix(_PREFIX)).rstrip(".")
    return words if words.startswith(("must ", "is ", "may ")) else f"is wrong: {words}"


def of_pattern(pattern: str) -> str:
    """What an expression of one of our models wants; it is one for times if it is not in the table."""
    return PATTERNS.get(pattern) or (_UTC if pattern.endswith("Z$") else _TIMES)


def _one_of(expected: str) -> str:
    # As pydantic lists them: 'a', 'b' or 'c'.
    # A comma alone would pass for what stands between.
    names = [name if name[:1].isalnum() else repr(name) for name in re.findall(r"'([^']*)'", expected)]
    return f"must be {names[0]}" if len(names) == 1 else f"must be one of {', '.join(names)}"


def _length(about: Mapping[str, Any]) -> str:
    least, most = about.get("min_length"), about.get("max_length")
    if most is not None:
        return f"may have at most {most} characters"
    return "must not be empty" if least == 1 else f"must have at least {least} characters"


def _count(about: Mapping[str, Any]) -> str:
    least, most = about.get("min_length"), about.get("max_length")
    if most is not None:
        return f"may have at most {most} items"
    return "must not be empty" if least == 1 else f"must have at least {least} items"
