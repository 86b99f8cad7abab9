"""Envelopes that an honest agent would never make, for the demo and the tests."""

import base64
import json
import time
from pathlib import Path
from typing import Any
from uuid import UUID

from crypto.envelope import seal
from crypto.keyfile import NodeKeys, load_node_keys
from crypto.trust import Trust, open_roster
from nodes.settings import Settings
from schemas import registry
from schemas.codes import Agency, Handling, Priority
from schemas.header import Routing, new_id
from schemas.roster import RosterNews


def keys_of(home: Path) -> NodeKeys:
    """A node's private keys."""
    return load_node_keys(home / "node.key", Settings.load(home).secret())


def trust_of(home: Path) -> Trust:
    """The roster that a node was welcomed with."""
    welcome = home.parent.parent / "welcome" / f"{home.name}.welcome.json"
    news = RosterNews.from_bytes(base64.b64decode(json.loads(welcome.read_text())["roster"]))
    return Trust.of(open_roster(news.roster, Settings.load(home).hub_verify_key()))


def seal_as(home: Path, sender: str, id: str | None = None, **changes: Any) -> bytes:
    """An alert in the name of `sender`, signed with the key of the node in `home`; `changes` alter its routing."""
    now = time.time_ns() // 1_000_000
    message = new_id(now) if id is None else UUID(id)
    trust = trust_of(home)
    fields: dict[str, Any] = {
        "id": message,
        "thread": message,
        "sender": sender,
        "agency": Agency.POLICE,
        "task_force": "trafficking",
        "recipients": ("bg",),
        "kind": "alert",
        "kind_version": 1,
        "priority": Priority.NORMAL,
        "handling": Handling.H1,
        "created": now,
        "expires": now + 3_600_000,
        **changes,
    }
    routing = Routing(**fields)
    body = registry.body_bytes("alert", 1, {"title": "not what it seems", "text": "forged"})
    recipients = {name: trust.sealing_key(name, now) for name in routing.recipients}
    return seal(routing, body, recipients, keys_of(home).signing)[1]
