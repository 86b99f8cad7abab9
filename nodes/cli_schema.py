"""`seci-node schema`: the kinds there are, what a body of each may hold, and whether one in a file does.

It needs neither an agent nor a node's folder.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Final

import typer

from crypto import typed
from nodes.cli_send import read_body
from nodes.errors import BodyRefused, RequestRefused, SchemaUnclear
from nodes.requests import header_faults
from nodes.shell import AsJson, answer, say
from schemas import plausible, registry
from schemas.codes import TASK_FORCES
from schemas.comparison import comparison_key
from schemas.describing import ENTITIES, entities, entity_named, for_terminal, in_short, markdown, meant
from schemas.entities import Facts
from schemas.kinds.kind import Kind
from schemas.personal import PERSONAL_KINDS
from schemas.registry import KINDS, BodyInvalid, FieldError, KindUnknown
from schemas.things import plate_key
from schemas.usage import USED_BY, users_of

schema_app: Final = typer.Typer(no_args_is_help=True, help="The kinds of messages, and what their bodies may hold.")
_LONGEST_SHOWN: Final = 40
Name = Annotated[str, typer.Argument(metavar="KIND", help="For example drugs.seizure.")]
Version = Annotated[int | None, typer.Option(min=1, help="Of the kind; default: its newest.")]


@schema_app.command("list")
def list_(
    task_force: Annotated[
        str | None, typer.Option(parser=typed.one_of(tuple(TASK_FORCES)), metavar="CODE", help="Only what it uses.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the kinds, each with its versions and what it is for."""
    names = sorted({name for name, _ in KINDS}) if task_force is None else USED_BY[task_force]
    found = [_described(registry.newest(name)) for name in names]
    width = max(len(item["kind"]) for item in found)
    lines = [f"{item['kind']:{width}}  {item['version']}  {item['about']}" for item in found]
    answer({"kinds": found}, as_json, "\n".join(lines))


def _described(kind: Kind) -> dict[str, Any]:
    return {
        "kind": kind.name,
        "version": kind.version,
        "versions": sorted(version for name, version in KINDS if name == kind.name),
        "about": in_short(kind),
        "task_forces": users_of(kind.name),
        "handling": kind.rule.handling,
        "named_recipients": kind.rule.named,
        "personal": kind.name in PERSONAL_KINDS,
    }


@schema_app.command()
def show(kind: Name, version: Version = None, as_json: AsJson = False) -> None:
    """Show what a body may hold, with --json its JSON Schema. `entities` shows what many kinds carry."""
    if kind == ENTITIES:
        answer(Facts.model_json_schema(), as_json, for_terminal(entities()).rstrip())
        return
    found = _find(kind, version)
    schema = registry.json_schema(found.name, found.version)
    answer(schema, as_json, for_terminal(markdown(found.name, found.version)).rstrip())
    if not as_json and set(Facts.model_fields) & set(schema["properties"]):
        say(f"what entities are made of: seci-node schema show {ENTITIES}")


@schema_app.command()
def example(
    kind: Name,
    version: Version = None,
    number: Annotated[int, typer.Option(min=1, help="Which of the kind's examples.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Print an example of a body, to be changed and given to `seci-node send --body FILE`."""
    found = _find(kind, version)
    if number > len(found.examples):
        raise SchemaUnclear(
            "example_unknown",
            f"{found.name} has {len(found.examples)} examples, and no number {number}",
            "name one that there is with --number",
        )
    body = found.examples[number - 1]
    answer(body, as_json, json.dumps(body, indent=2, ensure_ascii=False))


@schema_app.command()
def key(
    texts: Annotated[list[str], typer.Argument(metavar="NAME...", help="Names as they are written, each in quotes.")],
    plate: Annotated[bool, typer.Option("--plate", help="They are registration plates.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print the key under which a name is compared, in Latin, Greek and Cyrillic alike: spellings of one name share it.

    Two names of one key may be of two persons; an officer decides. Exit code 3 if several are given and keys differ.
    """
    of = plate_key if plate else comparison_key
    found = [{"text": text, "key": of(text)} for text in texts]
    same = len({one["key"] for one in found}) == 1
    width = max(len(one["key"]) for one in found)
    lines = [f"{one['key']:{width}}  {one['text']}" for one in found]
    answer({"keys": found, "same": same}, as_json, "\n".join(lines))
    if not same:
        raise typer.Exit(3)


@schema_app.command()
def validate(
    file: Annotated[str, typer.Argument(help="A JSON file: a body, or a message as POST /v1/messages takes it; or -.")],
    kind: Annotated[str | None, typer.Option(help="Of the body; a whole message says it itself.")] = None,
    version: Version = None,
    as_json: AsJson = False,
) -> None:
    """Say of a body whether it is one of its kind, and of each wrong field what was found and what is wanted.

    Of a whole message, what is beside the body is looked at too; whether its recipients are members, only a node knows.
    """
    read = read_body(file)
    body, whole = read, kind is None
    if kind is None:
        kind, version, body = _of_message(read, version)
    found, now = _find(kind, version), time.time_ns() // 1_000_000
    fields = list(_header_fields(read, now)) if whole else []
    try:
        size, warnings = check(found.name, body, found.version)
    except BodyRefused as error:
        if not fields:
            raise
        fields += [dict(item) | {"field": f"body.{item['field']}"} for item in error.fields]
    if fields:
        step = "correct what is named; docs/integrator.md tells what a message may have"
        raise RequestRefused(f"no message that could be sent: {_count(fields)}", step, fields)
    told = {"valid": True, "kind": found.name, "version": found.version, "bytes": size, "warnings": warnings}
    for warning in () if as_json else warnings:
        say(f"warning: {warning}")
    what = "a message with a body" if whole else "a body"
    answer(told, as_json, f"{what} of {found.name}/{found.version}, {size} bytes")


def _header_fields(message: dict[str, Any], now: int) -> Iterator[dict[str, str]]:
    for fault in header_faults(message, now):
        found = "nothing" if fault.missing else fault.found if not fault.way else _short(fault.found)
        yield {"field": ".".join(map(str, fault.way)) or "message", "found": found, "wanted": fault.wanted}


def check(kind: str, body: Any, version: int | None = None) -> tuple[int, list[str]]:
    """How many bytes the body has as it would travel, and warnings. Raises BodyRefused, SchemaUnclear."""
    found = _find(kind, version)
    try:
        data = registry.body_bytes(found.name, found.version, body)
        return len(data), plausible.check(found.name, json.loads(data), time.time_ns() // 1_000_000)
    except BodyInvalid as error:
        fields = [{"field": item.field, "found": _shown(body, item), "wanted": item.wanted} for item in error.errors]
        step = f"correct what is named; see: seci-node schema show {found.name}"
        raise BodyRefused(f"no body of {found.name}/{found.version}: {_count(fields)}", step, fields) from error


def _of_message(message: dict[str, Any], version: int | None) -> tuple[str, int | None, Any]:
    if not isinstance(message.get("kind"), str) or "body" not in message:
        raise SchemaUnclear(
            "kind_missing", "of which kind the body is, is not said", "name it with --kind; see: seci-node schema list"
        )
    stated = message.get("kind_version", version)
    return message["kind"], stated if type(stated) is int else version, message["body"]


def _find(kind: str, version: int | None) -> Kind:
    try:
        return registry.newest(kind) if version is None else registry.find(kind, version)
    except KindUnknown as error:
        raise SchemaUnclear(error.code, str(error), _step(kind)) from error


def _step(kind: str) -> str:
    near, entity = meant(kind), entity_named(kind)
    steps = [f"did you mean {' or '.join(near)}?"] if near and kind not in near else []
    if entity is not None:
        steps.append(f"the entity {entity} is in: seci-node schema show {ENTITIES}")
    return "; ".join(steps) or "see: seci-node schema list"


def _count(fields: Sequence[Mapping[str, str]]) -> str:
    return "one field is wrong" if len(fields) == 1 else f"{len(fields)} fields are wrong"


def _shown(body: Any, error: FieldError) -> str:
    # The file is the user's own: unlike everywhere else, what is wrong in it may be shown, if it is short.
    value = body
    for step in error.field.split("."):
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return error.found
    return _short(value)


def _short(value: Any) -> str:
    shown = json.dumps(value, ensure_ascii=False)
    return shown if len(shown) <= _LONGEST_SHOWN and not isinstance(value, dict | list) else registry.json_type(value)
