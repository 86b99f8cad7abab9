"""The link to the broker: two TLS connections, one to publish and one to consume, made anew after any failure.

Nothing is declared here; the provisioner did. A publish counts only when the broker confirms it.
"""

import asyncio
import itertools
import math
import random
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import aio_pika
import aiormq.exceptions
from aio_pika.abc import AbstractConnection
from pamqp.common import FieldTable

from crypto import certificates, typed
from crypto.errors import CryptoError
from crypto.keyfile import write_private
from crypto.log import log
from crypto.tls import client_context, refuse_revoked
from nodes.errors import BrokerUnreachable
from nodes.loops import raise_if_ours
from nodes.publishing import Publication, publish
from nodes.receiving import SLOWEST, Arrival, Receiver, Sizes
from nodes.settings import Settings

HEARTBEAT_S: Final = 15
CONNECT_S: Final = 10
CONFIRM_S: Final = 10
CLOSE_S: Final = 2
LONGEST_PAUSE_S: Final = 30.0
# For how long an urgent message makes another one likely.
ACTIVE_S: Final = 10.0
URGENT: Final = ".urgent"
TROUBLE: Final = (
    OSError,
    TimeoutError,
    aio_pika.exceptions.AMQPError,
    aiormq.exceptions.AMQPError,
    RuntimeError,
)


# By lane (0 is the urgent one), then in the order of arrival.
_Arrivals = asyncio.PriorityQueue[tuple[int, int, Arrival]]


@dataclass(frozen=True, slots=True)
class LinkState:
    """Whether there is a connection, since when (ms), and why not."""

    connected: bool
    since: int
    reason: str


async def connect(settings: Settings, context: ssl.SSLContext, purpose: str) -> AbstractConnection:
    """One connection. Raises BrokerUnreachable, saying what failed."""
    url = (
        f"amqps://{settings.broker_host}:{settings.broker_port}/{settings.vhost}?auth=EXTERNAL&heartbeat={HEARTBEAT_S}"
    )
    properties: FieldTable = {"connection_name": f"{settings.node} {purpose}"}
    try:
        return await aio_pika.connect(url, ssl_context=context, timeout=CONNECT_S, client_properties=properties)
    except aiormq.exceptions.ProbableAuthenticationError as error:
        # The certificate is good, or TLS would have failed: the broker has no such user, or not any more.
        raise BrokerUnreachable(
            f"the broker at {settings.broker_host}:{settings.broker_port} does not let {settings.node} log in "
            "(ACCESS_REFUSED): the node was shut out, or is not set up there",
            "telephone the hub's operators; messages are kept, and go out when it is let in",
        ) from error
    except TROUBLE as error:
        raise BrokerUnreachable(
            f"no connection to {settings.broker_host}:{settings.broker_port}: {typed.why(error)}",
            "messages are kept and sent later; run `seci-node doctor` to see what is wrong",
        ) from error


class Link:
    """The two connections, as long as they last, and what came and has not been taken yet."""

    def __init__(self, settings: Settings, context: ssl.SSLContext) -> None:
        self._settings = settings
        self._context = context
        # The user that the broker takes us for: what our certificate is made out to.
        self._user = ""
        self._publishing: Any = None
        self._lanes: list[Receiver] = []
        self._sizes = {suffix: Sizes() for suffix in (URGENT, "")}
        self._connections: list[AbstractConnection] = []
        # Done when the connections in use are given up.
        self._gone: asyncio.Future[None] | None = None
        # Bytes that are being published, by all lanes: one line carries them all.
        self._under_way = 0
        self._arrivals = _Arrivals()
        self._urgent_at = -math.inf
        self._crl: bytes | None = None
        self.up = asyncio.Event()
        self.state = LinkState(False, _now(), "not connected yet")

    def distrust(self, crl: bytes | None) -> None:
        """From the next connection on, refuses a broker whose certificate is on this revocation list (DER)."""
        if crl is None or crl == self._crl:
            return
        home = self._settings.home
        try:
            # One list is one CA's: of two CAs, while one takes over from the other, the second would be refused.
            [ca] = certificates.read_authorities((home / "ca.pem").read_bytes())
            write_private(home / "crl.pem", certificates.to_pem(certificates.read_crl(crl, ca)))
            refuse_revoked(self._context, home / "crl.pem")
        except (CryptoError, OSError, ValueError) as error:
            log.warning("crl_unusable", error=type(error).__name__)
        else:
            self._crl = crl

    def go_over(self, password: bytes, crl: bytes | None) -> None:
        """Goes by the certificate and the authorities in the folder from the next connection on, and by this list.

        `password` opens the certificate's key. Raises as `client_context`; then nothing has changed.
        """
        home = self._settings.home
        self._context = client_context(home / "ca.pem", home / "tls.pem", home / "tls.key", password)
        # What the one before was told to distrust this one was not.
        self._crl = None
        self.distrust(crl)

    async def run(self) -> None:
        """Keeps the link up until cancelled."""
        failures = 0
        try:
            while True:
                try:
                    await self._open()
                    failures = 0
                    await self._until_closed()
                    self._down("the connection closed")
                except (Exception, asyncio.CancelledError) as error:
                    raise_if_ours(error)
                    self._down(typed.why(error))
                await self._close()
                failures += 1
                pause = min(0.25 * 2 ** min(failures, 10), LONGEST_PAUSE_S) * random.uniform(0.5, 1.0)  # noqa: S311 jitter
                await asyncio.sleep(pause)
        finally:
            await self._close()

    async def publish(self, items: Sequence[Publication]) -> Sequence[bool | None]:
        """Publishes all; for each, whether the broker has taken it, None if the link broke and nobody knows.

        Never raises on a broken link.
        """
        channel, gone = self._publishing, self._gone
        if channel is None or gone is None or channel.is_closed:
            return [False] * len(items)
        size, confirmations = sum(len(item.body) for item in items), list[asyncio.Future[Any]]()
        sending = asyncio.create_task(publish(channel, self._settings.node, self._user, items, confirmations))
        self._under_way += size
        try:
            done, before = 0, -1
            # As long as any of them are confirmed, however slowly, the link is given up only by the other lane or
            # the heartbeats. A connection that hangs may go without a word to who waits on its channels.
            while not sending.done() and not gone.done() and done > before:
                patience = CONFIRM_S + self._under_way / SLOWEST
                await asyncio.wait((sending, gone), timeout=patience, return_when=asyncio.FIRST_COMPLETED)
                before, done = done, sum(confirmation.done() for confirmation in confirmations)
            if not sending.done():
                raise TimeoutError("no confirm")
            return sending.result()
        except (Exception, asyncio.CancelledError) as error:
            raise_if_ours(error)
            # Unknown what arrived: an id is never published again on this channel.
            log.warning("publish_interrupted", error=type(error).__name__, messages=len(items))
            # The other lane may have had the link closed, and a new one may be up.
            if self._publishing is channel:
                await self._close()
            return [None] * len(items)
        finally:
            self._under_way -= size
            sending.cancel()

    @property
    def expects_urgent(self) -> bool:
        """Whether an urgent message came lately, so that another may have to get past what is under way."""
        return time.monotonic() - self._urgent_at < ACTIVE_S

    async def batch(self, limit: int, patience: float) -> list[Arrival]:
        """What has come, urgent messages first, each lane in its order; empty if nothing does in `patience` seconds."""
        arrivals = self._arrivals
        try:
            # As in all that is cancelled at the end: `wait_for` forgets that, when what it waits for comes just then.
            async with asyncio.timeout(patience):
                first = await arrivals.get()
        except TimeoutError:
            return []
        rest = [arrivals.get_nowait() for _ in range(min(limit - 1, arrivals.qsize()))]
        return [arrival for _, _, arrival in (first, *rest)]

    async def acknowledge(self, batch: Sequence[Arrival]) -> None:
        """Tells the broker that a batch is stored. On a broken link it will come again, which does no harm."""
        newest: dict[Receiver, int] = {}
        for arrival in batch:
            # The tags of a channel that is gone mean other messages on the one that took its place.
            if arrival.source is not None and not arrival.source.closed:
                newest[arrival.source] = arrival.tag
        try:
            for source, tag in newest.items():
                await source.acknowledge(tag)
        except (Exception, asyncio.CancelledError) as error:
            raise_if_ours(error)
            log.info("acknowledge_failed", error=type(error).__name__)

    async def _open(self) -> None:
        sending = await connect(self._settings, self._context, "publish")
        self._connections.append(sending)
        receiving = await connect(self._settings, self._context, "consume")
        self._connections.append(receiving)
        # Who waits for an answer on a channel may hear nothing of it when the connection is lost.
        preparing = asyncio.create_task(self._prepare(sending, receiving))
        preparing.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            while not preparing.done():
                if _is_lost(sending) or _is_lost(receiving):
                    raise ConnectionError("the connection closed while it was being prepared")
                await asyncio.wait((preparing,), timeout=0.1)
            await preparing
        finally:
            preparing.cancel()
        self.state = LinkState(True, _now(), "")
        self.up.set()
        log.info("link_up")

    async def _prepare(self, sending: AbstractConnection, receiving: AbstractConnection) -> None:
        channel = await sending.channel(publisher_confirms=True)
        publishing: Any = await channel.get_underlay_channel()
        publishing.owner = channel
        # What came over the old connection can no longer be acknowledged; it comes again.
        self._arrivals = _Arrivals()
        for suffix in (URGENT, ""):
            self._lanes.append(await self._consume(receiving, suffix))
        self._user = _user_of(self._settings)
        self._publishing, self._gone = publishing, asyncio.get_running_loop().create_future()

    async def _consume(self, connection: AbstractConnection, suffix: str) -> Receiver:
        channel = await connection.channel(publisher_confirms=False)
        underlay: Any = await channel.get_underlay_channel()
        underlay.owner = channel
        arrivals, lane, order = self._arrivals, int(suffix != URGENT), itertools.count()

        def arrived(arrival: Arrival) -> None:
            if lane == 0:
                self._urgent_at = time.monotonic()
            arrivals.put_nowait((lane, next(order), arrival))

        queue = f"q.inbox.{self._settings.node}{suffix}"
        return await Receiver.begin(underlay, queue, arrived, self._sizes[suffix])

    async def _until_closed(self) -> None:
        # Beside it: on a slow line the broker's answer comes behind all that is on its way.
        renewing = asyncio.create_task(self._renew())
        try:
            while not any(map(_is_lost, self._connections)):
                if self._publishing is None or self._publishing.is_closed or any(lane.closed for lane in self._lanes):
                    return
                await asyncio.wait((renewing,), timeout=0.1)
                if renewing.done():
                    await renewing
        finally:
            renewing.cancel()

    async def _renew(self) -> None:
        while True:
            for lane in self._lanes:
                await lane.renew()
            await asyncio.sleep(0.1)

    async def _close(self) -> None:
        self._publishing, self._lanes = None, []
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)
        connections, self._connections = self._connections, []
        if not connections:
            return
        # Not by a timeout's cancelling, which the library may take for another's and go on waiting.
        closing = [asyncio.ensure_future(connection.close()) for connection in connections]
        await asyncio.wait(closing, timeout=CLOSE_S)
        for done in closing:
            done.cancel()
            done.add_done_callback(_look_at)

    def _down(self, reason: str) -> None:
        self.up.clear()
        since = _now() if self.state.connected else self.state.since
        self.state = LinkState(False, since, reason)
        log.warning("link_down", reason=reason)


def _is_lost(connection: AbstractConnection) -> bool:
    # The library says that it is closed when it has closed it, which may take for ever once the other side is gone.
    transport = connection.transport
    return connection.is_closed or transport is None or not transport.connection.is_opened


def _user_of(settings: Settings) -> str:
    return certificates.common_name(certificates.read_certificate((settings.home / "tls.pem").read_bytes()))


def _look_at(closed: asyncio.Future[Any]) -> None:
    if closed.cancelled() or closed.exception() is not None:
        log.info("link_close_failed")


def _now() -> int:
    return time.time_ns() // 1_000_000
