"""The hub's main loop: take a batch, judge, record, publish, acknowledge.

Crash-only: a batch is acknowledged to the broker only after it is on record and published. Killed
anywhere before, the broker delivers it again, and the record recognises what it has seen.
"""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import aiormq.exceptions
from aio_pika.exceptions import AMQPError
from sqlalchemy.ext.asyncio import AsyncEngine

from crypto.log import log
from crypto.trust import Trust
from hub import registrar, rosternews
from hub.announcing import announce
from hub.broker import BrokerAddress
from hub.canary import Canary
from hub.database import DATABASE_TROUBLE
from hub.deadletters import drain
from hub.deadlines import is_due, see_to
from hub.dispatch import Dispatcher
from hub.errors import BrokenOff, BrokerUnreachable, RosterChanged, VerifierDied
from hub.foreword import Foreword
from hub.held import WITHHELD, hold, sort_out
from hub.intake import SUSPECT, Intake, Lane, Pace
from hub.judge import OF_WITNESSES, Arrival, Verdict, is_active
from hub.ledger import Ledger, check, check_signer, take_turn
from hub.metrics import BATCH_MESSAGES, Stopwatch
from hub.pen import Pen, writing
from hub.publication import Publication, Untaken
from hub.record import NOTHING, Recorded, record
from hub.renewals import Renewals
from hub.retrying import retry_held
from hub.settings import Settings
from hub.stamping import keep_stamping
from hub.tolerance import closed, ended, through_cancelled_channels
from hub.verifiers import Verifiers
from hub.witnessing import Witnessing
from schemas.control import Entry, Event, MessageType

TICK_S: Final = 1.0
LONGEST_PAUSE_S: Final = 15.0
RECORD_S: Final = 300.0
# Publications of a batch, up to which it is small.
FEW: Final = 8
# One batch published, one recorded, two being judged: so no stage waits for another.
AT_ONCE: Final = 4
BROKER_TROUBLE: Final = (
    BrokerUnreachable,
    AMQPError,
    aiormq.exceptions.AMQPError,
    OSError,
    TimeoutError,
    RuntimeError,
)


@dataclass(frozen=True, slots=True)
class InForce:
    """The newest roster with those before it, ready for questions and as they were signed, the newest first."""

    trust: Trust
    signed: tuple[bytes, ...]

    @property
    def absent(self) -> list[str]:
        """The nodes that take no part: they are sent nothing."""
        return [name for name, node in self.trust.nodes.items() if not node.active]


class _Stages:
    """The stages of a batch's way that take one batch at a time, and the order of each lane."""

    def __init__(self) -> None:
        self.recording, self.sending = asyncio.Lock(), asyncio.Lock()
        self.orders = defaultdict[Lane, asyncio.Lock](asyncio.Lock)
        self.failed = False

    def check(self) -> None:
        """Raises BrokenOff once a batch has failed: acknowledging a later one would settle that one too."""
        if self.failed:
            raise BrokenOff("an earlier batch has failed", "nothing to do: all of them come again")


class Ingest:
    """One hub worker. Any number may run against the same queues and database."""

    def __init__(self, settings: Settings, broker: BrokerAddress, engine: AsyncEngine, ledger: Ledger) -> None:
        self._settings = settings
        self._broker = broker
        self._engine = engine
        self._ledger = ledger
        self._pen = Pen(engine, ledger)
        self._dispatcher = Dispatcher(broker, foreword=Foreword(ledger))
        self._verifiers = Verifiers(settings.verifiers, ledger.keys)
        self._witnessing = Witnessing(settings, broker, engine, ledger)
        self._renewals = Renewals(settings, broker, engine, ledger)
        self._stages = _Stages()
        self._in_force: InForce | None = None
        self._announced = 0
        self._failures = 0
        self.canary = Canary(broker, settings.canary_s)
        self.intake: Intake | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Works until `stop` is set, through every failure of broker and database.

        Raises HandedOver once another key signs the ledger: then all begins anew with that.
        """
        answers = (self._witnessing.answer, self._renewals.answer)
        works = (
            self._retry,
            self._drain,
            self._see_to,
            self._announce_authorities,
            *answers,
            self.canary.send_canaries,
        )
        asides = [asyncio.create_task(self._beside(work)) for work in works]
        if self._settings.tsa is not None:
            asides.append(asyncio.create_task(self._beside(self._stamp)))
        try:
            await self._keep_working(stop)
        finally:
            await ended(asides)
            await self._dispatcher.close()
            await self._pen.close()
            self._verifiers.close()

    @property
    def consuming(self) -> bool:
        """Whether the ingress queues are being consumed."""
        return self.intake is not None and not self.intake.closed

    async def _keep_working(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await through_cancelled_channels(self._work(stop))
            except (*BROKER_TROUBLE, *DATABASE_TROUBLE, VerifierDied, BrokenOff) as error:
                self._failures = min(self._failures + 1, 10)
                pause = min(0.2 * 2**self._failures, LONGEST_PAUSE_S) * random.uniform(0.5, 1.0)  # noqa: S311 jitter
                log.warning("hub_interrupted", error=type(error).__name__, pause_s=round(pause, 1))
                await self._dispatcher.close()
                try:
                    await asyncio.wait_for(stop.wait(), pause)
                except TimeoutError:
                    continue

    async def _beside(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await through_cancelled_channels(work())
            except Exception as error:
                # Whatever it is, mail that is held or dead must not wait for a restart.
                log.warning("hub_interrupted", work=work.__name__, error=type(error).__name__)
            await asyncio.sleep(5 * TICK_S)

    async def _retry(self) -> None:
        dispatcher = Dispatcher(self._broker, tries_for=self._dispatcher, foreword=Foreword(self._ledger))
        try:
            while True:
                if self._in_force is not None:
                    async with self._engine.begin() as connection:
                        await sort_out(connection, self._in_force.absent)
                taken = await retry_held(self._engine, dispatcher, self._ledger)
                await asyncio.sleep(0 if taken else TICK_S)
        finally:
            await dispatcher.close()

    async def _see_to(self) -> None:
        while True:
            async with self._engine.connect() as connection:
                due = await is_due(connection)
            while due:
                async with writing(self._engine, self._ledger) as connection:
                    due = await see_to(connection, self._ledger) > 0
            await asyncio.sleep(TICK_S)

    async def _stamp(self) -> None:
        if self._settings.tsa is not None:
            await keep_stamping(self._engine, self._settings.tsa)

    async def _announce_authorities(self) -> None:
        await announce(self._settings, self._broker, self._engine, self._ledger)

    async def _drain(self) -> None:
        await drain(self._broker, self._engine, self._ledger)

    async def _work(self, stop: asyncio.Event) -> None:
        async with self._engine.begin() as connection:
            await take_turn(connection)
            await check(connection, self._ledger)
        roster = await self._refresh()
        self.intake = intake = await Intake.open(self._broker, _pace(self._settings), roster.trust.nodes)
        log.info("hub_ready", nodes=len(roster.trust.nodes), roster=roster.trust.roster.version)
        line: list[asyncio.Task[None]] = []
        self._stages = _Stages()
        tick = 0.0
        try:
            while not stop.is_set() and not intake.closed:
                if time.monotonic() > tick:
                    roster = await self._refreshed(roster)
                    await intake.add(roster.trust.nodes)
                    await self.canary.attend(intake.connection)
                    tick = time.monotonic() + TICK_S
                while len(line) == AT_ONCE or any(task.done() for task in line):
                    await _finish(line)
                lane, batch = await intake.batch(TICK_S, partial(_under_way, line), self._stages.recording.locked)
                if batch:
                    line.append(asyncio.create_task(self._carry(lane, batch, roster, stop, intake)))
                    line[-1].add_done_callback(lambda _: intake.wake())
                if batch and batch[0].returns >= SUSPECT:
                    # Should it be what workers die of, nothing else is under way when it happens.
                    await line.pop()
            while line:
                await _finish(line)
        finally:
            await ended(line)
            if not await closed(intake.close()):
                log.info("intake_close_failed")
        if intake.closed and not stop.is_set():
            raise BrokerUnreachable("the connection to RabbitMQ closed", "nothing to do: it is opened again")

    async def _carry(
        self, lane: Lane, batch: list[Arrival], roster: InForce, stop: asyncio.Event, intake: Intake
    ) -> None:
        # Batches are judged while others are recorded and published. Of these two stages each has room for one,
        # and who waits for a stage gets it in turn. So batches of a lane never overtake each other; but an urgent one
        # does not wait until a normal one is judged.
        stages = self._stages
        judging = asyncio.create_task(self._judge(batch, roster))
        try:
            async with stages.orders[lane]:
                # A few are judged while the database begins.
                if len(batch) > FEW or all(arrival.type in OF_WITNESSES for arrival in batch):
                    await judging
                await stages.recording.acquire()
            try:
                stages.check()
                clock = Stopwatch()
                # Nothing is left of what is only for witnesses.
                nothing = judging.done() and not judging.result()
                recorded = NOTHING if nothing else await self._patiently(judging, batch, roster, stop, intake)
                clock.lap("record")
            finally:
                stages.recording.release()
            async with stages.sending:
                stages.check()
                clock = Stopwatch()
                await self._send(recorded.publications)
                clock.lap("publish")
                await lane.acknowledge(batch)
        except BaseException:
            stages.failed = True
            raise
        finally:
            judging.cancel()
        BATCH_MESSAGES.observe(len(batch))
        self._failures = 0
        for entry in recorded.entries:
            _log(entry)

    async def _judge(self, batch: list[Arrival], roster: InForce) -> list[Verdict]:
        clock = Stopwatch()
        verdicts = await self._verifiers.judge(batch, roster.trust, roster.signed, time.time_ns() // 1_000_000)
        clock.lap("judge")
        return self._renewals.take(self._witnessing.take(verdicts, roster.trust))

    async def _patiently(
        self,
        judging: asyncio.Task[list[Verdict]],
        batch: list[Arrival],
        roster: InForce,
        stop: asyncio.Event,
        intake: Intake,
    ) -> Recorded:
        # A database that is down for a while must not make the broker count deliveries: the batch is kept in
        # hand. Only after minutes may it be the batch that is at fault; then the delivery limit decides.
        end, pause = time.monotonic() + RECORD_S, 0.2
        while True:
            try:
                async with self._pen.writing() as connection:
                    now, version = time.time_ns() // 1_000_000, roster.trust.roster.version
                    return await record(connection, self._ledger, await judging, now, version)
            except RosterChanged:
                # Somebody may have been shut out since: what comes behind that in the ledger must know of it.
                log.info("judged_anew", messages=len(batch), roster=roster.trust.roster.version)
                roster = await self._newest()
                judging = asyncio.create_task(self._judge(batch, roster))
            except DATABASE_TROUBLE as error:
                if stop.is_set() or intake.closed or time.monotonic() > end or _has_failed(judging):
                    raise
                log.warning("record_failed", error=type(error).__name__, pause_s=pause)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)

    async def _send(self, publications: Sequence[Publication]) -> None:
        known = self._in_force
        going, kept = list[Publication](), list[Untaken]()
        for item in publications:
            if known is None or is_active(item.node, known.trust):
                going.append(item)
            else:
                kept.append(Untaken(item, WITHHELD))
        untaken = await self._dispatcher.publish(*_in_turn(going)) + kept
        if untaken:
            async with self._engine.begin() as connection:
                await hold(connection, untaken, time.time_ns() // 1_000_000)

    async def _refreshed(self, known: InForce) -> InForce:
        try:
            return await self._refresh()
        except DATABASE_TROUBLE as error:
            # The batches in hand wait for the database; what is in force stays so until it answers.
            log.warning("refresh_failed", error=type(error).__name__)
            return known

    async def _newest(self) -> InForce:
        known = self._in_force
        async with self._engine.connect() as connection:
            # A worker at rest finds out here.
            await check_signer(connection, self._ledger)
            signed = await registrar.newest_first(connection, known.trust.roster.version if known else 0)
        if signed:
            known = InForce(registrar.trust_of(signed, self._ledger.keys), signed)
        if known is None:
            raise BrokerUnreachable("there is no roster yet", "run `seci-hub provision`")
        self._in_force = known
        return known

    async def _refresh(self) -> InForce:
        known = await self._newest()
        # Remembered only once it is done: a broker that is down now may be up at the next tick.
        if self._announced != known.trust.roster.version:
            await self._announce(known)
        return known

    async def _announce(self, roster: InForce) -> None:
        version, nodes = roster.trust.roster.version, roster.trust.nodes
        async with self._engine.begin() as connection:
            news = await rosternews.of(connection, self._ledger, version)
        async with self._stages.sending:
            # Who is absent asks for what was missed when it is back.
            there = [node for node in nodes if nodes[node].active]
            await self._send([rosternews.publication(node, version, news) for node in there])
        self._announced = version
        log.info("roster_announced", version=version, nodes=len(nodes))


def _has_failed(task: asyncio.Task[list[Verdict]]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is not None


def _under_way(line: list[asyncio.Task[None]]) -> int:
    return sum(not task.done() for task in line)


async def _finish(line: list[asyncio.Task[None]]) -> None:
    """Takes out what is done, once there is any. Raises what it failed with."""
    done, _ = await asyncio.wait(line, return_when=asyncio.FIRST_COMPLETED)
    # Who broke off says nothing of the failure that it broke off for.
    for task in sorted(done, key=lambda task: not task.cancelled() and isinstance(task.exception(), BrokenOff)):
        await task
    line[:] = [task for task in line if task not in done]


def _in_turn(publications: Sequence[Publication]) -> tuple[list[Publication], list[Publication]]:
    # When there is little to do, the broker gets the messages first and their receipts once it has them: nobody's
    # message waits while receipts are routed. Of many, each wait would be paid by all that come behind; there the
    # receipts are part of the first that are confirmed, so that no silent inbox holds them up.
    messages = [item for item in publications if item.type == MessageType.ENVELOPE]
    others = [item for item in publications if item.type != MessageType.ENVELOPE]
    return (messages, others) if len(publications) <= FEW else (others + messages, [])


def _pace(settings: Settings) -> Pace:
    return Pace(settings.prefetch, settings.batch_size, settings.shared_batch, settings.node_rate, settings.node_burst)


def _log(entry: Entry) -> None:
    # One line for each entry; ids and digests only.
    line = {"node": entry.node, "message": None if entry.message is None else str(entry.message)}
    if entry.event is Event.ACCEPTED:
        log.info(str(entry.event), **line, kind=entry.kind, to=len(entry.recipients or ()))
    elif entry.event in (Event.DELIVERED, Event.DECLINED):
        log.info(str(entry.event), **line, sender=entry.sender, code=entry.code and str(entry.code))
    else:
        log.warning(str(entry.event), **line, code=str(entry.code or entry.detail))
