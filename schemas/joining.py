"""What a node and the registrar hand each other until the node is in: token, request and answer (docs/protocol.md 15).

The token is the one secret. It never leaves the node: the node signs its request with a key that is made from it
(`crypto.joining`), and the hub keeps the public half of that key only.
"""

import base64
import hashlib
import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from schemas.enrolment import Base64, EnrolmentRequest
from schemas.header import NodeId

ID_SIZE: Final = 4
# 136 bits.
SECRET_SIZE: Final = 17
PIN_SIZE: Final = 16
_CHECK_SIZE: Final = 3
# For scanners of secrets: what looks like this is one, and nothing else does.
TOKEN: Final = re.compile(r"seci_join_([a-z]{2,8})_([a-z2-7]{64})")
# Beyond that it is nobody's request. A request has some 5 KB.
MAX_REQUEST: Final = 64 * 1024
# The sealed welcome is in it, whose roster may have 8 MB, in base64 twice over.
MAX_ANSWER: Final = 16 * 1024 * 1024


class TokenMalformed(ValueError):
    """What was given is no token, or not all of it is as it was printed. Code `token_malformed`."""

    code = "token_malformed"


@dataclass(frozen=True, slots=True)
class JoinToken:
    """An invitation as its node holds it: for which node, its id, its secret, and which hub it is of (`pin_of`)."""

    node: str
    id: bytes
    secret: bytes = field(repr=False)
    pin: bytes

    def text(self) -> str:
        """As it is printed: `seci_join_<node>_` and 64 letters and digits (base32, RFC 4648, in lower case)."""
        body = self.id + self.secret + self.pin
        return f"seci_join_{self.node}_{_base32(body + _check(self.node, body))}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The token of that text, in whatever case and with whatever space. Raises TokenMalformed."""
        found = TOKEN.fullmatch("".join(text.split()).lower())
        if found is None:
            raise TokenMalformed("it is no token: seci_join_, the node's id, and 64 letters and digits make one")
        node, packed = found[1], base64.b32decode(found[2].upper())
        body, check = packed[:-_CHECK_SIZE], packed[-_CHECK_SIZE:]
        if check != _check(node, body):
            raise TokenMalformed("a letter of the token is wrong, or two changed places: its checksum does not fit")
        secret_at, pin_at = ID_SIZE, ID_SIZE + SECRET_SIZE
        return cls(node, body[:secret_at], body[secret_at:pin_at], body[pin_at:])


def _check(node: str, body: bytes) -> bytes:
    return hashlib.sha256(b"SECI1 token " + node.encode() + body).digest()[:_CHECK_SIZE]


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode().lower()


class Stage(StrEnum):
    """How far an enrolment is. The first seven follow one another; it ends with `welcomed` or one of the last two."""

    INVITED = "invited"
    REQUESTED = "requested"
    APPROVED = "approved"
    CONFIRMED = "confirmed"
    PROVISIONED = "provisioned"
    """The node has its certificate, and the broker knows it."""
    IN_ROSTER = "in_roster"
    """A roster with its keys is in the ledger."""
    WELCOMED = "welcomed"
    """The answer with the welcome has been handed out."""
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"


# Nothing is to be decided any more: the node may be invited anew.
DECIDED: Final = (Stage.IN_ROSTER, Stage.WELCOMED, Stage.REJECTED, Stage.WITHDRAWN)


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class HubIdentity(_Document):
    """Whom the token pins: the authority of the hub's certificates, and the keys that sign rosters and ledger."""

    v: Literal[1] = 1
    ca_pem: Annotated[str, Field(max_length=20_000)]
    hub_key: Base64
    log_origin: Annotated[str, Field(max_length=200)]
    log_vkey: Annotated[str, Field(max_length=300)]
    log_vkey_mldsa: Annotated[str | None, Field(max_length=4000)] = None


class JoinRequest(_Document):
    """A node's enrolment request under an invitation.

    `invitation` and `pin` are those of the token; `token_proof` is a signature with the token's key; `opened` is the
    hub's challenge, which only the owner of the encryption key could open.
    """

    v: Literal[1] = 1
    type: Literal["join_request"] = "join_request"
    invitation: Annotated[str, Field(pattern=r"^[0-9a-f]{8}$")]
    pin: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    request: EnrolmentRequest
    token_proof: Annotated[Base64, Field(max_length=88)]
    opened: Annotated[Base64 | None, Field(max_length=44)] = None


class JoinAnswer(_Document):
    """How far the enrolment is, `reason` if it was rejected; `challenge` and `sealed` open with the node's
    encryption key. `sealed` is the welcome file.
    """

    v: Literal[1] = 1
    type: Literal["join_answer"] = "join_answer"
    node: NodeId
    invitation: Annotated[str, Field(pattern=r"^[0-9a-f]{8}$")]
    stage: Stage
    reason: Annotated[str | None, Field(max_length=1000)] = None
    challenge: Annotated[Base64 | None, Field(max_length=4000)] = None
    sealed: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9+/]*={0,2}$", max_length=MAX_ANSWER)] = None
