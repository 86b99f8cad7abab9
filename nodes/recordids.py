"""The id of a message made of a national system's record: always the same one, so that a record is sent once.

An id tells the hub nothing of the record: 74 of its bits are an HMAC under a key that only this node has. The hub
could else try which record numbers, or plates, give the ids it sees.
"""

import hmac
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from crypto.keyfile import KEY_SIZE
from nodes.mapping import Mapping

_INFO: Final = b"SECI1 ids of records"


def id_key(storage: bytes) -> bytes:
    """The key (32 bytes) under which a node's ids are made: HKDF-SHA256 of what closes its store.

    It lasts as long as the store does, which is what knows what was sent.
    """
    return HKDF(hashes.SHA256(), KEY_SIZE, None, _INFO).derive(storage)


def record_id(key: bytes, mapping: Mapping, record: Sequence[str]) -> UUID:
    """A UUID version 7 (RFC 9562): the millisecond in which the day `since` begins, then bits of an HMAC-SHA256.

    The time is the mapping's and not the record's: the id is stable, and does not say when something happened.
    """
    since = mapping.since
    millis = int(datetime(since.year, since.month, since.day, tzinfo=UTC).timestamp() * 1000)
    named = json.dumps([mapping.name, since.isoformat(), *record]).encode()
    bits = int.from_bytes(hmac.digest(key, named, "sha256")[:10], "big")
    bits = bits & ~(0xF << 76) | 0x7 << 76
    bits = bits & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=millis << 80 | bits)
