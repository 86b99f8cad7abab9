"""Nodes renew their keys and certificates, and say which authorities they trust: answered beside the main loop.

A node asks again until the roster has its keys and it has its certificate. So a request that a worker died with costs
a minute, and the same one twice changes nothing: keys that are listed stay, and a certificate more does no harm.
"""

import asyncio
import hashlib
import time
from collections.abc import Iterable
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from crypto.errors import CryptoError
from crypto.log import log
from hub import accounts, authorities, registrar, tables
from hub.announcing import keep, news, publication
from hub.broker import BrokerAddress
from hub.dispatch import Dispatcher
from hub.errors import HandedOver, HubError, RenewalRefused
from hub.foreword import Foreword
from hub.judge import Arrival, Renewing, Reporting, Verdict, judge
from hub.ledger import Ledger, see_signer, take_turn
from hub.pen import writing
from hub.publication import Publication
from hub.registrar import DAY_MS
from hub.renewing import NEXT, renewed
from hub.settings import Settings
from schemas.control import MessageType
from schemas.renewal import MOST_TEXT, RenewalAnswer, RenewalRequest

PAUSE_S: Final = 1.0
# Of a node, in a day. One that dies again and again while it renews asks each time that it starts.
MOST_CERTIFICATES: Final = 30


class Renewals:
    """One worker's answers. `take` is called by the main loop, `answer` goes on beside it."""

    def __init__(self, settings: Settings, broker: BrokerAddress, engine: AsyncEngine, ledger: Ledger) -> None:
        self._settings = settings
        self._broker = broker
        self._engine = engine
        self._ledger = ledger
        self._key = ledger.signer.key
        # Of a node that asks faster than it is answered, the last request counts.
        self._waiting: dict[str, Renewing] = {}
        self._reported: dict[str, Reporting] = {}
        self._something = asyncio.Event()

    def take(self, verdicts: Iterable[Verdict]) -> list[Verdict]:
        """Takes over the requests; returns the rest, which is to be recorded."""
        rest: list[Verdict] = []
        for verdict in verdicts:
            if isinstance(verdict, Renewing):
                self._waiting[verdict.arrival.node] = verdict
                self._something.set()
            elif isinstance(verdict, Reporting):
                self._reported[verdict.arrival.node] = verdict
                self._something.set()
            else:
                rest.append(verdict)
        return rest

    async def answer(self) -> None:
        """Answers for ever. Raises on trouble with broker or database; then begin again."""
        dispatcher = Dispatcher(self._broker, foreword=Foreword(self._ledger))
        try:
            while True:
                if not self._reported:
                    await self._something.wait()
                self._something.clear()
                # What was reported is not said again: it is kept until it is on record.
                for node, report in list(self._reported.items()):
                    await self._keep(report)
                    if self._reported[node] is report:
                        del self._reported[node]
                waiting, self._waiting = list(self._waiting.values()), {}
                for verdict in waiting:
                    await dispatcher.publish(await self._answer(verdict))
                await asyncio.sleep(PAUSE_S)
        finally:
            await dispatcher.close()

    async def _keep(self, verdict: Reporting) -> None:
        async with self._engine.begin() as connection:
            await keep(connection, verdict.held)
        log.info("authorities_held", node=verdict.held.node, issuer=(verdict.held.issuer or b"").hex()[:16])

    async def _answer(self, verdict: Renewing) -> list[Publication]:
        node, digest = verdict.request.node, hashlib.sha256(verdict.arrival.body).digest()
        certificate: str | None = None
        refused: HubError | CryptoError | None = None
        try:
            async with self._engine.connect() as connection:
                user = (await accounts.of_nodes(connection)).get(node)
            certificate = await asyncio.to_thread(self._certified, verdict.request, user)
            refused = await self._listed(verdict, certificate)
        except HandedOver:
            # Nobody is refused for that: the node asks again.
            raise
        except (HubError, CryptoError) as error:
            # Whatever is wrong with one, the others are answered.
            certificate, refused = None, error
        code = detail = None
        if refused is not None:
            log.warning("renewal_refused", node=node, code=refused.code)
            code, detail = refused.code, str(refused)[:MOST_TEXT]
        answer = RenewalAnswer(request=digest, certificate_pem=certificate, code=code, detail=detail)
        body = answer.to_bytes()
        renewed = Publication(node, MessageType.RENEWED, False, f"renewed-{hashlib.sha256(body).hexdigest()}", body)
        # Before a certificate the authority that it is of: the node takes none of one that it does not know.
        first = [] if verdict.request.csr_pem is None else [publication(node, news(self._settings.home, self._key))]
        return [*first, renewed]

    def _certified(self, request: RenewalRequest, user: str | None) -> str | None:
        if request.csr_pem is None:
            return None
        # As it is now: since this worker has started, the keys may have got another secret.
        home = self._settings.home
        ca = authorities.issuing(home, Settings.stored(home).secret())
        pem = registrar.certify(request.node, request.csr_pem, ca.certificate, ca.key, user).decode()
        log.info("certificate_renewed", node=request.node)
        return pem

    async def _listed(self, verdict: Renewing, certificate: str | None) -> RenewalRefused | None:
        request = verdict.request
        try:
            await self._list(verdict.arrival, request, certificate)
        except RenewalRefused as error:
            if request.csr_pem is None:
                raise
            # Who may have no more keys may have a certificate: without one it would be cut off in the end.
            only = request.model_copy(update=dict.fromkeys(("signing", "encryption", "witness")))
            await self._list(verdict.arrival, only, certificate)
            return error
        return None

    async def _list(self, arrival: Arrival, request: RenewalRequest, certificate: str | None) -> None:
        async with writing(self._engine, self._ledger) as connection:
            turn, now = await take_turn(connection), time.time_ns() // 1_000_000
            see_signer(self._ledger, turn.signer)
            # It was judged a moment ago; since then its key may have been taken away, and the node have others.
            if not isinstance(judge(arrival, await registrar.trust(connection, self._ledger.keys), now), Renewing):
                raise RenewalRefused(f"the key that {request.node} asks with is not good any more", NEXT)
            before = await registrar.current(connection, self._ledger.keys)
            after = renewed(before, request, now)
            if certificate is not None:
                await _check_not_too_many(connection, request.node, turn.at)
                await registrar.keep_certificate(connection, certificate.encode(), request.node)
            if after != before.nodes:
                roster = await registrar.publish_roster(connection, self._ledger, after, self._ledger.signer.key)
                log.info("keys_renewed", node=request.node, roster=roster.version)


async def _check_not_too_many(connection: AsyncConnection, node: str, now: int) -> None:
    """Raises RenewalRefused: when the node is revoked each certificate goes onto a list that all nodes hold."""
    table = tables.certificate.c
    query = select(func.count()).where(table.node == node, table.at > now - DAY_MS)
    if (await connection.scalar(query) or 0) >= MOST_CERTIFICATES:
        raise RenewalRefused(f"{node} was given {MOST_CERTIFICATES} certificates within a day", NEXT)
