"""AMQP properties that any node may fill with any bytes must not stop the hub.

pamqp raises on a property that is no UTF-8 or no possible time; aiormq's reader then closes the
connection, the broker delivers the message again, and so for ever: a poison pill that also counts
against the delivery limit of every message beside it. The bytes of a message decide here, not its
properties; so what does not decode is replaced, and the message goes on to be refused in the ordinary way.
"""

from collections.abc import Callable
from typing import Any

from pamqp import decode

Decoder = Callable[[bytes], tuple[int, Any]]


def decode_tolerantly() -> None:
    """Makes pamqp's decoding in this process tolerant. Safe to repeat."""
    decode.METHODS["shortstr"] = _short_string
    decode.METHODS["table"] = _table
    decode.METHODS["timestamp"] = _timestamp


def _short_string(value: bytes) -> tuple[int, str]:
    length = value[0]
    return length + 1, bytes(value[1 : length + 1]).decode(errors="backslashreplace")


def _table(value: bytes) -> tuple[int, Any]:
    try:
        return decode.field_table(value)
    except (ValueError, OverflowError, RecursionError, KeyError, IndexError):
        return 4 + int.from_bytes(value[:4]), {}


def _timestamp(value: bytes) -> tuple[int, Any]:
    try:
        return decode.timestamp(value)
    except (ValueError, OverflowError, OSError):
        return 8, None
