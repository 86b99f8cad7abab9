"""The handover: another key takes the place of the hub's signing key, from one size of the ledger on."""

from typing import Annotated, Final, Literal

from pydantic import Field

from schemas.control import Receipt, Wire
from schemas.header import Digest, Millis, RosterVersion
from schemas.witnessing import NoteText

# A key's type and its 32 bytes, as everywhere on the wire.
ED25519_SIZE: Final = 33
PublicKey = Annotated[bytes, Field(min_length=ED25519_SIZE, max_length=ED25519_SIZE)]


class Handover(Wire):
    """That `new` signs in the place of `old`.

    `size` and `root` are of the last tree that `old` alone signs; the next entry is this handover's, and under the
    tree with that both sign. `roster` is the last version that `old` signs. `at` is by the hub's clock, ms.
    """

    v: Literal[1] = 1
    origin: Annotated[str, Field(min_length=1, max_length=200)]
    old: PublicKey
    new: PublicKey
    size: Annotated[int, Field(ge=1, lt=2**62)]
    root: Digest
    roster: RosterVersion
    at: Millis


class HandoverNews(Wire):
    """A handover on its way to nodes: as both keys signed it, and the receipt of its entry under `checkpoint`.

    That is the note of the tree of `size` + 1 entries, signed with both keys.
    """

    v: Literal[1] = 1
    handover: Annotated[bytes, Field(min_length=1, max_length=2048)]
    receipt: Receipt
    checkpoint: NoteText
