"""The people of these tests: nodes with fixed keys, the roster that lists them, and what they say."""

import hashlib
from dataclasses import dataclass
from functools import cache
from typing import Any

from crypto.envelope import seal
from crypto.keys import EncryptionKey, SigningKey
from crypto.trust import Trust
from schemas.codes import Agency, Handling, Priority
from schemas.header import Routing
from schemas.participants import Category
from schemas.roster import KeyUse, Roster, RosterKey, RosterNode
from tests.schemas.strategies import FIXED_ID

NOW = 1_100_000_000_000
HOUR = 3_600_000
NAMES = ("al", "ba", "bg", "cs", "gr", "hr", "hu", "md", "mk", "si", "tr", "seci")


@dataclass(frozen=True)
class Person:
    """A node and its keys."""

    node: str
    signing: SigningKey
    encryption: EncryptionKey


@cache
def person(node: str) -> Person:
    """The node of that name; its keys are always the same."""

    def seed(use: str) -> bytes:
        return hashlib.sha256(f"{use} key of {node}".encode()).digest()

    return Person(node, SigningKey.from_seed(seed("signing")), EncryptionKey.from_seed(seed("encryption")))


RO = person("ro")
BG = person("bg")
HU = person("hu")
TR = person("tr")
HUB = person("hub")


def roster_key(key: SigningKey | EncryptionKey, begin: int = NOW - HOUR, end: int = NOW + HOUR) -> RosterKey:
    """A key as the roster lists it."""
    use = KeyUse.SIGN if isinstance(key, SigningKey) else KeyUse.SEAL
    return RosterKey(kid=key.public.key_id, use=use, public=key.public.public_bytes(), not_before=begin, not_after=end)


def roster_node(node: str, *keys: RosterKey, task_forces: tuple[str, ...] = ("drugs",)) -> RosterNode:
    """A node as the roster lists it."""
    return RosterNode(
        node=node,
        name=node.upper(),
        category=Category.MEMBER,
        agencies=(Agency.POLICE,),
        task_forces=task_forces,
        keys=keys,
    )


def roster_of(*nodes: RosterNode) -> Roster:
    """A roster of these nodes."""
    return Roster(version=1, at=NOW, nodes=nodes)


@cache
def trust() -> Trust:
    """A roster of everybody, with their usual keys."""
    everybody = (person(node) for node in sorted({*NAMES, "ro"}))
    return Trust.of(
        roster_of(*(roster_node(p.node, roster_key(p.signing), roster_key(p.encryption)) for p in everybody))
    )


def routing(sender: str = "ro", recipients: tuple[str, ...] = ("bg",), **changes: Any) -> Routing:
    """What is decided about a message, unless `changes` decides otherwise."""
    fields: dict[str, Any] = {
        "id": FIXED_ID,
        "thread": FIXED_ID,
        "sender": sender,
        "agency": Agency.POLICE,
        "task_force": "drugs",
        "recipients": recipients,
        "kind": "alert",
        "kind_version": 1,
        "priority": Priority.NORMAL,
        "handling": Handling.H1,
        "created": NOW,
        "expires": NOW + HOUR,
    }
    return Routing(**fields | changes)


def sealed(body: bytes = b"body", sender: str = "ro", recipients: tuple[str, ...] = ("bg",), **changes: Any) -> bytes:
    """An envelope from `sender` to `recipients`."""
    keys = {node: person(node).encryption.public for node in recipients}
    return seal(routing(sender, recipients, **changes), body, keys, person(sender).signing)[1]
