"""What the nodes ask and say as witnesses, answered beside the main loop.

Nothing of it is a decision, so none of it is in the ledger, and nobody's message waits for it: a batch hands over
what it has of this kind and goes on. Should a worker die with it, the node asks again. Of a node that asks faster
than it is answered, the last question counts.
"""

import asyncio
import hashlib
import time
from collections.abc import Iterable
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from crypto.cosignature import CosignerKey
from crypto.errors import CryptoError, NoteInvalid
from crypto.hubkeys import signer_of
from crypto.log import log
from crypto.note import Note
from crypto.tiles import tile_at
from crypto.trust import Trust
from hub import rosternews, rounds, tilestore
from hub.broker import BrokerAddress
from hub.dispatch import Dispatcher
from hub.foreword import Foreword, publication
from hub.judge import Verdict, Witnessed, is_active
from hub.ledger import Ledger
from hub.publication import Publication
from hub.settings import Settings
from schemas.control import MessageType, Wire
from schemas.witnessing import (
    CheckpointRequest,
    Link,
    TileHashes,
    TileRequest,
    Tiles,
    WitnessCheckpoint,
    WitnessCosignature,
)

# Between two rounds of answers: a node gets at most so many of a kind.
PAUSE_S: Final = 0.2
# So much of a node waits at most.
MOST_WAITING: Final = 16


class Witnessing:
    """One worker's answers to witnesses. `take` is called by the main loop, `answer` goes on beside it."""

    def __init__(self, settings: Settings, broker: BrokerAddress, engine: AsyncEngine, ledger: Ledger) -> None:
        self._round_ms = int(settings.witness_round_s * 1000)
        self._broker = broker
        self._engine = engine
        self._ledger = ledger
        self._trust: Trust | None = None
        self._waiting: dict[tuple[str, str, bytes], Witnessed] = {}
        self._something = asyncio.Event()

    def take(self, verdicts: Iterable[Verdict], trust: Trust) -> list[Verdict]:
        """Takes over what is for witnesses; returns the rest, which is to be recorded."""
        rest: list[Verdict] = []
        for verdict in verdicts:
            if not isinstance(verdict, Witnessed):
                rest.append(verdict)
            elif not is_active(verdict.arrival.node, trust):
                # Who takes no part is no witness, and is answered nothing.
                continue
            elif sum(node == verdict.arrival.node for node, _, _ in self._waiting) < MOST_WAITING:
                arrival = verdict.arrival
                # Each cosignature counts; of questions, the last one.
                told = arrival.body if isinstance(verdict.said, WitnessCosignature) else b""
                self._waiting[arrival.node, arrival.type, told] = verdict
                self._trust = trust
                self._something.set()
        return rest

    async def answer(self) -> None:
        """Answers for ever. Raises on trouble with broker or database; then begin again."""
        dispatcher = Dispatcher(self._broker, foreword=Foreword(self._ledger))
        try:
            while True:
                await self._something.wait()
                self._something.clear()
                waiting, self._waiting = list(self._waiting.values()), {}
                # Cosignatures first, so that whoever asks at the same time sees them.
                waiting.sort(key=lambda verdict: not isinstance(verdict.said, WitnessCosignature))
                for verdict in waiting:
                    for answer in await self._answers(verdict):
                        # One by one, so that a bad line lets some through. What an inbox does not take is asked again.
                        await dispatcher.publish([answer])
                await asyncio.sleep(PAUSE_S)
        finally:
            await dispatcher.close()

    async def _answers(self, verdict: Witnessed) -> list[Publication]:
        node, said = verdict.arrival.node, verdict.said
        try:
            match said:
                case CheckpointRequest():
                    return await self._checkpoint(node, said)
                case TileRequest():
                    return [_publication(node, MessageType.TILES, await self._tiles(said))]
                case WitnessCosignature():
                    await self._keep(node, said)
        except CryptoError as error:
            log.warning("witness_refused", node=node, type=verdict.arrival.type, code=error.code)
        return []

    async def _checkpoint(self, node: str, asked: CheckpointRequest) -> list[Publication]:
        witnesses = self._witnesses()
        async with self._engine.connect() as connection:
            behind = await rounds.boundary(connection, self._ledger, asked.old)
        offered = behind or await rounds.current(self._engine, self._ledger, witnesses, self._round_ms)
        # A worker of a key that was handed over says nothing of what another one has signed. Raises HubKeyForeign.
        signer_of(Note.parse(offered.note), self._ledger.keys)
        claims = [size for size in dict.fromkeys(asked.claims) if 0 < size <= offered.size]
        olds = {*claims, *([asked.old] if 0 < asked.old <= offered.size else [])}
        async with self._engine.connect() as connection:
            proofs = await tilestore.consistency(connection, olds, offered.size)
            rosters = {} if asked.roster is None else await rosternews.after(connection, asked.roster, offered.size)
            answer = WitnessCheckpoint(
                old=asked.old,
                proof=proofs.get(asked.old, ()),
                checkpoint=await rounds.cosigned(connection, offered.size, offered.note),
                links=tuple(Link(size=size, proof=proofs[size]) for size in claims),
                others=tuple(await rounds.others(connection, self._ledger, offered.size, witnesses)),
            )
        missing = [rosternews.publication(node, version, news) for version, news in rosters.items()]
        # Should the node have lost it: by the checkpoint alone it comes to no other key.
        first = [] if offered.news is None else [publication(node, offered.news)]
        return [*first, _publication(node, MessageType.CHECKPOINT, answer), *missing]

    async def _tiles(self, asked: TileRequest) -> Tiles:
        tiles = [tile_at(place.level, place.index, asked.size) for place in dict.fromkeys(asked.tiles)]
        async with self._engine.connect() as connection:
            found = await tilestore.read(connection, tiles)
        hashes = tuple(TileHashes(level=tile.level, index=tile.index, hashes=data) for tile, data in found.items())
        return Tiles(size=asked.size, tiles=hashes)

    async def _keep(self, node: str, said: WitnessCosignature) -> None:
        key = self._witnesses().get(node)
        if key is None:
            raise NoteInvalid(f"the roster has no witness key of {node}")
        await rounds.keep(self._engine, self._ledger, node, key, said.checkpoint)

    def _witnesses(self) -> dict[str, CosignerKey]:
        return {} if self._trust is None else dict(self._trust.witnesses(time.time_ns() // 1_000_000))


def _publication(node: str, kind: MessageType, answer: Wire) -> Publication:
    body = answer.to_bytes()
    return Publication(node, kind, False, f"{kind}-{hashlib.sha256(body).hexdigest()[:32]}/{node}", body)
