"""Whether a body's schema may change within its version: only by a new optional field of an object.

An older node then keeps the field unread, and a newer one does not miss it. Everything else is a break, also what looks
like more freedom: a new value of an enumeration is refused by all nodes that were there before.
"""

from collections.abc import Iterator
from typing import Any, Final

# What a schema says to people only.
_WORDS: Final = frozenset({"$id", "$schema", "$defs", "title", "description", "examples", "default"})
# What holds a schema of its own, and what holds a list of them.
_ONE: Final = ("items", "additionalProperties", "propertyNames", "contains")
_SEVERAL: Final = ("anyOf", "oneOf", "allOf", "prefixItems")
_READ: Final = {*_ONE, *_SEVERAL, "properties", "required", "$ref", "discriminator", "enum"}

Schema = dict[str, Any]


def breaks(old: Schema, new: Schema) -> tuple[str, ...]:
    """What of `new`, a JSON Schema as pydantic writes it, breaks with `old`: a line each, with the field's place."""
    return tuple(dict.fromkeys(_Comparison(old, new).of(old, new, "body")))


class _Comparison:
    # Definitions may be recursive: a pair of them is looked at once.
    def __init__(self, old: Schema, new: Schema) -> None:
        self._old = old.get("$defs", {})
        self._new = new.get("$defs", {})
        self._seen: set[tuple[str, str]] = set()

    def of(self, old: Any, new: Any, at: str) -> Iterator[str]:
        """The breaks between two schemas, either of which may be a reference."""
        if not (isinstance(old, dict) and isinstance(new, dict)):
            if old != new:
                yield f"{at}: was {_said(old)} and is {_said(new)}"
            return
        pair = (old.get("$ref", ""), new.get("$ref", ""))
        if all(pair):
            if pair in self._seen:
                return
            self._seen.add(pair)
        old, new = _followed(old, self._old), _followed(new, self._new)
        yield from _limits(old, new, at)
        yield from self._fields(old, new, at)
        for name in _ONE:
            if name in old and name in new:
                yield from self.of(old[name], new[name], f"{at}[]" if name == "items" else at)
            elif name in old or name in new:
                yield f"{at}: `{name}` was {_said(old.get(name))} and is {_said(new.get(name))}"
        for name in _SEVERAL:
            yield from self._alternatives(old.get(name, []), new.get(name, []), at)

    def _fields(self, old: Schema, new: Schema, at: str) -> Iterator[str]:
        before, after = old.get("properties", {}), new.get("properties", {})
        required = set(new.get("required", ())), set(old.get("required", ()))
        for name in before:
            if name not in after:
                yield f"{at}.{name}: was a field and is none"
                continue
            if (name in required[0]) != (name in required[1]):
                yield f"{at}.{name}: {'is required by now' if name in required[0] else 'is not required any more'}"
            yield from self.of(before[name], after[name], f"{at}.{name}")
        for name in after:
            if name not in before and name in required[0]:
                yield f"{at}.{name}: is new, and required"

    def _alternatives(self, old: list[Any], new: list[Any], at: str) -> Iterator[str]:
        if len(old) != len(new):
            yield f"{at}: had {len(old)} alternatives and has {len(new)}"
            return
        for before, after in zip(old, new, strict=True):
            yield from self.of(before, after, at)


def _limits(old: Schema, new: Schema, at: str) -> Iterator[str]:
    gone = sorted(set(map(str, old.get("enum", ()))) - set(map(str, new.get("enum", ()))))
    come = sorted(set(map(str, new.get("enum", ()))) - set(map(str, old.get("enum", ()))))
    if gone:
        yield f"{at}: may not be {', '.join(gone)} any more"
    if come:
        yield f"{at}: may be {', '.join(come)} by now, which older nodes refuse"
    for name in sorted((old.keys() | new.keys()) - _WORDS - _READ):
        if old.get(name) != new.get(name):
            yield f"{at}: `{name}` was {_said(old.get(name))} and is {_said(new.get(name))}"


def _followed(schema: Schema, definitions: Schema) -> Schema:
    reference = schema.get("$ref")
    return schema if reference is None else definitions[reference.removeprefix("#/$defs/")]


def _said(value: Any) -> str:
    return "nothing" if value is None else repr(value)
