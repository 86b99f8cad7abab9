"""The one encoding of everything signed or hashed: deterministic CBOR (RFC 8949 section 4.2.1).

A decoder accepts only what the encoder would have written, so that two different byte
strings never mean the same thing.
"""

from io import BytesIO
from typing import Any

import cbor2


class EncodingRefused(ValueError):
    """The bytes are not CBOR, not deterministic, or have trailing bytes. Code `encoding_refused`."""

    code = "encoding_refused"


def encode(value: object) -> bytes:
    """Deterministic CBOR of maps with text keys, lists, text, bytes, integers, booleans and null."""
    return cbor2.dumps(value, canonical=True)


def decode(data: bytes) -> Any:
    """The value of one deterministic CBOR item. Raises EncodingRefused."""
    try:
        value = cbor2.loads(data)
        again = cbor2.dumps(value, canonical=True)
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError, EOFError) as error:
        raise EncodingRefused(f"not a CBOR item: {type(error).__name__}") from error
    if again != data:
        raise EncodingRefused("not deterministic CBOR (RFC 8949 section 4.2.1), or bytes follow the item")
    return value


def decode_item(data: bytes) -> Any:
    """The value of exactly one CBOR item, in any well-formed encoding. Raises EncodingRefused."""
    stream = BytesIO(data)
    try:
        value = cbor2.CBORDecoder(stream).decode()
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError, EOFError) as error:
        raise EncodingRefused(f"not a CBOR item: {type(error).__name__}") from error
    if stream.tell() != len(data):
        raise EncodingRefused("bytes follow the CBOR item")
    return value
