"""The canary: a small message through the broker's whole way, again and again, so that silence is noticed.

    dispatch --hub.canary--> q.in.hub.canary --> the intake's connection, on a channel of its own

A connection can look alive and bring nothing. Each worker sends a canary each period; as all workers consume one
queue, any may receive any other's. It holds the time it was sent and nothing else, never meets the lanes of the
nodes, and never becomes a verdict.
"""

import asyncio
import time
from dataclasses import dataclass, replace
from typing import Any, Final

import aio_pika
import aiormq.exceptions
from aio_pika.abc import AbstractConnection, AbstractIncomingMessage

from crypto.log import log
from hub.broker import BrokerAddress
from hub.errors import BrokerUnreachable
from hub.metrics import CANARY_SECONDS
from hub.topology import CANARY_KEY, CANARY_QUEUE, CANARY_TYPE, DISPATCH

CONFIRM_S: Final = 10.0
LATE_PERIODS: Final = 3


@dataclass(frozen=True, slots=True)
class CanaryState:
    """When the newest canary received was sent, and ours confirmed (s since the epoch); None: not yet."""

    received: float | None = None
    confirmed: float | None = None
    queue_exists: bool = True


class Canary:
    """One worker's canary: `send_canaries` runs beside the main loop, which calls `attend` each second."""

    def __init__(self, broker: BrokerAddress, period_s: float) -> None:
        self._broker = broker
        self._connection: AbstractConnection | None = None
        self._channel: Any = None
        self._try_at = 0.0
        self._unanswered_since: float | None = None
        self.period_s = period_s
        self.state = CanaryState()

    async def send_canaries(self) -> None:
        """Sends one each period, for ever. Raises on trouble with the broker; then begin again."""
        async with await self._broker.connect("hub-dispatch") as connection:
            channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
            exchange = await channel.get_exchange(DISPATCH, ensure=False)
            while True:
                now = time.time()
                try:
                    message = aio_pika.Message(repr(now).encode(), type=CANARY_TYPE, user_id="hub-dispatch")
                    await exchange.publish(message, CANARY_KEY, mandatory=True, timeout=CONFIRM_S)
                except aiormq.exceptions.PublishError:
                    self._missing()
                else:
                    self._confirmed(now)
                await asyncio.sleep(self.period_s)

    async def attend(self, connection: AbstractConnection) -> None:
        """Sees that canaries are consumed on the intake's connection. Raises BrokerUnreachable if it brings none."""
        now = time.monotonic()
        if connection is not self._connection:
            self._connection, self._channel = connection, None
            self._try_at, self._unanswered_since = now, None
        if self._channel is None and now >= self._try_at:
            self._try_at = now + self.period_s
            await self._consume(connection)
        if self._unanswered_since is not None and now - self._unanswered_since > LATE_PERIODS * self.period_s:
            raise BrokerUnreachable("the intake brings no canary", "nothing to do: its connection is opened again")

    async def _consume(self, connection: AbstractConnection) -> None:
        channel = await connection.channel(publisher_confirms=False)
        try:
            queue = await channel.get_queue(CANARY_QUEUE, ensure=True)
        except aiormq.exceptions.ChannelNotFoundEntity:
            self._missing()
            return
        await queue.consume(self._received, no_ack=True)
        # The connection holds channels weakly.
        self._channel = channel
        self.state = replace(self.state, queue_exists=True)

    async def _received(self, message: AbstractIncomingMessage) -> None:
        sent = float(message.body)
        CANARY_SECONDS.observe(max(0.0, time.time() - sent))
        self._unanswered_since = None
        self.state = replace(self.state, received=max(sent, self.state.received or 0.0))

    def _confirmed(self, sent: float) -> None:
        self.state = replace(self.state, confirmed=sent)
        # The canary may have been here before the word that the broker has it.
        answered = self.state.received is not None and self.state.received >= sent
        if self._channel is not None and self._unanswered_since is None and not answered:
            self._unanswered_since = time.monotonic()

    def _missing(self) -> None:
        # Once, not each period: an exchange that was provisioned by an older release works without it.
        if self.state.queue_exists:
            log.error("queue_missing", queue=CANARY_QUEUE, next="seci-hub provision")
        self.state = replace(self.state, queue_exists=False)
