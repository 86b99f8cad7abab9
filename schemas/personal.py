"""Which kinds may hold data of persons: read off their models, so that a new field cannot be forgotten here."""

from collections.abc import Iterator
from typing import Any, Final, get_args

from pydantic import BaseModel

from schemas.kinds.exchange import Content
from schemas.persons import Document, Person
from schemas.registry import KINDS

# Content is the body of any other kind. A travel document is somebody's.
_OF_PERSONS: Final = frozenset({Person, Document, Content})


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def holds_persons(model: type[BaseModel]) -> bool:
    """Whether a body of this model has room for a person: in one of its fields, or in a part of one."""
    seen, waiting = set[type[BaseModel]](), [model]
    while waiting:
        found = waiting.pop()
        if found in _OF_PERSONS:
            return True
        if found not in seen:
            seen.add(found)
            waiting += [part for field in found.model_fields.values() for part in _models(field.annotation)]
    return False


# By name, if any version of it does, or its rule says that it is about persons.
PERSONAL_KINDS: Final = frozenset(
    name for (name, _), kind in KINDS.items() if kind.rule.personal or holds_persons(kind.model)
)
