"""Three witnesses of a hub's own ledger: the roster that lists them, and their cosignatures as the hub keeps them."""

from typing import Final

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from crypto.cosignature import Cosigner, cosign
from crypto.keys import SigningKey
from crypto.trust import WITNESS_NAME
from hub import registrar, tables
from hub.ledger import covering
from hub.pen import writing
from schemas.header import LAST_MILLI
from schemas.roster import KeyUse, RosterKey
from tests.crypto.people import roster_node
from tests.hub.ownhub import OwnHub

_KEYS: Final = {node: SigningKey.from_seed(node.encode() * 16) for node in ("bg", "ro", "tr")}
WITNESSES: Final = {node: Cosigner(f"{WITNESS_NAME}{node}", key) for node, key in _KEYS.items()}


async def publish_witnesses(own: OwnHub, engine: AsyncEngine) -> None:
    """A roster in which they are witnesses: one entry."""
    nodes = []
    for node, signing in _KEYS.items():
        public, validity = signing.public, {"not_before": 0, "not_after": LAST_MILLI}
        key = RosterKey(kid=public.key_id, use=KeyUse.WITNESS, public=public.public_bytes(), **validity)
        nodes.append(roster_node(node, key))
    async with writing(engine, own.log) as connection:
        await registrar.publish_roster(connection, own.log, nodes, own.log.signer.key)


async def cosign_at(engine: AsyncEngine, size: int, *nodes: str) -> None:
    """These cosign the checkpoint of that size."""
    async with engine.begin() as connection:
        note = (await covering(connection, size - 1)).note
        rows = [{"size": size, "node": node, "line": cosign(note, WITNESSES[node], 1), "at": 1} for node in nodes]
        await connection.execute(insert(tables.cosignature), rows)
