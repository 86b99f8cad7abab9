"""The registry of kinds: from a kind's name and version to the model of its body.

Adding an optional field to a model keeps its version; any other change needs a new one, and a converter from the old
(`schemas.compatibility` tells which it is). Bodies travel as UTF-8 JSON.
"""

import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType, NoneType
from typing import Any, Final, Literal

from pydantic import ValidationError
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import ErrorDetails, from_json

from schemas import wording
from schemas.codes import Handling
from schemas.kinds import (
    administration,
    cyber,
    drugs,
    exchange,
    finance,
    fraud,
    judicial,
    operations,
    permissions,
    precursors,
    security,
    trafficking,
    vehicles,
    witnesses,
)
from schemas.kinds.common import Body
from schemas.kinds.exchange import Content
from schemas.kinds.kind import FEW_RECIPIENTS, FREE, Kind, Rule

Key = tuple[str, int]
Kinds = Mapping[Key, Kind]
# From a body of one version to that of the next.
Converter = Callable[[dict[str, Any]], dict[str, Any]]

_MODULES: Final = (
    exchange,
    permissions,
    trafficking,
    witnesses,
    drugs,
    precursors,
    vehicles,
    fraud,
    finance,
    cyber,
    security,
    judicial,
    operations,
    administration,
)
KINDS: Final[Kinds] = MappingProxyType({(kind.name, kind.version): kind for room in _MODULES for kind in room.KINDS})
# By the kind and version that a converter takes. Pure functions; every version but a kind's newest has one.
CONVERTERS: Final[Mapping[Key, Converter]] = MappingProxyType({})

# For policies: what holds for the handling of each kind, as its newest version says.
RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {name: KINDS[name, version].rule for name, version in sorted(KINDS)}
)

# The few whose rule asks for anything of a message's routing.
CAREFUL: Final = frozenset(name for name, rule in RULES.items() if rule.handling or rule.named)

MAX_DEPTH: Final = 64


def lacks_care(kind: str, handling: Handling, recipients: Collection[str] = (), others: Collection[str] = ()) -> bool:
    """Whether a message of this kind, or one that carries it, asks for more care than it gets.

    `others` are the members of its task force but the sender: who names them all, and they are more than a few, has
    named nobody.
    """
    rule = RULES.get(kind, FREE)
    whole = len(others) > FEW_RECIPIENTS and set(others) <= set(recipients)
    return bool(rule.handling and handling not in rule.handling) or (rule.named and whole)


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with a body: where (dotted path), what is wanted, and the type of what was found."""

    field: str
    wanted: str
    found: str

    def __str__(self) -> str:
        return f"{self.field}: {self.wanted} (found {self.found})"


class KindUnknown(ValueError):
    """No such kind, or not in this version. Code `kind_unknown`."""

    code = "kind_unknown"


class BodyInvalid(ValueError):
    """The body is not of its kind; `errors` names every bad field. Code `body_invalid`."""

    code = "body_invalid"

    def __init__(self, kind: str, errors: tuple[FieldError, ...]) -> None:
        super().__init__(f"{kind}: " + "; ".join(str(error) for error in errors))
        self.errors = errors


def find(kind: str, version: int, kinds: Kinds = KINDS) -> Kind:
    """A kind in one version. Raises KindUnknown, naming the versions that there are of it, or else all kinds."""
    try:
        return kinds[kind, version]
    except KeyError:
        of_kind = [name for name in sorted(kinds) if name[0] == kind]
        known = ", ".join(f"{name}/{number}" for name, number in of_kind or sorted(kinds))
        raise KindUnknown(f"kind {kind[:40]}/{version} is not known; known are {known}") from None


def newest(kind: str, kinds: Kinds = KINDS) -> Kind:
    """The newest version of a kind. Raises KindUnknown, naming the kinds there are."""
    versions = [version for name, version in kinds if name == kind]
    if not versions:
        known = sorted({name for name, _ in kinds})
        raise KindUnknown(f"kind {kind[:40]!r} is not known; known are {', '.join(known)}")
    return kinds[kind, max(versions)]


def body_bytes(kind: str, version: int, body: Any) -> bytes:
    """The UTF-8 JSON of a sender's body, validated strictly, as is what it carries. Raises KindUnknown, BodyInvalid."""
    try:
        valid = find(kind, version).model.model_validate(body)
    except ValidationError as error:
        raise BodyInvalid(kind, _field_errors(error, body)) from error
    carried = getattr(valid, "content", None)
    if isinstance(carried, Content):
        if (carried.kind, carried.kind_version) not in KINDS:
            raise BodyInvalid(kind, (_unknown(carried),))
        _check_carried(kind, carried, KINDS[carried.kind, carried.kind_version].model, extra="forbid")
    return valid.model_dump_json(exclude_none=True, exclude_unset=True).encode()


def read_body(kind: str, version: int, data: bytes, kinds: Kinds = KINDS) -> dict[str, Any]:
    """The body a recipient got, as JSON values, unknown fields kept (the sender may be newer).

    Raises KindUnknown, BodyInvalid.
    """
    found_model = find(kind, version, kinds).model
    try:
        # NaN and lone surrogates, which would be no JSON when handed on, pass json.loads and not this.
        body = from_json(data, allow_inf_nan=False)
        _check_nesting(body)
        valid = found_model.model_validate(body, extra="ignore")
    except ValidationError as error:
        raise BodyInvalid(kind, _field_errors(error, body)) from error
    except (ValueError, RecursionError) as error:
        raise BodyInvalid(kind, (FieldError("body", "must be UTF-8 JSON", "other bytes"),)) from error
    if not isinstance(body, dict):
        raise BodyInvalid(kind, (FieldError("body", "must be a JSON object", json_type(body)),))
    carried = getattr(valid, "content", None)
    # Of a kind that this node does not know yet, it cannot say what is wrong.
    if isinstance(carried, Content) and (carried.kind, carried.kind_version) in kinds:
        _check_carried(kind, carried, kinds[carried.kind, carried.kind_version].model, extra="ignore")
    return body


def _carries(model: type[Body]) -> bool:
    """Whether bodies of this model carry another message."""
    field = model.model_fields.get("content")
    return field is not None and field.annotation is Content


def _unknown(carried: Content) -> FieldError:
    versions = [version for name, version in sorted(KINDS) if name == carried.kind]
    if versions:
        return FieldError("content.kind_version", f"must be {' or '.join(map(str, versions))}", "number")
    return FieldError("content.kind", "must be a kind that there is; see: seci-node schema list", "string")


def _check_carried(kind: str, carried: Content, model: type[Body], extra: Literal["forbid", "ignore"]) -> None:
    if _carries(model):
        raise BodyInvalid(kind, (FieldError("content.kind", "must be one that carries no other message", "string"),))
    try:
        model.model_validate(carried.body, extra=extra)
    except ValidationError as error:
        raise BodyInvalid(kind, _field_errors(error, carried.body, "content.body")) from error


def newest_body(
    kind: str,
    version: int,
    body: Mapping[str, Any],
    kinds: Kinds = KINDS,
    converters: Mapping[Key, Converter] = CONVERTERS,
) -> dict[str, Any]:
    """A valid body as its kind's newest version has it, and what it carries too; one that is newer stays as it is.

    For who works with bodies, and wants to know one version of each kind.
    """
    found = dict(body)
    while (kind, version) in converters:
        found, version = converters[kind, version](found), version + 1
    content = found.get("content")
    if (kind, version) in kinds and _carries(kinds[kind, version].model) and isinstance(content, dict):
        # A version may be written "1", and is a number all the same.
        read = Content.model_validate(content, extra="ignore")
        about = read.kind, read.kind_version
        latest = max((number for name, number in kinds if name == about[0]), default=about[1])
        carried = newest_body(*about, content["body"], kinds, converters)
        found["content"] = {**content, "kind_version": max(latest, about[1]), "body": carried}
    return found


_JSON_TYPES: Final[dict[type, str]] = {
    str: "string",
    int: "number",
    float: "number",
    bool: "boolean",
    NoneType: "null",
    list: "array",
    tuple: "array",
    dict: "object",
}


def json_type(value: object) -> str:
    """What JSON calls a value's type."""
    return _JSON_TYPES.get(type(value), "other")


class _Untitled(GenerateJsonSchema):
    # A field's title would be its name again.
    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def json_schema(kind: str, version: int, kinds: Kinds = KINDS) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a kind's body, with its examples. Raises KindUnknown."""
    found = find(kind, version, kinds)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:seci:kind:{kind}:{version}",
        **found.model.model_json_schema(schema_generator=_Untitled),
        "examples": [dict(example) for example in found.examples],
    }


_OF_FIELD: Final = re.compile(r"(?P<field>[a-z_.0-9]+): (?P<wanted>.+)")


def _field_errors(error: ValidationError, body: Any, within: str = "") -> tuple[FieldError, ...]:
    found = error.errors(include_url=False)
    # A list whose items are wrong is called too short as well, as if it had none.
    inside = {item["loc"][:-depth] for item in found for depth in range(1, len(item["loc"]))}
    kept = (item for item in found if not (item["type"] == "too_short" and item["loc"] in inside))
    return tuple(_field_error(item, [*filter(None, [within]), *_way(item["loc"], body)]) for item in kept)


def _way(location: tuple[int | str, ...], body: Any) -> Iterator[str]:
    # Where several models are possible, pydantic names the one that it took, and the body has no such level.
    value = body
    for step in location:
        if isinstance(value, dict) and step not in value and value.get("type") == step:
            continue
        yield str(step)
        inside = step in value if isinstance(value, dict) else isinstance(value, list | tuple)
        value = value[step] if inside else None


def _field_error(item: ErrorDetails, way: list[str]) -> FieldError:
    # The found value is content and never goes into an error: only its type does.
    wanted, found = wording.wanted(item), json_type(item["input"])
    match item["type"]:
        case "extra_forbidden":
            wanted = "is not a field of this kind"
        case "missing":
            found = "nothing"
        case "union_tag_invalid":
            # What pydantic says repeats the value.
            about = item["ctx"]
            way = [*way, about["discriminator"].strip("'")]
        case "union_tag_not_found":
            way, found = [*way, item["ctx"]["discriminator"].strip("'")], "nothing"
        case "value_error" if (told := _OF_FIELD.match(item["msg"].removeprefix("Value error, "))) is not None:
            # Of a model that looks at several of its fields.
            way, wanted = [*way, told["field"]], wording.behind_it(told["wanted"])
            found = _found_at(item["input"], told["field"])
    return FieldError(".".join(way) or "body", wanted, found)


def _found_at(value: Any, way: str) -> str:
    for step in way.split("."):
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return "nothing"
    return json_type(value)


def _check_nesting(body: Any) -> None:
    # What is nested deeper cannot be handed on by every JSON writer, pydantic's among them, and 1e999 by none.
    level: list[Any] = [[body]]
    for _ in range(MAX_DEPTH + 1):
        within: list[Any] = []
        for value in level:
            for item in value.values() if type(value) is dict else value:
                kind = type(item)
                if kind is dict or kind is list:
                    within.append(item)
                elif kind is float and math.isinf(item):
                    raise ValueError("a number is too large")
        if not within:
            return
        level = within
    raise ValueError(f"nested more than {MAX_DEPTH} deep")
