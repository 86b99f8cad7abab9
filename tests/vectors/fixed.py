"""What the vectors follow from: fixed keys, a fixed time, and bytes made from labels."""

import hashlib
from typing import Any, Final
from uuid import UUID

from crypto.keys import EncryptionKey, SigningKey

CREATED: Final = 1_100_476_800_000
HOUR: Final = 3_600_000
ORIGIN: Final = "ledger.seci.example"
Document = dict[str, Any]


def material(label: str, size: int = 32) -> bytes:
    """Bytes that follow from a label: the beginning of its SHA-256."""
    return hashlib.sha256(f"SECI test vector: {label}".encode()).digest()[:size]


SIGNERS: Final = {
    "ro": SigningKey.from_seed(material("signing key of ro")),
    "bg": SigningKey.from_seed(material("signing key of bg")),
    "tr": SigningKey.from_private_bytes(b"\x02" + material("signing key of tr")),
    "hub": SigningKey.from_seed(material("signing key of hub")),
}
ENCRYPTION: Final = {
    node: EncryptionKey.from_seed(material(f"encryption key of {node}")) for node in ("bg", "hu", "ro", "seci")
}


def identifier(number: int) -> UUID:
    """A UUID of version 7 at `CREATED`."""
    free = int.from_bytes(material(f"id {number}", 10))
    return UUID(int=CREATED << 80 | 7 << 76 | (free >> 4 & 0xFFF) << 64 | 2 << 62 | free & (1 << 62) - 1)


def readable(value: Any) -> Any:
    """A model's dump as JSON has it: bytes in hexadecimal, identifiers as text."""
    match value:
        case dict():
            return {name: readable(item) for name, item in value.items()}
        case list() | tuple():
            return [readable(item) for item in value]
        case bytes():
            return value.hex()
        case UUID():
            return str(value)
    return value
