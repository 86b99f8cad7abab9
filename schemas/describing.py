"""A kind in words: the Markdown of docs/schemas and of `seci-node schema show`, made from its JSON Schema."""

import json
from collections.abc import Iterator
from typing import Any, Final

from schemas.codes import TASK_FORCES
from schemas.kinds.kind import Kind, Rule
from schemas.registry import KINDS, find, json_schema, newest
from schemas.usage import users_of

Schema = dict[str, Any]

_FORMATS: Final = {"date": "date, as 2026-11-24", "date-time": "time with zone, as 2026-11-24T14:00:00Z"}


def in_short(kind: Kind) -> str:
    """What a kind is for: the first sentence of its description, without the full stop."""
    return " ".join((kind.model.__doc__ or "").split("\n\n")[0].split()).split(". ")[0].rstrip(".")


def index() -> str:
    """A page that lists the newest version of each kind, and which task force uses it."""
    names = sorted({name for name, _ in KINDS})
    lines = ["# Kinds of messages", "", "| kind | version | what | task forces |", "|---|---|---|---|"]
    for name in names:
        kind, users = newest(name), users_of(name)
        told = "all" if len(users) == len(TASK_FORCES) else ", ".join(users)
        lines.append(f"| [{name}]({name}.md) | {kind.version} | {_cell(in_short(kind))} | {told} |")
    return "\n".join(lines) + "\n"


def markdown(kind: str, version: int) -> str:
    """All that is to be known of one version of a kind. Raises KindUnknown."""
    schema, rule = json_schema(kind, version), find(kind, version).rule
    parts = [
        f"# {kind}, version {version}",
        schema.get("description", ""),
        _use(kind, rule),
        "## Fields",
        _table(schema),
    ]
    for name, inner in schema.get("$defs", {}).items():
        parts += [f"### {name}", inner.get("description", ""), _table(inner) if "properties" in inner else _kind(inner)]
    for number, example in enumerate(schema["examples"], 1):
        parts += [f"## Example {number}", f"```json\n{json.dumps(example, indent=2, ensure_ascii=False)}\n```"]
    return "\n\n".join(part for part in parts if part) + "\n"


def _use(kind: str, rule: Rule) -> str:
    users = users_of(kind)
    said = [f"Used by {'all task forces' if len(users) == len(TASK_FORCES) else ', '.join(users) or 'no task force'}."]
    if rule.handling:
        said.append(f"Handling must be {' or '.join(rule.handling)}.")
    if rule.named:
        said.append("Recipients are named one by one, never a whole task force.")
    if rule.personal:
        said.append("Holds personal data.")
    return " ".join(said)


def _table(schema: Schema) -> str:
    required = schema.get("required", ())
    lines = ["| field | what | must | meaning |", "|---|---|---|---|"]
    for name, field in schema.get("properties", {}).items():
        must, meaning = "yes" if name in required else "", _cell(field.get("description", ""))
        lines.append(f"| `{name}` | {_kind(field)} | {must} | {meaning} |")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _kind(field: Schema) -> str:
    """What a field holds, in a few words; no `|`, which would end the table's cell."""
    if "$ref" in field:
        name = field["$ref"].removeprefix("#/$defs/")
        return f"[{name}](#{name.lower()})"
    if "const" in field:
        return f"`{field['const']}`"
    if "pattern" in field and "enum" in field:
        # Of a standard that has more codes than anyone reads.
        return field.get("description", "a code")
    if "enum" in field:
        return "one of " + ", ".join(f"`{value}`" for value in field["enum"])
    for several in ("anyOf", "oneOf"):
        if several in field:
            kinds = [_kind(item) for item in field[several] if item.get("type") != "null"]
            return " or ".join(dict.fromkeys(kinds))
    if field.get("type") == "array":
        return f"list of {_kind(field.get('items', {}))}{_limits(field, 'minItems', 'maxItems')}"
    if field.get("type") == "object":
        return "object"
    return _FORMATS.get(field.get("format", ""), _plain(field))


def _plain(field: Schema) -> str:
    pattern = field.get("pattern")
    shown = f" like `{pattern}`".replace("|", "\\|") if pattern else ""
    return (
        f"{field.get('type', 'anything')}{shown}"
        f"{_limits(field, 'minLength', 'maxLength')}{_limits(field, 'minimum', 'maximum')}"
        + "".join(f", more than {field[name]:g}" for name in ("exclusiveMinimum",) if name in field)
    )


def _limits(field: Schema, least: str, most: str) -> str:
    return ", ".join(_bounds(field.get(least), field.get(most)))


def _bounds(least: Any, most: Any) -> Iterator[str]:
    if most is not None:
        yield f", {least or 0} to {most}"
    elif least not in (None, 1):
        yield f", {least} or more"
