"""The routing header: all that the hub sees of a message (DESIGN section 4, docs/protocol.md).

On the wire a header is a deterministic CBOR map with text keys. Identifiers are 16 bytes,
times are integer milliseconds since the Unix epoch, UTC, and absent optional fields are
left out. A `Header` in hand is always well formed: `Header.from_bytes` refuses the rest.
"""

import secrets
import time
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from schemas import cbor
from schemas.codes import Agency, Handling, Priority
from schemas.wording import wanted

PROTOCOL_VERSION: Final = 1
MAX_BODY: Final = 1024 * 1024
NONCE_SIZE: Final = 32
MAX_RECIPIENTS: Final = 64
MAX_HEADER: Final = 8 * 1024
# 64 recipients and 32 attachments make 265.
_MOST_ITEMS: Final = 300

Suite = Literal["SECI1-EdDSA", "SECI1-ES256"]
SUITES: Final[dict[int, tuple[Suite, ...]]] = {PROTOCOL_VERSION: ("SECI1-EdDSA", "SECI1-ES256")}

NodeId = Annotated[str, Field(pattern=r"^[a-z]{2,8}$")]
Code = Annotated[str, Field(pattern=r"^[a-z][a-z0-9.-]{0,39}$")]
KindName = Annotated[str, Field(pattern=r"^[a-z]+(_[a-z]+)*(\.[a-z]+(_[a-z]+)*){0,2}$", max_length=40)]
Digest = Annotated[bytes, Field(min_length=32, max_length=32)]
RosterVersion = Annotated[int, Field(ge=1, lt=2**31)]
# From `created` to `expires`: a year. What the ledger says of a message cannot be erased before it has expired.
MAX_LIFETIME_MS: Final = 365 * 24 * 3600 * 1000
# To the end of the year 9999: later cannot be written in ISO 8601.
LAST_MILLI = 253_402_300_799_999
Millis = Annotated[int, Field(ge=0, le=LAST_MILLI)]


class HeaderRefused(ValueError):
    """The bytes are not a header of this protocol version. `field` names the first bad field."""

    code = "header_malformed"

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class Attachment(BaseModel):
    """An attachment's digest (SHA-256 of the sealed file, 32 bytes) and size in bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    digest: Digest
    size: Annotated[int, Field(ge=0, le=2**53)]


class RosterReference(BaseModel):
    """Which roster its author went by: `version`, and SHA-256 of it as the hub signed it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    version: RosterVersion
    digest: Digest


class Routing(BaseModel):
    """What a sender decides about a message before it is sealed. Times in milliseconds, UTC."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    v: Literal[1] = PROTOCOL_VERSION
    id: UUID
    thread: UUID
    in_reply_to: UUID | None = None
    sender: NodeId
    agency: Agency
    task_force: Code
    recipients: Annotated[tuple[NodeId, ...], Field(min_length=1, max_length=MAX_RECIPIENTS)]
    kind: KindName
    kind_version: Annotated[int, Field(ge=1, le=999)]
    operation: Annotated[str, Field(min_length=1, max_length=60)] | None = None
    priority: Priority
    handling: Handling
    created: Millis
    expires: Millis
    reply_by: Millis | None = None
    attachments: Annotated[tuple[Attachment, ...], Field(max_length=32)] = ()
    roster: RosterReference | None = None

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if list(self.recipients) != sorted(set(self.recipients)):
            raise ValueError("recipients: must be sorted and without repetition")
        if self.sender in self.recipients:
            raise ValueError("recipients: the sender cannot be a recipient")
        if self.id.version != 7:
            raise ValueError("id: must be a UUID version 7 (RFC 9562)")
        if self.expires <= self.created:
            raise ValueError("expires: must be later than created")
        if self.reply_by is not None and not self.created < self.reply_by <= self.expires:
            raise ValueError("reply_by: must be later than created and not later than expires")
        return self


class Header(Routing):
    """What the sender signs about a message; every field is visible to the hub.

    `digest` is SHA-256 over the plaintext (32-byte nonce, then body) and `size` its length in
    bytes: they bind the content without revealing it. `suite` names the algorithms.
    """

    suite: Suite
    digest: Digest
    size: Annotated[int, Field(ge=NONCE_SIZE, le=NONCE_SIZE + MAX_BODY)]

    def to_bytes(self) -> bytes:
        """Deterministic CBOR; absent fields and an empty attachment list are left out."""
        fields: dict[str, Any] = self.model_dump(exclude_none=True)
        if not self.attachments:
            del fields["attachments"]
        for name in ("id", "thread", "in_reply_to"):
            if name in fields:
                fields[name] = fields[name].bytes
        for name in ("agency", "priority", "handling"):
            fields[name] = str(fields[name])
        return cbor.encode(fields)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The header in `data`. Raises HeaderRefused, naming the first bad field."""
        # Before anything is made of it: a long list of wrong things would cost seconds to find fault with.
        if len(data) > MAX_HEADER:
            raise HeaderRefused(f"header: has {len(data)} bytes, and may have {MAX_HEADER}")
        try:
            fields = cbor.decode_item(data, _MOST_ITEMS)
        except cbor.EncodingRefused as error:
            raise HeaderRefused(f"header: {error}") from error
        if not isinstance(fields, dict):
            raise HeaderRefused("header: must be a CBOR map")
        try:
            header = cls.model_validate(_from_wire(fields))
        except (ValidationError, ValueError, TypeError) as error:
            raise _refusal(error) from error
        if header.to_bytes() != data:
            raise HeaderRefused("header: must be deterministic CBOR, with absent fields left out")
        return header


def _from_wire(fields: dict[Any, Any]) -> dict[str, Any]:
    # What does not convert stays as it is: the model then refuses it and names the field.
    converted = dict(fields)
    for name in ("id", "thread", "in_reply_to"):
        value = converted.get(name)
        if isinstance(value, bytes) and len(value) == 16:
            converted[name] = UUID(bytes=value)
    for name, codes in (("agency", Agency), ("priority", Priority), ("handling", Handling)):
        value = converted.get(name)
        if isinstance(value, str) and value in codes.__members__.values():
            converted[name] = codes(value)
    for name in ("recipients", "attachments"):
        if isinstance(converted.get(name), list):
            converted[name] = tuple(converted[name])
    return converted


def _refusal(error: Exception) -> HeaderRefused:
    if not isinstance(error, ValidationError):
        return HeaderRefused(f"header: {error}")
    first = error.errors(include_url=False, include_input=False)[0]
    field, message = ".".join(str(part) for part in first["loc"]), wanted(first)
    if not field:
        field, _, message = first["msg"].removeprefix("Value error, ").partition(": ")
    return HeaderRefused(f"{field}: {message}", field)


def new_id(now_ms: int | None = None) -> UUID:
    """A fresh UUID version 7 (RFC 9562 section 5.7): 48 bits of milliseconds, 74 random bits."""
    millis = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    value = (millis & ((1 << 48) - 1)) << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=value)
