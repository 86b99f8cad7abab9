"""The one encoding of everything signed or hashed: deterministic CBOR (RFC 8949 section 4.2.1).

A decoder accepts only what the encoder would have written, so that two different byte
strings never mean the same thing.
"""

from collections.abc import Mapping
from io import BytesIO
from typing import Any, Final

import cbor2

# An acknowledgement of a thousand messages has 9 011, keys of maps included.
MOST_ITEMS: Final = 12_000


class EncodingRefused(ValueError):
    """The bytes are not CBOR, not deterministic, or have trailing bytes. Code `encoding_refused`."""

    code = "encoding_refused"


def _refuse_tag(value: object, immutable: bool) -> Any:
    raise ValueError("a tag with a meaning of its own")


def _check_keys(fields: Mapping[Any, Any], immutable: bool) -> Any:
    # 1.0 and True equal 1 in Python: a map with such a key would be read as one with the key 1.
    if any(type(key) is not str and type(key) is not int for key in fields):
        raise ValueError("a map key that is neither text nor an integer")
    return fields


# The library makes dates, regular expressions, bignums, cyclic lists and more of these tags. This protocol has
# none of them, and a stranger's bytes must not choose what is built here.
REFUSED_TAGS: Final = dict.fromkeys(
    (0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799), _refuse_tag
)

_STRINGS: Final = (2, 3)


def encode(value: object) -> bytes:
    """Deterministic CBOR of maps with text or integer keys, lists, text, bytes, integers, booleans and null."""
    return cbor2.dumps(value, canonical=True)


def encode_in_order(value: object) -> bytes:
    """The same, quicker, of maps whose keys are in the order of RFC 8949 section 4.2.1 already."""
    return cbor2.dumps(value)


def decode(data: bytes, most_items: int = MOST_ITEMS) -> Any:
    """The value of one deterministic CBOR item of at most `most_items` in all. Raises EncodingRefused."""
    _check_items(data, most_items)
    try:
        value = cbor2.loads(data, semantic_decoders=REFUSED_TAGS, object_hook=_check_keys)
        again = cbor2.dumps(value, canonical=True)
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError, EOFError) as error:
        raise EncodingRefused("not a CBOR item") from error
    if again != data:
        raise EncodingRefused("not deterministic CBOR (RFC 8949 section 4.2.1), or bytes follow the item")
    return value


def decode_item(data: bytes, most_items: int = MOST_ITEMS) -> Any:
    """The same, but in any well-formed encoding. Raises EncodingRefused."""
    _check_items(data, most_items)
    stream = BytesIO(data)
    try:
        value = cbor2.CBORDecoder(stream, semantic_decoders=REFUSED_TAGS, object_hook=_check_keys).decode()
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError, EOFError) as error:
        raise EncodingRefused("not a CBOR item") from error
    if stream.tell() != len(data):
        raise EncodingRefused("bytes follow the CBOR item")
    return value


def _check_items(data: bytes, most: int) -> None:
    # A megabyte of empty maps takes seconds to build and to encode again. So items are counted first, head after
    # head in the order of the bytes; what is wrong with them otherwise is for the decoder to say.
    place, end, items = 0, len(data), 0
    while place < end:
        items += 1
        if items > most:
            raise EncodingRefused(f"more than {most} CBOR items")
        major, argument = data[place] >> 5, data[place] & 31
        place += 1
        if 24 <= argument <= 27:
            size = 1 << argument - 24
            argument = int.from_bytes(data[place : place + size])
            place += size
        if major in _STRINGS:
            place += argument
