"""Control messages: acknowledgement, receipts (with refusals), and the ledger entry they prove.

An `Acknowledgement` is signed by the recipient. Receipts carry no signature of their own:
each proves that an `Entry` is a leaf of the tree whose checkpoint the hub signed, which is
a signature over all of a batch at once (docs/protocol.md, "Receipts").
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Final, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from schemas import cbor, entrybytes
from schemas.header import Digest, Millis, NodeId, RosterReference
from schemas.refusals import RefusalCode
from schemas.wording import wanted

SALT_SIZE = 32
# Of a megabyte of receipts, or a roster of a thousand nodes. Both come from the hub alone.
MANY_ITEMS: Final = 200_000
# Entries that one entry may say are erased.
MOST_ERASED: Final = 1000


class ControlRefused(ValueError):
    """The bytes are not the control message they claim to be. Code `control_malformed`."""

    code = "control_malformed"


class MessageType(StrEnum):
    """The AMQP `type` property of everything on the broker."""

    ENVELOPE = "envelope"
    ACKNOWLEDGEMENT = "acknowledgement"
    RECEIPTS = "receipts"
    ROSTER = "roster"
    CHECKPOINT_REQUEST = "checkpoint_request"
    CHECKPOINT = "checkpoint"
    COSIGNATURE = "cosignature"
    TILE_REQUEST = "tile_request"
    TILES = "tiles"
    MEMBERSHIP = "membership"
    RENEWAL = "renewal"
    RENEWED = "renewed"
    AUTHORITIES = "authorities"
    AUTHORITIES_HELD = "authorities_held"
    HANDOVER = "handover"


class Event(StrEnum):
    """What a ledger entry records."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    DELIVERED = "delivered"
    DECLINED = "declined"
    QUARANTINED = "quarantined"
    RELEASED = "released"
    DISCARDED = "discarded"
    REMINDED = "reminded"
    ESCALATED = "escalated"
    EXPIRED = "expired"
    ROSTER = "roster"
    ERASED = "erased"
    OPERATOR = "operator"
    SUSPENDED = "suspended"
    REINSTATED = "reinstated"
    REVOKED = "revoked"
    REMOVED = "removed"
    RETURNED = "returned"
    HANDED_OVER = "handed_over"
    MEMBERSHIP = "membership"
    HANDOVER = "handover"


class Outcome(StrEnum):
    """What became of a message at its recipient."""

    DELIVERED = "delivered"
    DECLINED = "declined"


class Wire(BaseModel):
    """What every control message is: a frozen model with one encoding, deterministic CBOR."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    most_items: ClassVar[int] = cbor.MOST_ITEMS

    def to_bytes(self) -> bytes:
        """Deterministic CBOR; absent fields are left out, identifiers are 16 bytes."""
        return cbor.encode_in_order(_fields(self))

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The message in `data`. Raises ControlRefused, naming the first bad field."""
        try:
            message = cls.model_validate(cbor.decode(data, cls.most_items))
        except cbor.EncodingRefused as error:
            raise ControlRefused(f"{_name(cls)}: {error}") from error
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            field = ".".join(str(part) for part in first["loc"])
            raise ControlRefused(f"{_name(cls)}, {field}: {wanted(first)}") from error
        if message.to_bytes() != data:
            raise ControlRefused(f"{_name(cls)}: a field is not in the one form that it has on the wire")
        return message


def _name(kind: type[Wire]) -> str:
    """What it is called in docs/protocol.md, whose readers know nothing of our classes."""
    return re.sub(r"(?<=.)(?=[A-Z])", " ", kind.__name__).lower()


@cache
def _in_order(model: type[BaseModel]) -> tuple[str, ...]:
    """The fields' names as deterministic CBOR has them: the shorter before the longer, and then by their bytes."""
    return tuple(sorted(model.model_fields, key=lambda name: (len(name), name)))


# The encoder writes these as they stand; of an enumeration, the text.
_PLAIN: Final = frozenset({str, bytes, int, Event, Outcome, RefusalCode})


def _fields(message: BaseModel) -> dict[str, object]:
    # By hand and not by `model_dump`, and in order, which the encoder would have to find each time: a bundle has
    # hundreds of receipts, and an entry is written for each thing that happens.
    fields = vars(message)
    return {
        name: item if type(item) in _PLAIN else _to_wire(item)
        for name in _in_order(type(message))
        if (item := fields[name]) is not None
    }


def _to_wire(value: Any) -> object:
    kind = type(value)
    if kind is UUID:
        return value.bytes
    if kind is tuple or kind is list:
        return [item if type(item) in _PLAIN else _to_wire(item) for item in value]
    if kind is Receipt:
        return value.fields()
    if isinstance(value, BaseModel):
        return _fields(value)
    if isinstance(value, str | bytes | int):
        return value
    if isinstance(value, UUID):
        # The database's driver has a class of its own for them.
        return value.bytes
    raise TypeError(f"{kind.__name__} has no form on the wire")


class AcknowledgedMessage(Wire):
    """One message acknowledged: its id, the SHA-256 of its envelope, and what became of it."""

    id: UUID
    envelope: Digest
    outcome: Outcome
    code: RefusalCode | None = None


class Acknowledgement(Wire):
    """A recipient's signed word, to one sender, on messages that it stored or declined.

    `roster` is the one that it went by. Programs that knew of no such field do not say it.
    """

    v: Literal[1] = 1
    recipient: NodeId
    sender: NodeId
    at: Millis
    items: Annotated[tuple[AcknowledgedMessage, ...], Field(min_length=1, max_length=1000, fail_fast=True)]
    roster: RosterReference | None = None


def _ascending(indices: tuple[int, ...]) -> tuple[int, ...]:
    if any(before >= after for before, after in pairwise(indices)):
        raise ValueError("must be in ascending order, each once")
    return indices


Indices = Annotated[
    tuple[Annotated[int, Field(ge=0, lt=2**63)], ...],
    Field(min_length=1, max_length=MOST_ERASED, fail_fast=True),
    AfterValidator(_ascending),
]


class Entry(Wire):
    """What one leaf of the ledger commits to. `node` is whose act it was; times are the hub's.

    `envelope` is the SHA-256 of the message's envelope; `evidence` that of the other signed
    bytes the decision rests on (an acknowledgement, a roster, quarantined bytes); `erased` are the
    indices of the entries whose salt and bytes an erasure took away.
    """

    v: Literal[1] = 1
    event: Event
    at: Millis
    node: NodeId
    message: UUID | None = None
    thread: UUID | None = None
    sender: NodeId | None = None
    recipients: tuple[NodeId, ...] | None = None
    task_force: str | None = None
    kind: str | None = None
    kind_version: int | None = None
    operation: str | None = None
    priority: str | None = None
    handling: str | None = None
    created: Millis | None = None
    envelope: Digest | None = None
    evidence: Digest | None = None
    code: RefusalCode | None = None
    detail: str | None = None
    erased: Indices | None = None

    def to_bytes(self) -> bytes:
        """Deterministic CBOR, as of every control message."""
        return entrybytes.encode(vars(self))


@dataclass(frozen=True, slots=True)
class Receipt:
    """Proof that an entry stands in the ledger.

    The leaf is `SHA-256(salt || entry)`; `proof` is its RFC 6962 audit path (32-byte hashes,
    leaf's sibling first) to the root of the bundle's checkpoint, where it has place `index`.
    No model, as what it is part of: the hub makes one for each entry. What is read is checked like all the rest.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    index: Annotated[int, Field(ge=0)]
    entry: bytes
    salt: Annotated[bytes, Field(min_length=SALT_SIZE, max_length=SALT_SIZE)]
    proof: Annotated[tuple[Digest, ...], Field(max_length=63)]

    def fields(self) -> dict[str, object]:
        """In the order of the encoding."""
        return {"salt": self.salt, "entry": self.entry, "index": self.index, "proof": self.proof}


class Receipts(Wire):
    """What the hub tells a node about one batch: a signed checkpoint (a C2SP note) and receipts under it.

    `acknowledgements` holds the recipients' signed acknowledgements that the entries of event
    `delivered` and `declined` rest on, so that the sender need not take the hub's word.
    """

    most_items: ClassVar[int] = MANY_ITEMS

    v: Literal[1] = 1
    checkpoint: Annotated[str, Field(max_length=20_000)]
    receipts: Annotated[tuple[Receipt, ...], Field(min_length=1, fail_fast=True)]
    acknowledgements: tuple[bytes, ...] = ()

    def alone(self, receipt: Receipt) -> bytes:
        """One of the receipts as a bundle of its own, without acknowledgements; a node keeps it so.

        By hand, in the order of the encoding: the hub's answers come by the hundred.
        """
        fields = {"v": self.v, "receipts": [receipt.fields()], "checkpoint": self.checkpoint, "acknowledgements": []}
        return cbor.encode_in_order(fields)
