"""From valid bytes to hostile ones: bits, pieces, and the values inside CBOR and JSON."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Any

import cbor2

Mutation = Callable[[bytes, Random], bytes]
LONGEST = 64 * 1024


@dataclass(frozen=True)
class Raw:
    """Encoded bytes that stand where a value should, well formed or not."""

    data: bytes


@dataclass
class Nested:
    """A byte string that is CBOR itself."""

    item: Any


RAW_CBOR = (
    b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff",  # an array said to have 2**64 - 1 items
    b"\xbb\x7f\xff\xff\xff\xff\xff\xff\xff",
    b"\x5b\x00\x00\x00\x00\x7f\xff\xff\xff",
    b"\x7b\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\x81" * 2000,
    b"\x81" * 900 + b"\x01",
    b"\xa1\x61a" * 900 + b"\x01",
    b"\xd2" * 900 + b"\x01",
    b"\x9a\x00\x01\x00\x00" + b"\xa0" * 65_536,
    b"\x9a\x00\x01\x00\x00" + b"\xd2\x80" * 65_536,
    b"\xa2\x61a\x01\x61a\x02",
    b"\x9f\x01\xff",
    b"\x5f\x41a\x41b\xff",
    b"\x61\xff",
    b"\xf9\x7e\x00",
    b"\xfb\x7f\xef\xff\xff\xff\xff\xff\xff",
    b"\xf7",
    b"\xe0",
    b"\xf8\xff",
    b"\xff",
    b"\x1c",
    b"\xc2\x59\x04\x00" + b"\xff" * 1024,
    b"\xc1\xfb\x7f\xef\xff\xff\xff\xff\xff\xff",
    b"\xd8\x23\x67(a+)+$!!",
    b"\xd8\x1c\x81\xd8\x1d\x00",
    b"\xa1\x81\x01\x02",
    b"\xa1\xf5\x01",
)
RAW_JSON = (
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"9" * 5000,
    b"1" + b"0" * 400,
    b"[" * 2000,
    b"[" * 150 + b"]" * 150,
    b'{"a":' * 150 + b"1" + b"}" * 150,
    b'{"a":1,"a":2}',
    b'"\\ud800"',
    b'"\\u0000"',
    b'"\xff"',
    b"\xef\xbb\xbf1",
    b"1.",
    b"-0",
    b"tru",
)
VALUES: tuple[Any, ...] = (
    *(0, 1, -1, 18, 23, 24, 255, 2**31, 2**53, 2**63 - 1, 2**63, 2**64 - 1, -(2**63), -(2**64), 253_402_300_799_999),
    *(None, True, False, 1.5, float("inf")),
    *("", "a", "ro", "bg", "zz", "\x00", "\n\n", "\u202e", "\U0010ffff", "a" * 5000, "2026-01-01T00:00:00Z", "=="),
    *([], {}, [[]], [1] * 300, {"a": 1}, {1: 2}),
)
BYTES: tuple[Any, ...] = (
    b"",
    b"\x00",
    bytes(16),
    bytes(32),
    bytes(48),
    bytes(64),
    b"\xff" * 33,
    bytes(1120),
    bytes(5000),
)


def bits(data: bytes, random: Random) -> bytes:
    """Some bits flipped, bytes overwritten, a piece cut out, doubled, moved, or made of nothing."""
    changed = bytearray(data)
    for _ in range(random.randint(1, 4)):
        place = random.randint(0, len(changed))
        length = random.choice((1, 1, 2, 4, 16, 200))
        piece = bytes(changed[place : place + length])
        match random.randint(0, 6):
            case 0 if place < len(changed):
                changed[place] ^= 1 << random.randint(0, 7)
            case 1:
                changed[place : place + 1] = bytes([random.choice((0, 1, 0x1B, 0x5F, 0x7F, 0x80, 0x9F, 0xFB, 0xFF))])
            case 2:
                del changed[place : place + length]
            case 3:
                changed[place:place] = piece * random.choice((1, 2, 50))
            case 4:
                del changed[place:]
            case 5:
                other = random.randint(0, len(changed))
                changed[other:other] = piece
            case _:
                changed[place:place] = random.randbytes(length)
    return bytes(changed[:LONGEST])


def cbor(data: bytes, random: Random) -> bytes:
    """Some values inside the CBOR item changed for others; everything around them stays well formed."""
    return _encode_cbor(_mutated(_parse_cbor(data), random, (*VALUES, *BYTES), RAW_CBOR))


def in_json(data: bytes, random: Random) -> bytes:
    """Some values inside the JSON text changed for others."""
    return _encode_json(_mutated(json.loads(data), random, VALUES, RAW_JSON))


def _mutated(tree: Any, random: Random, values: tuple[Any, ...], raw: tuple[bytes, ...]) -> Any:
    top = [_copied(tree)]
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        holder, key = random.choice(_places(top))
        _change(holder, key, random, values, raw)
    return top[0]


def _places(node: Any) -> list[tuple[Any, Any]]:
    """Every place of a value in a tree: what holds it, and under which key."""
    match node:
        case list():
            keys: list[Any] = list(range(len(node)))
        case dict():
            keys = list(node)
        case Nested():
            return [(node, "item"), *_places(node.item)]
        case _:
            return []
    return [place for key in keys for place in ((node, key), *_places(node[key]))]


def _change(holder: Any, key: Any, random: Random, values: tuple[Any, ...], raw: tuple[bytes, ...]) -> None:
    if isinstance(holder, Nested):
        holder.item = Raw(random.choice(raw)) if random.random() < 0.5 else [holder.item]
        return
    old = holder[key]
    match random.randint(0, 7):
        case 0:
            holder[key] = Raw(random.choice(raw))
        case 1 | 2:
            holder[key] = _copied(random.choice(values))
        case 3 if isinstance(holder, dict) or len(holder) > 1:
            del holder[key]
        case 4:
            other, place = random.choice(_places(holder))
            holder[key] = _copied(other.item if isinstance(other, Nested) else other[place])
        case 5 if isinstance(holder, dict):
            holder[random.choice(("v", "x", "", key))] = _copied(old)
        case 5:
            holder[key:key] = [_copied(old)] * random.choice((1, 2, 70))
        case _:
            holder[key] = _bent(old, random)


def _copied(node: Any) -> Any:
    match node:
        case Nested():
            return Nested(_copied(node.item))
        case list():
            return type(node)(map(_copied, node))
        case dict():
            return {key: _copied(item) for key, item in node.items()}
        case _:
            return node


def _bent(value: Any, random: Random) -> Any:
    match value:
        case bool() | None:
            return random.choice((None, True, False, 0, ""))
        case int():
            return value + random.choice((-1, 1, 256, -(2**32), 2**40))
        case str():
            return bits(value.encode(errors="replace"), random).decode(errors="replace")
        case bytes():
            return bits(value, random)
        case _:
            return [value]


@lru_cache(maxsize=100)
def _parse_cbor(data: bytes) -> Any:
    return _opened(cbor2.loads(data))


def _opened(value: Any) -> Any:
    match value:
        case cbor2.CBORTag():
            # As a list, so that tag and value can be changed like other values.
            return Tagged([value.tag, _opened(value.value)])
        case list() | tuple():
            return [_opened(item) for item in value]
        case bytes() if len(value) > 1:
            try:
                inner = cbor2.loads(value)
            except (cbor2.CBORError, ValueError, TypeError, EOFError):
                return value
            return Nested(_opened(inner)) if isinstance(inner, list | dict | cbor2.CBORTag) else value
        case dict() | cbor2.frozendict():
            return {key: _opened(item) for key, item in value.items()}
        case _:
            return value


class Tagged(list[Any]):
    """A tag's number and its value."""


def _encode_cbor(node: Any) -> bytes:
    match node:
        case Raw():
            return node.data
        case Nested():
            inner = _encode_cbor(node.item)
            return _head(2, len(inner)) + inner
        case Tagged() if len(node) == 2 and isinstance(node[0], int) and 0 <= node[0] < 2**64:
            return _head(6, node[0]) + _encode_cbor(node[1])
        case list():
            return _head(4, len(node)) + b"".join(map(_encode_cbor, node))
        case dict():
            pairs = sorted((cbor2.dumps(key), _encode_cbor(item)) for key, item in node.items())
            # Shorter keys first, as the one encoding has them: what is refused shall be refused for its value.
            pairs.sort(key=lambda pair: len(pair[0]))
            return _head(5, len(node)) + b"".join(key + item for key, item in pairs)
        case _:
            return cbor2.dumps(node, canonical=True)


def _head(major: int, argument: int) -> bytes:
    # The head of an unsigned integer, under another major type.
    head = bytearray(cbor2.dumps(argument))
    head[0] |= major << 5
    return bytes(head)


def _encode_json(node: Any) -> bytes:
    match node:
        case Raw():
            return node.data
        case list():
            return b"[" + b",".join(map(_encode_json, node)) + b"]"
        case dict():
            return (
                b"{" + b",".join(json.dumps(str(k)).encode() + b":" + _encode_json(v) for k, v in node.items()) + b"}"
            )
        case _:
            return json.dumps(node).encode()
