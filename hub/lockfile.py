"""The lock store's file as bytes: two slots, written in turn and in place.

    4096 bytes      slot 0
    4096 bytes      slot 1

A slot is text, filled up with NUL:

    seci-lock/2 NUMBER      20 decimal digits; the greater one is the newer
    CHECKSUM                SHA-256 of the line above and of the body, 64 hexadecimal digits
    MARK                    64 bytes: the checksum once more if the slot is marked as committed, else `?`
    body                    see hub/lockstore.py

A slot whose checksum is not its content's was torn by a power failure, or never written: it does not count. Both
slots are on the disk from the beginning, so writing one allocates nothing: it works on a full disk, and its sync
waits for one page and for no journal. The size is that of a page and of the largest sector in use, so that a write
torn or done over by the disk does not reach the other slot. The mark is no part of the checksum: it is set later, by
a write of its own. A mark that names another checksum was meant for what stood in the slot before, and says nothing.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from hub.errors import LockStoreUnusable

SLOT: Final = 4096
SIZE: Final = 2 * SLOT
_NAME: Final = b"seci-lock/2 "
_DIGITS: Final = 20
_CHECKSUM_AT: Final = len(_NAME) + _DIGITS + 1
_HEX: Final = 64
_MARK_AT: Final = _CHECKSUM_AT + _HEX + 1
_BODY_AT: Final = _MARK_AT + _HEX + 1


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot that counts: which of the two, its number, what it says, and whether it is marked as committed."""

    place: int
    sequence: int
    body: bytes
    committed: bool = False

    @property
    def checksum(self) -> bytes:
        """64 hexadecimal digits."""
        return _checksum(self._first_line, self.body)

    @property
    def _first_line(self) -> bytes:
        return _NAME + b"%0*d" % (_DIGITS, self.sequence)

    def to_bytes(self) -> bytes:
        """All 4096. Raises LockStoreUnusable if the body is too long."""
        checksum = self.checksum
        text = b"\n".join((self._first_line, checksum, checksum if self.committed else b"?" * _HEX, self.body))
        if len(text) > SLOT:
            raise LockStoreUnusable(
                "the ledger's name is too long for a lock store", "shorten `log_origin` in hub.json"
            )
        return text.ljust(SLOT, b"\0")

    @classmethod
    def parse(cls, place: int, data: bytes) -> Self | None:
        """What `to_bytes` wrote, and `mark` perhaps; None if it is anything else."""
        first_line, checksum = data[: _CHECKSUM_AT - 1], data[_CHECKSUM_AT : _CHECKSUM_AT + _HEX]
        body = data[_BODY_AT:].partition(b"\0")[0]
        number = first_line.removeprefix(_NAME)
        if not first_line.startswith(_NAME) or checksum != _checksum(first_line, body) or not number.isdigit():
            return None
        return cls(place, int(number), body, data[_MARK_AT : _MARK_AT + _HEX] == checksum)


def _checksum(first_line: bytes, body: bytes) -> bytes:
    return hashlib.sha256(first_line + b"\n" + body).hexdigest().encode()


def fresh(slots: Sequence[Slot]) -> bytes:
    """A whole file with these slots; one that is not given is empty."""
    found = {slot.place: slot.to_bytes() for slot in slots}
    return b"".join(found.get(place, bytes(SLOT)) for place in (0, 1))


def read(descriptor: int) -> bytes:
    """The file's content, as `newest` takes it; of a larger file, its beginning. Raises OSError."""
    return os.pread(descriptor, SIZE + 1, 0)


def newest(data: bytes) -> Slot | None:
    """The newest slot that counts; None if there is none, or this is no such file."""
    if len(data) != SIZE:
        return None
    found = [(data[place * SLOT : (place + 1) * SLOT], place) for place in (0, 1)]
    # They begin alike, and then with their number: the newer one mostly counts, and only one checksum is computed.
    slots = (Slot.parse(place, slot) for slot, place in sorted(found, reverse=True))
    return next((slot for slot in slots if slot is not None), None)


def write(descriptor: int, slot: Slot) -> None:
    """Puts a slot in its place, durably. Raises OSError, LockStoreUnusable."""
    _put(descriptor, slot.to_bytes(), slot.place * SLOT)
    os.fdatasync(descriptor)


def mark(descriptor: int, slot: Slot) -> None:
    """Marks a slot as committed; it is on the disk after the next `write` at the latest. Raises OSError."""
    _put(descriptor, slot.checksum, slot.place * SLOT + _MARK_AT)


def _put(descriptor: int, data: bytes, at: int) -> None:
    if os.pwrite(descriptor, data, at) != len(data):
        raise OSError("the lock store was written in part")
