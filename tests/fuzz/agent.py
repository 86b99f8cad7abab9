"""A node's agent that takes in what the broker hands it, on a real store."""

import asyncio
import base64
import contextlib
import ssl
from hashlib import sha256
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.engine import Connection

from crypto import cose
from crypto.envelope import CONTENT_TYPE
from crypto.handover import HANDOVER_TYPE, MAX_HANDOVER, VOUCHED_TYPE
from crypto.hubkeys import HubKeys
from crypto.keyfile import NodeKeys
from crypto.receipt import leaf_of
from crypto.trust import ROSTER_TYPE, sign_roster
from nodes import proofs, rosters, store
from nodes.agent import Agent
from nodes.link import Link
from nodes.receiving import Arrival
from nodes.settings import Settings
from nodes.store import Store
from schemas import cbor
from schemas.control import MessageType, Receipts
from schemas.witnessing import TileHashes, Tiles
from tests.crypto import handing
from tests.crypto.people import BG, HUB, RO, trust
from tests.fuzz import documents
from tests.fuzz.target import OF_CBOR, Target


class _Enough(Exception):
    """Rolls back what an input has stored, so that the next one meets the same store."""


def agent(folder: Path) -> tuple[Target, ...]:
    """An agent in `folder`, by the types that it knows. What it puts aside must be for a reason that has a name."""
    settings = Settings(
        home=folder,
        node="bg",
        hub_key=base64.b64encode(HUB.signing.public.public_bytes()).decode(),
        log_origin=documents.ORIGIN,
        log_vkey=documents.SIGNER.verifier.vkey(),
    )
    box = Store.open(folder / "node.db", bytes(32))
    # As if a quorum had cosigned it: so what is behind the first check of tiles is reached.
    note = Receipts.from_bytes(documents.receipts()).checkpoint
    asyncio.run(box.run(proofs.keep_witnessed, 2, note))
    keys = NodeKeys(BG.signing, (BG.encryption,), bytes(32))
    asyncio.run(box.run(rosters.remember_keys, [BG.signing.public.key_id, BG.encryption.public.key_id]))
    link = Link(settings, ssl.create_default_context())
    bulgaria = Agent(settings, keys, box, link, trust(), HubKeys.of(documents.SIGNER.verifier))

    def take_in(kind: MessageType, data: bytes) -> None:
        reason = asyncio.run(_taken_in(bulgaria, Arrival(kind, data, 0)))
        bulgaria.trust = trust()
        assert not reason.startswith("unexpected_"), reason

    payload = cbor.decode(documents.envelope()).value[2]
    roster = trust().roster.to_bytes()
    news = documents.news(sign_roster(trust().roster, HUB.signing), 1).to_bytes()

    said = handing.told(handing.handover(origin=documents.ORIGIN))
    signers = [handing.signer(key, documents.ORIGIN) for key in (handing.NEW, handing.OLD)]
    step = handing.news(said, handing.before(3), *signers).to_bytes()

    def take_in_handover(data: bytes) -> None:
        inner = cose.sign1(data, HANDOVER_TYPE, handing.NEW)
        signed = handing.Told(cose.sign1(inner, VOUCHED_TYPE, handing.OLD), said.entry)
        # A larger one is in no news.
        if len(signed.signed) <= MAX_HANDOVER:
            take_in(MessageType.HANDOVER, handing.news(signed, handing.before(3), *signers).to_bytes())

    def take_in_roster(data: bytes) -> None:
        take_in(MessageType.ROSTER, documents.news(cose.sign1(data, ROSTER_TYPE, HUB.signing), 1).to_bytes())

    return (
        Target(
            "agent, an envelope signed anew",
            (payload,),
            OF_CBOR,
            lambda data: take_in(MessageType.ENVELOPE, cose.sign1(data, CONTENT_TYPE, RO.signing)),
            (),
        ),
        Target(
            "agent, receipts", (documents.receipts(),), OF_CBOR, lambda data: take_in(MessageType.RECEIPTS, data), ()
        ),
        Target(
            "agent, a checkpoint to cosign",
            (documents.offered(),),
            OF_CBOR,
            lambda data: take_in(MessageType.CHECKPOINT, data),
            (),
        ),
        Target("agent, tiles", (_tiles(),), OF_CBOR, lambda data: take_in(MessageType.TILES, data), ()),
        Target("agent, a roster's news", (news,), OF_CBOR, lambda data: take_in(MessageType.ROSTER, data), ()),
        Target("agent, a handover's news", (step,), OF_CBOR, lambda data: take_in(MessageType.HANDOVER, data), ()),
        Target(
            "agent, a handover signed anew",
            (handing.handover(origin=documents.ORIGIN).to_bytes(),),
            OF_CBOR,
            take_in_handover,
            (),
        ),
        Target("agent, a roster signed and published anew", (roster,), OF_CBOR, take_in_roster, ()),
    )


def _tiles() -> bytes:
    leaves = leaf_of(bytes(32), documents.entry().to_bytes()) + leaf_of(bytes(32), b"another entry")
    return Tiles(size=2, tiles=(TileHashes(level=0, index=0, hashes=leaves),)).to_bytes()


async def _taken_in(bulgaria: Agent, arrival: Arrival) -> str:
    """The reason why an arrival was put aside; empty if it was taken in."""
    reasons = []

    def work(connection: Connection) -> None:
        bulgaria.take_in(connection, [arrival])
        table = store.quarantine.c
        reasons.append(connection.scalar(select(table.reason).where(table.digest == sha256(arrival.body).digest())))
        raise _Enough

    with contextlib.suppress(_Enough):
        await bulgaria.box.run(work)
    return reasons[0] or ""
