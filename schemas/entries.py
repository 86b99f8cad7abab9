"""Reading very many ledger entries: as `Entry.from_bytes` judges them, at a quarter of its price.

An entry is judged field by field, and most fields say what another entry has said before. So what was in an entry
that passed is remembered, field by field, and an entry of which everything was seen before passes too. All others are
for `Entry.from_bytes` to judge: what is an entry is said there and nowhere else.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import cbor2

from schemas import cbor
from schemas.control import ControlRefused, Entry
from schemas.header import LAST_MILLI, Millis

# What is remembered is forgotten when it is more than this: names and codes are few, so somebody makes them up.
MOST_SEEN: Final = 100_000
# What is larger is left to `Entry.from_bytes`, which counts its items first.
_LARGE: Final = 4096


def _fields_of(*kinds: object) -> frozenset[str]:
    return frozenset(name for name, found in Entry.model_fields.items() if found.annotation in kinds)


# Any text is allowed in these, and any time in those.
_TEXTS: Final = _fields_of(str | None)
_TIMES: Final = frozenset({"at"}) | _fields_of(Millis | None)


@dataclass(slots=True)
class EntryReader:
    """What was in entries that passed. Not for several threads at once."""

    _shapes: set[tuple[str, ...]] = field(default_factory=set)
    _seen: set[tuple[object, ...]] = field(default_factory=set)

    def read(self, data: bytes) -> Mapping[str, Any]:
        """The entry's fields as they are on the wire: ids are 16 bytes. Raises ControlRefused."""
        fields = _decoded(data) if len(data) <= _LARGE else None
        # Whether a list of indices may be depends on all of it, not on each item.
        if fields is None or "erased" in fields:
            Entry.from_bytes(data)
            found: Mapping[str, Any] = cbor.decode(data)
            return found
        try:
            if tuple(fields) in self._shapes and self._seen.issuperset(_tokens(fields)):
                return fields
        except TypeError as error:
            # What cannot be remembered is in no entry.
            Entry.from_bytes(data)
            raise ControlRefused("entry: a field that no entry has") from error
        Entry.from_bytes(data)
        if len(self._seen) + len(self._shapes) > MOST_SEEN:
            self._seen.clear()
            self._shapes.clear()
        self._shapes.add(tuple(fields))
        self._seen.update(_tokens(fields))
        return fields


def _decoded(data: bytes) -> dict[str, Any] | None:
    # What is encoded again to the same bytes is deterministic but for the order of keys, and that is the shape's.
    try:
        fields = cbor2.loads(data, semantic_decoders=cbor.REFUSED_TAGS)
        return fields if type(fields) is dict and cbor2.dumps(fields) == data else None
    except Exception:
        # Whatever is wrong, `Entry.from_bytes` says it.
        return None


def _tokens(fields: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    """What the entry says, so that two of the same tokens are both allowed in that field or neither is."""
    for name, value in fields.items():
        kind = type(value)
        if kind is bytes:
            yield name, len(value)
        elif (kind is str and name in _TEXTS) or (kind is int and name in _TIMES and 0 <= value <= LAST_MILLI):
            yield name, kind
        elif kind is list:
            yield name, list
            for item in value:
                yield name, list, type(item), item
        else:
            yield name, kind, value
