"""The hub's main loop: take a batch, judge, record, publish, acknowledge.

Crash-only: a batch is acknowledged to the broker only after it is on record and published. Killed
anywhere before, the broker delivers it again, and the record recognises what it has seen.
"""

import asyncio
import random
import time
from typing import Final

import aiormq.exceptions
import structlog
from aio_pika.exceptions import AMQPError
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.ext.asyncio import AsyncEngine

from crypto.trust import Trust
from hub import registrar
from hub.broker import BrokerAddress
from hub.dispatch import Dispatcher, hold, retry_held
from hub.errors import BrokerUnreachable
from hub.intake import Intake, Lane
from hub.judge import Acceptable, Acknowledged, Arrival, Refusable, Unreadable, Verdict, judge
from hub.ledger import Ledger
from hub.publication import Publication
from hub.record import record
from hub.settings import Settings
from schemas.control import MessageType

log = structlog.get_logger()

TICK_S: Final = 1.0
LONGEST_PAUSE_S: Final = 15.0
DATABASE_TROUBLE: Final = (DBAPIError, InterfaceError, OSError, TimeoutError)
BROKER_TROUBLE: Final = (
    BrokerUnreachable,
    AMQPError,
    aiormq.exceptions.AMQPError,
    OSError,
    TimeoutError,
    RuntimeError,
)


class Ingest:
    """One hub worker. Any number may run against the same queues and database."""

    def __init__(self, settings: Settings, broker: BrokerAddress, engine: AsyncEngine, ledger: Ledger) -> None:
        self._settings = settings
        self._broker = broker
        self._engine = engine
        self._ledger = ledger
        self._dispatcher = Dispatcher(broker)
        self._trust: Trust | None = None
        self._announced = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Works until `stop` is set, through every failure of broker and database."""
        failures = 0
        while not stop.is_set():
            try:
                await self._work(stop)
                failures = 0
            except (*BROKER_TROUBLE, *DATABASE_TROUBLE) as error:
                failures += 1
                pause = min(0.2 * 2**failures, LONGEST_PAUSE_S) * random.uniform(0.5, 1.0)  # noqa: S311 jitter
                log.warning("hub_interrupted", error=type(error).__name__, pause_s=round(pause, 1))
                await self._dispatcher.close()
                try:
                    await asyncio.wait_for(stop.wait(), pause)
                except TimeoutError:
                    continue
        await self._dispatcher.close()

    async def _work(self, stop: asyncio.Event) -> None:
        trust = await self._refresh()
        intake = await Intake.open(self._broker, self._settings.prefetch, trust.nodes)
        log.info("hub_ready", nodes=len(trust.nodes), roster=trust.roster.version)
        tick = 0.0
        try:
            while not stop.is_set() and not intake.closed:
                if time.monotonic() > tick:
                    trust = await self._refresh()
                    await intake.add(trust.nodes)
                    await retry_held(self._engine, self._dispatcher)
                    tick = time.monotonic() + TICK_S
                lane, batch = await intake.batch(self._settings.batch_size, TICK_S)
                if batch:
                    await self._process(lane, batch, trust)
        finally:
            await _quietly_close(intake)
        if intake.closed and not stop.is_set():
            raise BrokerUnreachable("the connection to RabbitMQ closed", "nothing to do: it is opened again")

    async def _process(self, lane: Lane, batch: list[Arrival], trust: Trust) -> None:
        now = time.time_ns() // 1_000_000
        verdicts = [judge(arrival, trust, now) for arrival in batch]
        async with self._engine.begin() as connection:
            recorded = await record(connection, self._ledger, verdicts, now)
        untaken = await self._dispatcher.publish(recorded.publications)
        if untaken:
            async with self._engine.begin() as connection:
                await hold(connection, untaken, now)
        await lane.acknowledge(batch)
        for verdict in verdicts:
            _log(verdict)

    async def _refresh(self) -> Trust:
        async with self._engine.connect() as connection:
            signed = await registrar.newest(connection, self._trust.roster.version if self._trust else 0)
        if signed is not None:
            self._trust = registrar.trust_of(signed, self._ledger.signer.key.public)
        if self._trust is None:
            raise BrokerUnreachable("there is no roster yet", "run `seci-hub provision`")
        if self._announced != self._trust.roster.version and signed is not None:
            await self._announce(signed, self._trust)
        return self._trust

    async def _announce(self, signed: bytes, trust: Trust) -> None:
        version = trust.roster.version
        publications = [
            Publication(node, MessageType.ROSTER, False, f"roster-{version}/{node}", signed) for node in trust.nodes
        ]
        untaken = await self._dispatcher.publish(publications)
        if untaken:
            async with self._engine.begin() as connection:
                await hold(connection, untaken, time.time_ns() // 1_000_000)
        self._announced = version
        log.info("roster_announced", version=version, nodes=len(publications))


async def _quietly_close(intake: Intake) -> None:
    try:
        async with asyncio.timeout(2):
            await intake.close()
    except BROKER_TROUBLE:
        log.info("intake_close_failed")


def _log(verdict: Verdict) -> None:
    # One line per message; ids and digests only.
    arrival = verdict.arrival
    match verdict:
        case Acceptable(verified=verified):
            header = verified.header
            log.info(
                "accepted",
                message=str(header.id),
                node=arrival.node,
                kind=header.kind,
                to=len(header.recipients),
            )
        case Refusable(code=code, message=message):
            log.warning("refused", message=str(message), node=arrival.node, code=str(code))
        case Acknowledged(acknowledgement=acknowledgement):
            log.info(
                "acknowledged",
                node=arrival.node,
                sender=acknowledgement.sender,
                items=len(acknowledgement.items),
            )
        case Unreadable(reason=reason):
            log.warning("quarantined", node=arrival.node, reason=reason)
