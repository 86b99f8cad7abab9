"""The agent: wires store, link and API together, and keeps five loops going.

send         outbox -> broker, until a receipt comes; one loop for each lane
receive      broker -> inbox, receipts, roster
acknowledge  inbox -> hub, until a receipt comes
order        a coordinator's orders -> hub, until a receipt comes
expire       what nobody took in time
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from crypto.authorities import signer_of_authorities
from crypto.envelope import digest_of
from crypto.errors import CryptoError, HsmUnavailable, KeyNotValid, KeyRevoked, KeyUnknown, SenderUnknown
from crypto.hubkeys import HubKeys
from crypto.keyfile import NodeKeys
from crypto.log import log
from crypto.trust import Trust
from nodes import (
    acceptances,
    asides,
    breaches,
    handovers,
    hearsay,
    histories,
    inbox,
    orders,
    outbox,
    renewal,
    rosters,
    store,
)
from nodes.acknowledging import acknowledging
from nodes.commits import alone
from nodes.errors import StoreClosed
from nodes.hearing import GRACE_MS, Hearing
from nodes.link import Link
from nodes.loops import BATCH, TICK_S, UnderWay, gather, pause, through_trouble
from nodes.receipts import Reader
from nodes.receiving import Arrival
from nodes.renewing import OF_RENEWAL, Renewing
from nodes.sending import Sending
from nodes.settings import Settings
from nodes.setup import own_kids, witness_key
from nodes.store import Store
from nodes.witness import Witness
from schemas.control import ControlRefused, MessageType
from schemas.renewal import RenewalAnswer

SMALL_BATCH: Final = 10
NO_LIMIT: Final = 2**63 - 1
# What a stop waits for what is under way; the link takes its time to close as well.
FINISH_S: Final = 1.5
UNKNOWN_SIGNER: Final = (SenderUnknown.code, KeyUnknown.code, KeyNotValid.code)
ACKNOWLEDGE_S: Final = 0.1
# What may let the witness go on.
OF_WITNESSES: Final = (MessageType.CHECKPOINT, MessageType.ROSTER, MessageType.HANDOVER)


@dataclass
class Agent:
    """One node at work. `trust` is replaced whenever a newer roster comes into force, `hub` with each handover.

    `stored` wakes the loop that acknowledges, which looks by itself each second too.
    """

    settings: Settings
    keys: NodeKeys
    box: Store
    link: Link
    trust: Trust
    hub: HubKeys
    stored: asyncio.Event = field(default_factory=asyncio.Event)
    hearing: Hearing = field(default_factory=Hearing)
    witness: Witness = field(init=False)
    sending: Sending = field(init=False)

    def __post_init__(self) -> None:
        node, origin = self.settings.node, self.settings.log_origin
        second, pause_s = self.settings.log_second(), self.settings.witness_pause
        self.witness = Witness(node, origin, self.hub, second, pause_s=pause_s)
        self._under_way = UnderWay()
        self.sending = Sending(self.box, self.link, self.witness, self.settings.resend_after_ms, self._under_way)
        self._receipts = Reader(node, origin, self.hub)
        self._rosters = rosters.Reader(node, self.keys, self.hub, origin, self.hub)
        self._pinned = self.settings.log_verifier()
        self.renewing = Renewing(
            self.settings, self.box, self.link, lambda: self.trust, lambda: self.keys, self.go_over
        )

    async def run(self) -> None:
        """Works until cancelled; an unexpected error ends the whole agent."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(through_trouble(self.link.run, "_link"))
            tasks.create_task(through_trouble(self.renewing.run, "_renew"))
            ask = partial(self.witness.run, self.box, self.link)
            tasks.create_task(through_trouble(ask, "_witness"))
            for lane in (self.sending.urgent, self.sending.normal):
                tasks.create_task(through_trouble(partial(self.sending.keep_sending, lane), "_send"))
            order = partial(orders.keep_sending, self.box, self.link, self.witness)
            tasks.create_task(through_trouble(order, "_order"))
            for loop in (self._receive, self._acknowledge, self._expire):
                tasks.create_task(through_trouble(loop, loop.__name__))

    async def finish(self) -> None:
        """To be called before `run` is cancelled: begins no more batches, and finishes those under way, if it soon can.

        What came and is stored is acknowledged to the broker, what the broker took is marked as sent: the next agent
        has none of it again.
        """
        try:
            async with asyncio.timeout(FINISH_S):
                await self._under_way.finished()
                await self.sending.settle()
        except (SQLAlchemyError, OSError, StoreClosed) as error:
            # It comes or goes again, and is recognised. That it takes too long is an OSError, too.
            log.info("left_unfinished", error=type(error).__name__)

    async def prepare(self) -> None:
        """To be called once before `run`: what the store and the folder say. Raises KeyFileRefused, WrongPassphrase."""
        self.witness.key, self.witness.policy = witness_key(self.settings), self.settings.witness_policy()
        self.witness.caught = await self.box.run(histories.undecided) is not None
        self.link.distrust(self.trust.roster.crl)
        asked_for = renewal.pending(self.settings)
        self.keys = asked_for.opening_too(self.keys)
        own = own_kids(self.keys, self.witness.key) + asked_for.own_kids()
        await self.box.run(self._rosters.remember, own)
        if not self.witness.caught:
            await self.box.run(self.renew_keys)
            await self.box.run(self.renew_trust)
            # A handover that was put aside in distrust comes before what the new key has signed since.
            while await self.box.run(self.decide):
                pass

    def go_over(self, held: renewal.Held) -> None:
        """Uses these keys from now on, and certificate and authorities of the folder from the next connection on."""
        self.keys, self.witness.key = held.keys, held.witness
        self._rosters = replace(self._rosters, keys=held.keys)
        self.link.go_over(held.password, self.trust.roster.crl)

    async def _acknowledge(self) -> None:
        while True:
            await self.link.up.wait()
            self.stored.clear()
            now = _now()
            caught = self.witness.caught
            # Nothing is said before the roster that it is judged by, however far behind the clock is.
            at = max(now, self.trust.roster.at)
            due = [] if caught else await self.box.run(inbox.duties, self.settings.node, BATCH, now, at)
            if not due:
                await pause(self.stored)
                continue
            try:
                publications = await acknowledging(due, self.keys.signing, self.trust.reference)
            except HsmUnavailable as error:
                log.error("hsm_unavailable", detail=str(error))
                await asyncio.sleep(TICK_S)
                continue
            async with self._under_way.piece():
                confirmed = await self.link.publish(publications)
                done = [seq for duty, ok in zip(due, confirmed, strict=True) if ok for seq in duty.seqs]
                if done:
                    await self.box.run(inbox.mark_acknowledged, done, now, self.settings.resend_after_ms)
            if not all(confirmed):
                await asyncio.sleep(TICK_S)
            elif len(done) < BATCH:
                # The next word goes for all that comes meanwhile: each costs the hub a signature and an entry.
                await asyncio.sleep(ACKNOWLEDGE_S)

    async def _expire(self) -> None:
        before = NO_LIMIT
        while True:
            now = _now()
            if now < before:
                # At the start, and when the clock has been set back: what it put off would wait for its old time.
                await self.box.run(store.bring_forward, now, self.settings.resend_after_ms)
            before = now
            for id in await self.sending.write(outbox.expire, now):
                log.warning("expired", message=id)
            if await self.box.run(self.decide):
                self.stored.set()
            await asyncio.sleep(TICK_S)

    async def _receive(self) -> None:
        while True:
            await self.link.up.wait()
            # A batch under way is what an urgent message has to wait for.
            hurry = self.link.expects_urgent
            batch = await self.link.batch(SMALL_BATCH if hurry else BATCH, TICK_S)
            if not batch:
                continue
            async with self._under_way.piece():
                await self._keep(batch)
            if not hurry:
                await gather(len(batch))

    async def _keep(self, batch: Sequence[Arrival]) -> None:
        """Stores a batch and acknowledges it, however often the store fails."""
        while True:
            before = self.trust, self.hub
            try:
                await self.sending.write(self.take_in, batch)
            except (SQLAlchemyError, OSError) as error:
                # A roster or key that was rolled back is not in force.
                self._go_by(*before)
                # The disk is full, say. The batch is kept in hand; the broker keeps it too.
                log.error("store_failed", error=type(error).__name__)
                await asyncio.sleep(TICK_S)
            else:
                break
        self.stored.set()
        self.witness.canary.hear(_now())
        if any(arrival.type in OF_WITNESSES for arrival in batch):
            self.witness.news.set()
        if any(arrival.type in OF_RENEWAL for arrival in batch):
            self.renewing.woken.set()
        await self.link.acknowledge(batch)

    def take_in(self, connection: Connection, batch: Sequence[Arrival]) -> None:
        """Stores what a batch says. What cannot be understood is put aside and holds up nothing behind it."""
        now = _now()
        self.witness.caught = histories.undecided(connection) is not None
        for arrival in batch:
            reason = self._try(connection, arrival, now)
            if reason is not None:
                thing = asides.Aside(digest_of(arrival.body), arrival.type, arrival.body, arrival.after)
                asides.put_aside(connection, thing, reason, now)
                log.warning("put_aside", type=arrival.type[:40], digest=thing.digest.hex(), code=reason)
        while due := asides.next_in_thread(connection):
            for digest in due:
                self._reconsider(connection, digest, now, final=False)

    def _try(self, connection: Connection, arrival: Arrival, now: int, *, final: bool = False) -> str | None:
        before = self.trust, self.hub
        try:
            with alone(connection):
                return self._take_in_one(connection, arrival, now, final)
        except (CryptoError, ControlRefused, inbox.Undecided, handovers.HandoverWaits) as error:
            self._go_by(*before)
            return error.code
        except histories.HubCaught as caught:
            self._go_by(*before)
            if caught.by & handovers.coming(connection, self._pinned):
                return handovers.WAITING
            if caught.by and arrival.again:
                # The broker may have turned their order round: the handover may be the next. What is said of it then
                # is the last word.
                return handovers.UNTOLD
            histories.raise_alarm(connection, caught, now)
            self.witness.caught = True
            return caught.code
        except (SQLAlchemyError, OSError):
            raise
        except Exception as error:
            # A fault of ours must not stop the messages behind this one; it is kept, and named by type only.
            self._go_by(*before)
            return f"unexpected_{type(error).__name__}"

    def _take_in_one(self, connection: Connection, arrival: Arrival, now: int, final: bool) -> str | None:
        match arrival.type:
            case MessageType.ENVELOPE:
                self._take_in_envelope(connection, arrival, now, final)
            case MessageType.RECEIPTS:
                self._check_hub()
                accepted = self._receipts.take_in(connection, arrival.body, self.trust, now)
                self.witness.canary.bring()
                if accepted:
                    self._try_again(connection, KeyRevoked.code)
            case MessageType.ROSTER:
                return self._take_in_roster(connection, arrival.body, now)
            case MessageType.RENEWED:
                renewal.take_answer(self.settings, RenewalAnswer.from_bytes(arrival.body))
            case MessageType.AUTHORITIES:
                self._take_in_authorities(connection, arrival.body)
            case MessageType.HANDOVER:
                self._check_hub()
                handovers.take_in(connection, self._pinned, arrival.body, now)
                self.renew_keys(connection)
            case MessageType.CHECKPOINT | MessageType.TILES:
                if not self.witness.caught:
                    self.witness.take_in(connection, arrival.type, arrival.body, self.trust, now)
                    self.renew_keys(connection)
                    self.renew_trust(connection)
            case _:
                raise ControlRefused("the message's type is not known")
        return None

    def _take_in_authorities(self, connection: Connection, body: bytes) -> None:
        if signer_of_authorities(body) in handovers.coming(connection, self._pinned):
            raise handovers.HandoverWaits("the authorities are told by a key that is to be the hub's")
        self.renewing.hear(body, self.hub.newest.key)

    def _take_in_roster(self, connection: Connection, body: bytes, now: int) -> str | None:
        self._check_hub()
        try:
            fault = self._rosters.take_in(connection, body, now)
        except (CryptoError, ControlRefused):
            self.witness.asking.fail(time.monotonic())
            raise
        self.renew_trust(connection)
        return fault

    def _check_hub(self) -> None:
        if self.witness.caught:
            raise inbox.Undecided(histories.DISTRUSTED)

    def _take_in_envelope(self, connection: Connection, arrival: Arrival, now: int, final: bool) -> None:
        in_time = partial(acceptances.in_time, connection, digest_of(arrival.body), self.trust)
        node, keys = self.settings.node, self.keys
        received = inbox.receive(arrival.body, node, keys, self.trust, now, final=final, in_time=in_time)
        hearsay.hear(connection, received.header.sender, received.header.roster, self.trust.reference, now)
        alone = final or arrival.after in ("", str(received.header.id))
        if not alone and not inbox.knows(connection, arrival.after):
            raise inbox.Undecided(asides.AFTER + arrival.after)
        new = inbox.keep(connection, self.box, received, now)
        if new and received.let_through and received.code is not None:
            breaches.keep(connection, received.header, received.code, now)
        log.info("received", message=str(received.header.id), new=new, code=received.code and str(received.code))

    def renew_keys(self, connection: Connection) -> None:
        """Goes on with the hub's keys that handovers lead to by now."""
        newer = handovers.bring_into_force(connection, self._pinned, self.hub)
        if newer is not None:
            self._go_by(self.trust, newer)
            self._try_again(connection, handovers.WAITING, handovers.UNTOLD)

    def _go_by(self, trust: Trust, hub: HubKeys) -> None:
        self.trust = trust
        if hub is not self.hub:
            self.hub = self.witness.hub = hub
            self._receipts = replace(self._receipts, hub=hub)
            self._rosters = replace(self._rosters, hub=hub, ledger=hub)

    def renew_trust(self, connection: Connection) -> None:
        """Goes on with the newest roster that can be in force by now."""
        newer = self._rosters.bring_into_force(connection)
        if newer is not None:
            self.trust = newer
            hearsay.settle(connection)
            self.link.distrust(newer.roster.crl)
            self._try_again(connection, *UNKNOWN_SIGNER, *inbox.MEMBERSHIP)

    def _try_again(self, connection: Connection, *reasons: str) -> None:
        # On its own lane, a message may overtake the roster that names a key or a membership it needs, and the proof
        # that it was accepted before a key was revoked.
        now = _now()
        for digest in asides.put_aside_for(connection, reasons, now, NO_LIMIT):
            self._reconsider(connection, digest, now, final=False)

    def decide(self, connection: Connection) -> bool:
        """What has waited a minute: declines what no roster has allowed, goes on without what is missing in a thread.

        Whether anything was decided.
        """
        now = _now()
        self.witness.caught = histories.undecided(connection) is not None
        due = asides.put_aside_after(connection, now - GRACE_MS, BATCH)
        due += asides.put_aside_for(connection, (handovers.UNTOLD,), now - handovers.GRACE_MS, BATCH)
        if self._has_heard(connection, now):
            due += asides.put_aside_for(connection, inbox.MEMBERSHIP, now - GRACE_MS, BATCH)
        if not self.witness.caught:
            due += asides.put_aside_for(connection, (histories.DISTRUSTED,), now, BATCH)
        hearsay.tell(connection, now, unread=self.witness.asking.unread)
        decided = [self._reconsider(connection, digest, now, final=True) for digest in due]
        return any(decided)

    def _has_heard(self, connection: Connection, now: int) -> bool:
        """Whether every roster that could allow more has had its time: the link to bring it, the hub to prove it.

        While the hub is not trusted none is taken. One that has waited for too long holds up no messages.
        """
        if not self.hearing.heard(self.link.state, now) or self.witness.caught:
            return False
        return not rosters.waiting(connection) or rosters.overdue(connection, now) is not None

    def _reconsider(self, connection: Connection, digest: bytes, now: int, *, final: bool) -> bool:
        aside = asides.aside(connection, digest)
        reason = self._try(connection, Arrival(aside.type, aside.content, 0, None, aside.after), now, final=final)
        if reason is None:
            asides.take_back(connection, digest)
        else:
            asides.set_reason(connection, digest, reason)
        return reason is None


def _now() -> int:
    return time.time_ns() // 1_000_000
