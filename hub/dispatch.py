"""Dispatch: persistent, mandatory, confirmed publishing to the inboxes; what the broker will not take is given back."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiormq.exceptions
import structlog
from aio_pika.abc import AbstractConnection
from aiormq.abc import ChannelFrame
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from hub.broker import BrokerAddress
from hub.errors import BrokerUnreachable
from hub.publication import Publication
from hub.topology import CANARY_KEY, CANARY_TYPE, DISPATCH, inbox_key

log = structlog.get_logger()

CONFIRM_S: Final = 10.0
SILENT_S: Final = 60
UNCONFIRMED: Final = "unconfirmed"
WINDOW: Final = 200
WRITE_BYTES: Final = 1024 * 1024
WINDOW_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Untaken:
    """A publication that the broker returned or rejected, and why."""

    publication: Publication
    reason: str


class Dispatcher:
    """Publishes through one channel, opened anew after any failure. Not for use by two tasks at once."""

    def __init__(self, broker: BrokerAddress) -> None:
        self._broker = broker
        self._connection: AbstractConnection | None = None
        self._channel: Any = None
        self._silent: dict[str, float] = {}

    async def publish(self, publications: Sequence[Publication]) -> list[Untaken]:
        """Publishes all and waits for the broker's word on each; returns those that it would not take.

        An inbox that does not answer in time is passed over for a while, so that it holds up nobody else.
        Raises BrokerUnreachable or a channel's error when nothing can be known; then the same again is right.
        """
        untaken: list[Untaken] = []
        try:
            for part in _windows(publications):
                untaken += [Untaken(item, "silent") for item in part if self._is_silent(item)]
                window = [item for item in part if not self._is_silent(item)]
                if not window:
                    continue
                reasons = await _publish(await self._open(), window, CONFIRM_S)
                answers = list(zip(window, reasons, strict=True))
                untaken += [Untaken(item, reason) for item, reason in answers if reason]
                if UNCONFIRMED in reasons:
                    await self._pass_over({_key(item) for item, reason in answers if reason == UNCONFIRMED}, reasons)
        except BaseException:
            # What was sent on this channel is unknown: never publish an id again on it.
            await self.close()
            raise
        return untaken

    def _is_silent(self, item: Publication) -> bool:
        return time.monotonic() < self._silent.get(_key(item), 0.0)

    async def _pass_over(self, keys: set[str], reasons: Sequence[str]) -> None:
        await self.close()
        if set(reasons) == {UNCONFIRMED}:
            # Is it these inboxes, or does the broker (a memory alarm, say) or the line to it answer nobody?
            canary = Publication(CANARY_KEY, CANARY_TYPE, False, CANARY_KEY, repr(time.time()).encode())
            if await _publish(await self._open(), [canary], CONFIRM_S) == [UNCONFIRMED]:
                raise BrokerUnreachable("RabbitMQ confirms nothing", "nothing to do: it is tried again")
        log.error("inbox_silent", inboxes=sorted(keys), seconds=SILENT_S)
        self._silent |= dict.fromkeys(keys, time.monotonic() + SILENT_S)

    async def _open(self) -> Any:
        if self._connection is None or self._connection.is_closed or self._channel.is_closed:
            await self.close()
            self._connection = await self._broker.connect("hub-dispatch")
            channel = await self._connection.channel(publisher_confirms=True)
            self._channel = await channel.get_underlay_channel()
            self._channel.owner = channel
        return self._channel

    async def close(self) -> None:
        """Closes the connection, if there is one. Never raises."""
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            try:
                async with asyncio.timeout(2):
                    await connection.close()
            except (TimeoutError, OSError, aiormq.exceptions.AMQPError, RuntimeError):
                log.info("dispatch_close_failed")


def _key(item: Publication) -> str:
    return inbox_key(item.node, urgent=item.urgent)


def _windows(publications: Sequence[Publication]) -> Iterator[list[Publication]]:
    """Parts of so many messages and bytes as a healthy broker confirms in a moment."""
    window: list[Publication] = []
    size = 0
    for item in publications:
        if window and (len(window) == WINDOW or size + len(item.body) > WINDOW_BYTES):
            yield window
            window, size = [], 0
        window.append(item)
        size += len(item.body)
    if window:
        yield window


async def _publish(channel: Any, items: Sequence[Publication], patience: float) -> list[str]:
    """For each item: empty when the broker has taken responsibility, else the reason why not.

    After `patience` seconds what has no answer is `unconfirmed`: the channel must not be used again.

    What aiormq's `basic_publish` does, for many messages at once: few large writes instead of one for each
    message, no task and no entry in the library's books for each. Raises what closed the channel.
    """
    loop = asyncio.get_running_loop()
    confirmations: list[asyncio.Future[Any]] = []
    async with asyncio.timeout(patience), channel.lock:
        frames: list[Any] = []
        size = 0
        for item in items:
            channel.delivery_tag += 1
            confirmation = channel.confirmations[channel.delivery_tag] = loop.create_future()
            confirmations.append(confirmation)
            channel.message_id_delivery_tag[item.message_id] = channel.delivery_tag
            frames += _frames(channel, item)
            size += len(item.body)
            if size > WRITE_BYTES:
                await channel.write_queue.put(ChannelFrame.marshall(channel.number, frames))
                frames, size = [], 0
        if frames:
            await channel.write_queue.put(ChannelFrame.marshall(channel.number, frames))
    everything, closing = asyncio.gather(*confirmations, return_exceptions=True), channel.closing
    everything.add_done_callback(_look_at)
    try:
        await asyncio.wait((everything, closing), timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        if closing.done():
            # Not the library's own reason, which may be a CancelledError or a bare Exception.
            raise aiormq.exceptions.ChannelInvalidStateError("the channel closed")
        return [_reason(confirmation) for confirmation in confirmations]
    finally:
        everything.cancel()
        closing.cancel()
        for item in items:
            channel.message_id_delivery_tag.pop(item.message_id, None)


def _look_at(done: asyncio.Future[Any]) -> None:
    # Else the loop complains of an error that nobody has looked at, which is only our own cancelling.
    if not done.cancelled():
        done.exception()


def _frames(channel: Any, item: Publication) -> list[Any]:
    properties = Basic.Properties(
        content_type="application/cbor",
        delivery_mode=2,
        message_id=item.message_id,
        correlation_id=item.after,
        message_type=str(item.type),
        user_id="hub-dispatch",
        app_id="seci-hub",
    )
    publish = Basic.Publish(exchange=DISPATCH, routing_key=_key(item), mandatory=True)
    return [publish, ContentHeader(properties=properties, body_size=len(item.body)), *channel._split_body(item.body)]


def _reason(confirmation: asyncio.Future[Any]) -> str:
    if not confirmation.done():
        return UNCONFIRMED
    error = asyncio.CancelledError() if confirmation.cancelled() else confirmation.exception()
    if isinstance(error, aiormq.exceptions.PublishError):
        return "unroutable"
    if isinstance(error, aiormq.exceptions.DeliveryError):
        return "rejected"
    if error is not None:
        raise aiormq.exceptions.ChannelInvalidStateError("the channel closed") from error
    return "" if isinstance(confirmation.result(), Basic.Ack) else "unroutable"
