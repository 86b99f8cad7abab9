"""Random bodies of every kind, made from its JSON Schema; rules that a schema cannot say are mended."""

import re
from collections.abc import Callable, Iterator
from datetime import date
from functools import cache
from typing import Any

from hypothesis import strategies as st

from schemas.registry import find, json_schema

Schema = dict[str, Any]
TEXT = st.characters(exclude_categories=["Cs"])
DAY = re.compile(r"^(\d{4}-\d{2}-)(29|30|31)$")
MOMENT = re.compile(r"^\d{4}-\d{2}-\d{2}T(?=\d{2}:)")
VIN = "WVWZZZ1JZXW000001"


@cache
def bodies(kind: str, version: int) -> st.SearchStrategy[dict[str, Any]]:
    """Valid bodies of a kind."""
    schema = json_schema(kind, version)
    example = dict(find(kind, version).examples[0])
    return _Strategies(schema).of(schema).map(lambda body: mended(kind, body, example))


class _Strategies:
    """Strategies for the parts of one schema; definitions may be recursive."""

    def __init__(self, schema: Schema) -> None:
        self._definitions = {
            name: st.deferred(lambda inner=inner: self.of(inner)) for name, inner in schema.get("$defs", {}).items()
        }

    def of(self, schema: Schema) -> st.SearchStrategy[Any]:
        """What the schema allows, small."""
        if "$ref" in schema:
            return self._definitions[schema["$ref"].removeprefix("#/$defs/")]
        if "const" in schema:
            return st.just(schema["const"])
        if "enum" in schema:
            return st.sampled_from(schema["enum"])
        if "properties" in schema:
            return self.objects(schema)
        several = [item for item in schema.get("anyOf", schema.get("oneOf", ())) if item.get("type") != "null"]
        if {item.get("type") for item in several} == {"number", "string"}:
            # A decimal, either way.
            return st.integers(1, 99).map(str) | st.integers(1, 99)
        if several:
            return st.one_of([self.of(item) for item in several])
        return _KINDS_OF[schema["type"]](self, schema)

    def objects(self, schema: Schema) -> st.SearchStrategy[Any]:
        """All required fields and up to four others."""
        fields, required = schema.get("properties", {}), schema.get("required", ())
        optional = [name for name in fields if name not in required]
        # Once: a strategy of an expression takes long to make.
        values = {name: self.of(field) for name, field in fields.items()}

        @st.composite
        def build(draw: st.DrawFn) -> dict[str, Any]:
            chosen = draw(st.sets(st.sampled_from(optional), max_size=4)) if optional else set()
            return {name: draw(values[name]) for name in fields if name in required or name in chosen}

        return build()

    def lists(self, schema: Schema) -> st.SearchStrategy[Any]:
        """At most one item more than must be."""
        least = schema.get("minItems", 0)
        return st.lists(
            self.of(schema["items"]), min_size=least, max_size=min(least + 1, schema.get("maxItems", least + 1))
        )


def _strings(_: _Strategies, schema: Schema) -> st.SearchStrategy[Any]:
    if schema.get("format") == "date":
        return st.dates(date(1999, 1, 1), date(2030, 1, 1)).map(str)
    if schema.get("format") == "uuid":
        return st.uuids().map(str)
    if "pattern" in schema:
        # `$` would allow a newline behind; pydantic's does not.
        found = st.from_regex(re.compile(schema["pattern"], re.ASCII), fullmatch=True)
        most = schema.get("maxLength")
        return found if most is None else found.filter(lambda text: len(text) <= most)
    least = schema.get("minLength", 0)
    return st.text(TEXT, min_size=least, max_size=min(schema.get("maxLength", least + 9), least + 9))


def _numbers(_: _Strategies, schema: Schema) -> st.SearchStrategy[Any]:
    return st.integers(int(schema.get("minimum", 0)), int(schema.get("maximum", 1000)))


_KINDS_OF: dict[str, Callable[[_Strategies, Schema], st.SearchStrategy[Any]]] = {
    "object": _Strategies.objects,
    "array": _Strategies.lists,
    "string": _strings,
    "integer": _numbers,
    "number": _numbers,
    "boolean": lambda _strategies, _schema: st.booleans(),
}


def mended(kind: str, body: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
    """The body with its cross-field rules kept."""
    body = _within(body)
    for relation in body.get("relations", ()):
        relation |= {"source": "one", "target": "one"}
    for number, item in enumerate(_named(body)):
        item["id"] = f"e{number}"
    if "relations" in body:
        body["entities"] = [*body.get("entities", ()), {"type": "person", "id": "one"}]
    if "content" in body:
        body["content"] = example["content"]
    return _OF_KIND.get(kind, lambda found, _: found)(body, example)


def _named(value: Any) -> Iterator[dict[str, Any]]:
    """The objects in it that have an id of their own."""
    if isinstance(value, dict):
        if "id" in value and "type" in value:
            yield value
        for item in value.values():
            yield from _named(item)
    elif isinstance(value, list):
        for item in value:
            yield from _named(item)


def _within(value: Any) -> Any:
    if isinstance(value, list):
        return [_within(item) for item in value]
    if isinstance(value, str):
        return MOMENT.sub("2004-11-15T", DAY.sub(r"\g<1>28", value))
    if not isinstance(value, dict):
        return value
    value = {name: _within(item) for name, item in value.items()}
    if ("latitude" in value) != ("longitude" in value):
        value = {name: item for name, item in value.items() if name not in ("latitude", "longitude")}
    if value.get("type") == "person" and "names" in value:
        value["names"] = [{"full": "Θ", **name} for name in value["names"]]
    if "office" in value:
        value |= {"phone": "+40 21 303 6009", "email": "a@example.org"}
    # How a quantity is written must say the same as the quantity.
    value.pop("stated" if "quantity" in value or "value" in value else "", None)
    return value


def _vehicle(body: dict[str, Any], _: dict[str, Any]) -> dict[str, Any]:
    return body | {"vehicle": {"vin": VIN, **body["vehicle"]}}


def _account(body: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
    return body | {"account": body["account"] | {"iban": example["account"]["iban"]}}


def _firearms(body: dict[str, Any], _: dict[str, Any]) -> dict[str, Any]:
    return body | {"firearms": [{"serial_number": "1", **item} for item in body["firearms"]]}


def _precursors(body: dict[str, Any], _: dict[str, Any]) -> dict[str, Any]:
    return body | {"precursors": [{"name": "toluol", **item} for item in body["precursors"]]}


def _permission(body: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
    # Whom it may be handed on to is wanted for some uses only.
    return {"recipients": example["recipients"]} | body


def _reply(body: dict[str, Any], _: dict[str, Any]) -> dict[str, Any]:
    return body | {"reason": "none"}


def _operation(body: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in body.items() if name not in ("results", "report_by") and value != []}
    # A report has results or seizures.
    told = {name: example[name] for name in ("begins", "ends", "seizures") if name in example}
    return told | kept | {name: example[name] for name in ("begins", "ends")}


_OF_KIND: dict[str, Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]] = {
    "vehicle.stolen": _vehicle,
    "vehicle.hit": _vehicle,
    "finance.account": _account,
    "firearm.trace": _firearms,
    "precursor.alert": _precursors,
    "reply": _reply,
    "permission": _permission,
    "permission.request": _permission,
    "operation.plan": _operation,
    "operation.report": _operation,
}
