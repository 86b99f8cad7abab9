"""The roster: who takes part, with which keys, in which task forces. Signed and versioned by the hub.

The signature is checked in `crypto.trust`, which also answers the questions asked of a roster; how a roster reaches
nodes, in `crypto.rosternews`.
"""

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from schemas.codes import Agency
from schemas.control import MANY_ITEMS, Receipt, Wire
from schemas.header import Code, Millis, NodeId, RosterVersion
from schemas.participants import Category
from schemas.policy import Policy
from schemas.witnessing import NoteText


class KeyUse(StrEnum):
    """What a key is for: `sign` checks a sender's messages, `seal` closes messages to a recipient.

    `witness` checks its cosignatures under the hub's checkpoints; it is an Ed25519 key.
    """

    SIGN = "sign"
    SEAL = "seal"
    WITNESS = "witness"


class NodeState(StrEnum):
    """Why a node takes no part: for a while, because its keys may be another's, or for good."""

    SUSPENDED = "suspended"
    REVOKED = "revoked"
    REMOVED = "removed"


class Cause(StrEnum):
    """The reason code of a state; those of RFC 5280 section 5.3.1 that can be meant."""

    UNSPECIFIED = "unspecified"
    KEY_COMPROMISE = "key_compromise"
    SUPERSEDED = "superseded"
    CESSATION_OF_OPERATION = "cessation_of_operation"
    CERTIFICATE_HOLD = "certificate_hold"
    PRIVILEGE_WITHDRAWN = "privilege_withdrawn"


class Standing(Wire):
    """That a node takes no part, since when (ms UTC, by the hub's clock) and why."""

    state: NodeState
    since: Millis
    cause: Cause


class RosterKey(Wire):
    """A public key (encodings: docs/protocol.md) with its validity, milliseconds UTC, end excluded.

    `revoked`: since then nothing signed with it counts, whatever time it says, unless it was on record before; and
    nothing is closed to it.
    """

    kid: Annotated[bytes, Field(min_length=16, max_length=16)]
    use: KeyUse
    public: bytes
    not_before: Millis
    not_after: Millis
    revoked: Millis | None = None


class RosterNode(Wire):
    """A node of a participant: its agencies, the task forces it is a member of, and its keys.

    Without a `standing` it is active. One that was removed stays listed, for what it said is on record.
    """

    node: NodeId
    name: Annotated[str, Field(min_length=1, max_length=100)]
    category: Category
    agencies: Annotated[tuple[Agency, ...], Field(max_length=8, fail_fast=True)]
    task_forces: Annotated[tuple[Code, ...], Field(max_length=64, fail_fast=True)]
    keys: Annotated[tuple[RosterKey, ...], Field(fail_fast=True)]
    standing: Standing | None = None

    @property
    def active(self) -> bool:
        """Whether it takes part: may send, and be sent to."""
        return self.standing is None


class Roster(Wire):
    """A snapshot of the membership. A higher `version` replaces a lower one.

    `policy` has the rules and coordinators in force; a roster without one means those of the program.
    """

    most_items: ClassVar[int] = MANY_ITEMS

    v: Literal[1] = 1
    version: RosterVersion
    at: Millis
    nodes: Annotated[tuple[RosterNode, ...], Field(fail_fast=True)]
    # The revocation list of TLS certificates (RFC 5280), DER, once there is anything on it.
    crl: bytes | None = None
    policy: Policy | None = None

    @field_validator("nodes")
    @classmethod
    def _each_once(cls, nodes: tuple[RosterNode, ...]) -> tuple[RosterNode, ...]:
        # A second entry could add keys to a node that looks only at its first.
        if len({node.node for node in nodes}) != len(nodes):
            raise ValueError("a node stands in the roster more than once")
        return nodes


class RosterNews(Wire):
    """A roster on its way to nodes: as the hub signed it, and the receipt of its entry under `checkpoint`, a note."""

    v: Literal[1] = 1
    roster: Annotated[bytes, Field(min_length=1)]
    receipt: Receipt
    checkpoint: NoteText
