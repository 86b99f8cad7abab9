"""Kinds in words: the Markdown of docs/schemas and of `seci-node schema show`, made from their JSON Schemas."""

import json
import re
from collections.abc import Collection, Iterator
from difflib import get_close_matches
from functools import cache
from typing import Any, Final

from schemas.codes import MEANINGS, TASK_FORCES
from schemas.entities import Facts
from schemas.kinds.kind import Kind, Rule
from schemas.personal import PERSONAL_KINDS
from schemas.registry import KINDS, find, json_schema, newest
from schemas.usage import users_of
from schemas.wording import of_pattern

Schema = dict[str, Any]

# The page of what many kinds carry: entities and their parts.
ENTITIES: Final = "entities"
_FORMATS: Final = {
    "date": "date, as 2026-11-24",
    "date-time": "time with zone, as 2026-11-24T14:00:00Z",
    "uuid": "UUID",
}
_LINK: Final = re.compile(r"\[([^\]\n]+)\]\((?:[\w.]+\.md)?(?:#\w+)?\)")
_CARRIED: Final = tuple(Facts.model_fields)
_ANY: Final = "entities"


def in_short(kind: Kind) -> str:
    """What a kind is for: the first sentence of its description, without the full stop."""
    return " ".join((kind.model.__doc__ or "").split("\n\n")[0].split()).split(". ")[0].rstrip(".")


def index() -> str:
    """A page that lists the newest version of each kind, and which task force uses it."""
    names = sorted({name for name, _ in KINDS})
    lines = ["# Kinds of messages", "", f"What many of them carry is in [{ENTITIES}]({ENTITIES}.md).", ""]
    lines += ["| kind | version | what | task forces |", "|---|---|---|---|"]
    for name in names:
        kind, users = newest(name), users_of(name)
        told = "all" if len(users) == len(TASK_FORCES) else ", ".join(users)
        lines.append(f"| [{name}]({name}.md) | {kind.version} | {_cell(in_short(kind))} | {told} |")
    return "\n".join(lines) + "\n"


def entities() -> str:
    """A page of all entities, relations and what they are made of."""
    schema = _shared()
    parts = ["# Entities and relations", schema["description"], _table(schema, ()), *_definitions(schema, ())]
    return "\n\n".join(parts) + "\n"


def markdown(kind: str, version: int) -> str:
    """All that is to be known of one version of a kind but its entities. Raises KindUnknown."""
    schema, rule = json_schema(kind, version), find(kind, version).rule
    shared = _shared()["$defs"].keys()
    parts = [f"# {kind}, version {version}", schema.get("description", ""), _use(kind, rule), "## Fields"]
    parts += [_table(schema, shared), *_definitions(schema, shared)]
    for number, example in enumerate(schema["examples"], 1):
        parts += [f"## Example {number}", f"```json\n{json.dumps(example, indent=2, ensure_ascii=False)}\n```"]
    return "\n\n".join(part for part in parts if part) + "\n"


def for_terminal(page: str) -> str:
    """A page without its links, which lead nowhere in a terminal."""
    return _LINK.sub(r"\1", page)


def meant(said: str) -> tuple[str, ...]:
    """The kinds whose names are near to what was asked for, or have it in them: `vehicle` in `vehicle.stolen`."""
    names = sorted({name for name, _ in KINDS})
    wanted = said.casefold()
    inside = [name for name in names if wanted and wanted in name]
    return tuple(dict.fromkeys((*inside, *get_close_matches(wanted, names, 3, 0.6))))


def entity_named(said: str) -> str | None:
    """What the page of entities calls this, if it is on it: `vehicle` is `Vehicle`."""
    return next((name for name in _shared()["$defs"] if name.casefold() == said.casefold()), None)


@cache
def _shared() -> Schema:
    return Facts.model_json_schema()


def _definitions(schema: Schema, elsewhere: Collection[str]) -> Iterator[str]:
    for name, inner in schema.get("$defs", {}).items():
        if name not in elsewhere:
            fields = _table(inner, elsewhere) if "properties" in inner else _codes(name) or _kind(inner, elsewhere)
            yield "\n\n".join(part for part in (f"### {name}", inner.get("description", ""), fields) if part)


def _codes(name: str) -> str:
    """The codes of a scale with what each means; empty for one whose codes say it themselves."""
    found = [(str(code), meaning) for code, meaning in MEANINGS.items() if type(code).__name__ == name]
    return "\n".join(f"- `{code}`: {meaning}" for code, meaning in found)


def _use(kind: str, rule: Rule) -> str:
    users = users_of(kind)
    said = [f"Used by {'all task forces' if len(users) == len(TASK_FORCES) else ', '.join(users) or 'no task force'}."]
    if rule.handling:
        said.append(f"Handling must be {' or '.join(rule.handling)}.")
    if rule.named:
        said.append("Recipients are named one by one, never a whole task force.")
    if kind in PERSONAL_KINDS:
        said.append("May hold personal data.")
    return " ".join(said)


def _table(schema: Schema, elsewhere: Collection[str]) -> str:
    required, fields = schema.get("required", ()), schema["properties"]
    lines = ["| field | what | must | meaning |", "|---|---|---|---|"]
    # What a kind has of its own comes first.
    for name in sorted(fields, key=lambda name: name in _CARRIED):
        field = fields[name]
        what = f"list of [any entity]({ENTITIES}.md)" if name == _ANY else _kind(field, elsewhere)
        must, meaning = "yes" if name in required else "", _cell(_meaning(field))
        lines.append(f"| `{name}` | {what} | {must} | {meaning} |")
    return "\n".join(lines)


def _meaning(field: Schema) -> str:
    said = [field, *field.get("anyOf", ())]
    return next((item["description"] for item in said if "description" in item), "")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _kind(field: Schema, elsewhere: Collection[str]) -> str:
    """What a field holds, in a few words; no `|`, which would end the table's cell."""
    if "$ref" in field:
        name = field["$ref"].removeprefix("#/$defs/")
        return f"[{name}]({f'{ENTITIES}.md' if name in elsewhere else ''}#{name.lower()})"
    if "const" in field:
        return f"`{field['const']}`"
    if "pattern" in field and "enum" in field:
        # Of a standard that has more codes than anyone reads.
        return "one of the standard's codes"
    if "enum" in field:
        return "one of " + ", ".join(f"`{value}`" for value in field["enum"])
    for several in ("anyOf", "oneOf"):
        if several in field:
            kinds = [_kind(item, elsewhere) for item in field[several] if item.get("type") != "null"]
            return " or ".join(dict.fromkeys(kinds))
    if field.get("type") == "array":
        return f"list of {_kind(field.get('items', {}), elsewhere)}{_bounds(field, 'minItems', 'maxItems')}"
    return _FORMATS.get(field.get("format", ""), _plain(field))


def _plain(field: Schema) -> str:
    if "pattern" in field:
        # Where the meaning says what it is, nobody wants to read it twice; and the expression nobody at all.
        return (
            "string" if "description" in field else f"string: {of_pattern(field['pattern']).removeprefix('must be ')}"
        )
    above = f", more than {field['exclusiveMinimum']:g}" if "exclusiveMinimum" in field else ""
    limits = f"{_bounds(field, 'minLength', 'maxLength')}{_bounds(field, 'minimum', 'maximum')}"
    return f"{field.get('type', 'anything')}{limits}{above}"


def _bounds(field: Schema, least: str, most: str) -> str:
    low, high = field.get(least), field.get(most)
    if high is not None:
        return f", {low or 0:g} to {high:g}"
    return "" if low in (None, 1) else f", {low:g} or more"
