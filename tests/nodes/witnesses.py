"""Nodes that are witnesses, each with a real store and no broker, and what a test asks and tells them."""

import base64
import ssl
from pathlib import Path
from typing import Any

from sqlalchemy import select

from crypto.hubkeys import HubKeys
from crypto.keyfile import NodeKeys
from crypto.note import NoteSigner
from crypto.trust import sign_roster, trust_in
from nodes import histories, rosters, store
from nodes.agent import Agent
from nodes.link import Link, LinkState
from nodes.receiving import Arrival
from nodes.settings import Settings
from nodes.setup import own_kids
from nodes.store import Store
from schemas.control import MessageType
from schemas.roster import Roster
from schemas.witnessing import CheckpointRequest
from tests.crypto.people import BG, HUB, NOW, RO, TR, Person
from tests.nodes.conftest import ORIGIN
from tests.nodes.twofaced import Log, listed, witness_key

LOG = NoteSigner(ORIGIN, HUB.signing).verifier
EVERYBODY = Roster(version=1, at=NOW, nodes=(listed(BG), listed(RO), listed(TR)))
FIRST = sign_roster(EVERYBODY, HUB.signing)


async def agent_of(who: Person, folder: Path) -> Agent:
    """Somebody's agent, a witness; of the same folder it is the same one."""
    settings = Settings(
        home=folder,
        node=who.node,
        hub_key=base64.b64encode(HUB.signing.public.public_bytes()).decode(),
        log_origin=ORIGIN,
        log_vkey=LOG.vkey(),
    )
    keys = NodeKeys(who.signing, (who.encryption,), bytes(32))
    box = Store.open(folder / f"{who.node}.db", keys.storage)
    await box.run(rosters.remember_keys, own_kids(keys, witness_key(who.node)))
    await box.run(rosters.save, 1, FIRST)
    trust = trust_in(await box.run(rosters.newest) or b"", HUB.signing.public)
    agent = Agent(settings, keys, box, Link(settings, ssl.create_default_context()), trust, HubKeys.of(LOG))
    agent.witness.key = witness_key(who.node)
    return agent


def linked(agent: Agent, since: int = 0) -> None:
    """Has the agent think that its link came up then (ms)."""
    agent.link.state = LinkState(True, since, "")


async def tell(agent: Agent, body: bytes, type: str = MessageType.CHECKPOINT) -> None:
    """Has the agent take in a message of the hub."""
    await agent._keep([Arrival(type, body, 1)])


async def asks(agent: Agent) -> CheckpointRequest:
    """What its witness would ask the hub now."""
    return await agent.box.run(agent.witness._question)


async def alarm_of(agent: Agent) -> histories.Alarm | None:
    """The alarm that no operator has decided on."""
    return await agent.box.run(histories.undecided)


async def follow(agent: Agent, log: Log, **more: Any) -> None:
    """Has the hub answer what its witness asks, out of a log."""
    asked = await asks(agent)
    await tell(agent, log.answer(asked.old, claims=asked.claims, **more))


async def aside_of(agent: Agent) -> list[str]:
    """Why things were put aside."""
    query = select(store.quarantine.c.reason).order_by(store.quarantine.c.seq)
    return await agent.box.run(lambda connection: list(connection.execute(query).scalars()))
