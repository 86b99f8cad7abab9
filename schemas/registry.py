"""The registry of kinds: from a kind's name and version to the model of its body.

Adding an optional field to a model keeps its version; any other change needs a new one.
Bodies travel as UTF-8 JSON.
"""

import json
from dataclasses import dataclass
from types import MappingProxyType, NoneType
from typing import Any, Final

from pydantic import ValidationError

from schemas.kinds.common import Body
from schemas.kinds.drugs import DrugsSeizure
from schemas.kinds.exchange import Alert, Reply, Request

KINDS: Final = MappingProxyType[tuple[str, int], type[Body]](
    {
        ("alert", 1): Alert,
        ("request", 1): Request,
        ("reply", 1): Reply,
        ("drugs.seizure", 1): DrugsSeizure,
    }
)


MAX_DEPTH: Final = 64


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


def model(kind: str, version: int) -> type[Body]:
    """The model of a kind. Raises KindUnknown, naming the kinds there are."""
    try:
        return KINDS[kind, version]
    except KeyError:
        known = ", ".join(f"{name}/{number}" for name, number in sorted(KINDS))
        raise KindUnknown(f"kind {kind}/{version} is not known; known are {known}") from None


def check_kind(kind: str) -> None:
    """Raises KindUnknown, naming the kinds there are, if there is none of this name in any version."""
    known = sorted({name for name, _ in KINDS})
    if kind not in known:
        raise KindUnknown(f"kind {kind[:40]!r} is not known; known are {', '.join(known)}")


def body_bytes(kind: str, version: int, body: Any) -> bytes:
    """The UTF-8 JSON of a sender's body, validated strictly. Raises KindUnknown, BodyInvalid."""
    try:
        valid = model(kind, version).model_validate(body)
    except ValidationError as error:
        raise BodyInvalid(kind, _field_errors(error)) from error
    return valid.model_dump_json(exclude_none=True, exclude_unset=True).encode()


def read_body(kind: str, version: int, data: bytes) -> dict[str, Any]:
    """The body a recipient got, as JSON values, unknown fields kept (the sender may be newer).

    Raises KindUnknown, BodyInvalid.
    """
    found_model = model(kind, version)
    try:
        body = json.loads(data.decode())
        _check_depth(body)
        # NaN, infinity and lone surrogates would pass json.loads, and be no JSON when handed on.
        json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
        found_model.model_validate(body)
    except ValidationError as error:
        serious = tuple(item for item in _field_errors(error) if item.wanted != _UNKNOWN_FIELD)
        if serious:
            raise BodyInvalid(kind, serious) from error
    except (ValueError, RecursionError) as error:
        raise BodyInvalid(kind, (FieldError("body", "must be UTF-8 JSON", "other bytes"),)) from error
    if not isinstance(body, dict):
        raise BodyInvalid(kind, (FieldError("body", "must be a JSON object", json_type(body)),))
    return body


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


def json_schema(kind: str, version: int) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a kind's body. Raises KindUnknown."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **model(kind, version).model_json_schema(),
    }


_UNKNOWN_FIELD: Final = "is not a field of this kind"


def _field_errors(error: ValidationError) -> tuple[FieldError, ...]:
    # The found value is content and never goes into an error: only its type does.
    return tuple(
        FieldError(
            ".".join(str(part) for part in item["loc"]) or "body",
            _UNKNOWN_FIELD if item["type"] == "extra_forbidden" else item["msg"],
            "nothing" if item["type"] == "missing" else json_type(item["input"]),
        )
        for item in error.errors(include_url=False)
    )


def _check_depth(body: Any) -> None:
    # What is nested deeper cannot be handed on by every JSON writer, pydantic's among them.
    level = [body]
    for _ in range(MAX_DEPTH):
        level = [
            item
            for value in level
            if isinstance(value, dict | list)
            for item in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return
    raise ValueError(f"nested more than {MAX_DEPTH} deep")
