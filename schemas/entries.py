"""Reading very many ledger entries: as `Entry.from_bytes` judges them, at a tenth of its price.

An entry is judged field by field, and most fields say what another entry has said before. So what was in an entry
that passed is remembered, field by field, and an entry of which everything was seen before passes too. All others are
for `Entry.from_bytes` to judge: what is an entry is said there and nowhere else.

Most entries differ from one before them in nothing but ids, digests and times, which stand at the same places and have
any bytes. Such a one is not even decoded: it is in the same mould.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

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


# Of so many entries that differ in more than ids, digests and times the bytes are remembered, if they are small, and of
# one length so many moulds are tried: beyond that, decoding costs less.
MOST_CAST: Final = 20_000
SMALL: Final = 600
MOULDS: Final = 8
# So many may be remembered in vain; each that was not allows another. Who makes them all different gains nothing.
CREDIT: Final = 5_000
# From here on a time takes eight bytes.
_EIGHT_BYTES: Final = 1 << 32

# Any text is allowed in these, and any time in those.
_TEXTS: Final = _fields_of(str | None)
_TIMES: Final = frozenset({"at"}) | _fields_of(Millis | None)


@dataclass(frozen=True, slots=True)
class _Mould:
    """Where in an entry's bytes ids and digests stand, and times of eight bytes; `cast` has what was around them."""

    own: tuple[tuple[str, int, int], ...]
    times: tuple[tuple[str, int, int], ...]
    around: tuple[slice, ...]
    cast: dict[bytes, dict[str, Any]] = field(default_factory=dict, compare=False)

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Self:
        """That of an entry with these fields, in the order of its bytes."""
        own, times, around, place = list[tuple[str, int, int]](), list[tuple[str, int, int]](), list[slice](), 0
        end = 1  # of a map of less than 24 pairs
        for name, value in fields.items():
            end += 1 + len(name) + _size(value)
            if type(value) is bytes:
                start = end - len(value)
                own.append((name, start, end))
            elif name in _TIMES and value >= _EIGHT_BYTES:
                start = end - 8
                times.append((name, start, end))
            else:
                continue
            around.append(slice(place, start))
            place = end
        return cls(tuple(own), tuple(times), (*around, slice(place, end)))

    def fits(self, data: bytes, fields: Mapping[str, Any]) -> bool:
        """Whether the bytes of these fields, and no others, stand where they were counted to be."""
        return (
            self.around[-1].stop == len(data)
            and all(data[start:end] == fields[name] for name, start, end in self.own)
            and all(int.from_bytes(data[start:end]) == fields[name] for name, start, end in self.times)
        )

    def rest(self, data: bytes) -> bytes:
        """All but that."""
        return b"".join([data[part] for part in self.around])

    def read(self, data: bytes) -> dict[str, Any] | None:
        """The fields, if it is in this mould."""
        said = self.cast.get(self.rest(data))
        if said is None:
            return None
        fields = said.copy()
        for name, start, end in self.times:
            time = int.from_bytes(data[start:end])
            if not _EIGHT_BYTES <= time <= LAST_MILLI:
                return None
            fields[name] = time
        for name, start, end in self.own:
            fields[name] = data[start:end]
        return fields


def _size(value: Any) -> int:
    """How many bytes it takes in CBOR, with its head (RFC 8949 section 3); nothing in an entry has 2^32 items."""
    kind = type(value)
    if kind is int:
        return _head(value if value >= 0 else -1 - value)
    if kind is list:
        return _head(len(value)) + sum(map(_size, value))
    size = len(value.encode() if kind is str else value)
    return _head(size) + size


def _head(number: int) -> int:
    return 1 if number < 24 else 2 if number < 1 << 8 else 3 if number < 1 << 16 else 5 if number < 1 << 32 else 9


@dataclass(slots=True)
class EntryReader:
    """What was in entries that passed. Not for several threads at once."""

    _shapes: set[tuple[str, ...]] = field(default_factory=set)
    _seen: set[tuple[object, ...]] = field(default_factory=set)
    # By the length of the entries.
    _moulds: dict[int, list[_Mould]] = field(default_factory=dict)
    _cast: int = 0
    _credit: int = CREDIT

    def read(self, data: bytes) -> Mapping[str, Any]:
        """The entry's fields as they are on the wire: ids are 16 bytes. Nothing in them may be changed.

        Raises ControlRefused.
        """
        for mould in self._moulds.get(len(data), ()):
            cast = mould.read(data)
            if cast is not None:
                self._credit = min(self._credit + 1, CREDIT)
                return cast
        fields = self._judged(data)
        # What is said in words is said once.
        if self._credit and len(data) <= SMALL and "detail" not in fields and "erased" not in fields:
            self._credit -= 1
            self._cast_in(data, dict(fields))
        return fields

    def _cast_in(self, data: bytes, fields: dict[str, Any]) -> None:
        if self._cast >= MOST_CAST:
            self._moulds.clear()
            self._cast = 0
        mould, moulds = _Mould.of(fields), self._moulds.setdefault(len(data), [])
        if not mould.fits(data, fields):
            return
        if mould in moulds:
            mould = moulds[moulds.index(mould)]
        elif len(moulds) < MOULDS:
            moulds.append(mould)
        else:
            return
        mould.cast[mould.rest(data)] = fields
        self._cast += 1

    def _judged(self, data: bytes) -> Mapping[str, Any]:
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
