"""Bulgaria's agent on a real store, without a broker."""

import base64
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from crypto.hubkeys import HubKeys
from crypto.keyfile import NodeKeys
from crypto.note import NoteSigner
from crypto.trust import Trust, sign_roster
from nodes import rosters
from nodes.agent import Agent
from nodes.link import Link
from nodes.settings import Settings
from nodes.store import Store
from schemas.roster import Roster, RosterNode
from tests.crypto.people import BG, HUB, NOW, RO, Person, roster_key, roster_node

FAR = 4_000_000_000_000
ORIGIN = "seci.example/ledger"


def entry(who: Person) -> RosterNode:
    """A person's entry in a roster, with keys for a long time."""
    return roster_node(who.node, roster_key(who.signing, end=FAR), roster_key(who.encryption, end=FAR))


def roster(version: int, *people: Person) -> Roster:
    """A roster of these people."""
    return Roster(version=version, at=NOW, nodes=tuple(entry(who) for who in people))


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Agent]:
    """Bulgaria's agent, which knows Romania and itself."""
    signer = NoteSigner(ORIGIN, HUB.signing)
    settings = Settings(
        home=tmp_path,
        node="bg",
        hub_key=base64.b64encode(HUB.signing.public.public_bytes()).decode(),
        log_origin=ORIGIN,
        log_vkey=signer.verifier.vkey(),
    )
    keys = NodeKeys(BG.signing, (BG.encryption,), bytes(32))
    box = Store.open(tmp_path / "node.db", keys.storage)
    await box.run(rosters.remember_keys, [BG.signing.public.key_id, BG.encryption.public.key_id])
    await box.run(rosters.save, 1, sign_roster(roster(1, RO, BG), HUB.signing))
    link = Link(settings, ssl.create_default_context())
    yield Agent(settings, keys, box, link, Trust.of(roster(1, RO, BG)), HubKeys.of(signer.verifier))
    box.close()
