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
from schemas.control import MessageType

log = structlog.get_logger()

CONFIRM_S: Final = 10.0
SILENT_S: Final = 60
UNCONFIRMED: Final = "unconfirmed"
WINDOW: Final = 200
WRITE_BYTES: Final = 1024 * 1024
WINDOW_BYTES: Final = 4 * 1024 * 1024
# A line that carries fewer bytes a second counts as one that carries none.
SLOWEST: Final = 64 * 1024
# How long what comes next waits at most for an inbox that may be silent.
MOMENT_S: Final = 0.2
LOOK_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Untaken:
    """A publication that the broker returned or rejected, and why."""

    publication: Publication
    reason: str


# For what is no envelope, and for envelopes.
_Channels = tuple[Any, Any]


class Dispatcher:
    """Publishes through two channels, opened anew after any failure. Not for use by two tasks at once.

    The broker may stop a whole channel while one inbox is silent; so what is no envelope has a channel of its own.
    """

    def __init__(self, broker: BrokerAddress) -> None:
        self._broker = broker
        self._connection: AbstractConnection | None = None
        self._channels: _Channels | None = None
        self._silent: dict[str, float] = {}

    async def publish(self, publications: Sequence[Publication], then: Sequence[Publication] = ()) -> list[Untaken]:
        """Publishes all and waits for the broker's word on each; returns those that it would not take.

        `then` goes out once the broker has the others, or a moment later. An inbox that does not answer in time is
        passed over for a while, so that it holds up nobody else.
        Raises BrokerUnreachable or a channel's error when nothing can be known; then the same again is right.
        """
        untaken: list[Untaken] = []
        windows = list(_windows(publications)) or [[]]
        try:
            for window in windows:
                untaken += await self._window(window, then if window is windows[-1] else ())
        except BaseException:
            # What was sent on this channel is unknown: never publish an id again on it.
            await self.close()
            raise
        return untaken

    async def _window(
        self, items: Sequence[Publication], then: Sequence[Publication], *, again: bool = False
    ) -> list[Untaken]:
        now = time.monotonic()
        passed = [Untaken(item, "silent") for item in (*items, *then) if self._is_silent(item, now)]
        first, second = ([item for item in part if not self._is_silent(item, now)] for part in (items, then))
        if not first and not second:
            return passed
        reasons = await _publish(await self._open(), first, second)
        answers = list(zip((*first, *second), reasons, strict=True))
        if UNCONFIRMED in reasons:
            unconfirmed = [item for item, reason in answers if reason == UNCONFIRMED]
            # What stands behind the first of its channel may only have waited for it: it is tried once more.
            heads = set({_is_envelope(item): _key(item) for item in reversed(unconfirmed)}.values())
            silent = heads if not again else {_key(item) for item in unconfirmed}
            await self._pass_over(silent, reasons)
            behind = [item for item in unconfirmed if _key(item) not in silent]
            passed += await self._window(behind, (), again=True)
            answers = [(item, reason) for item, reason in answers if reason != UNCONFIRMED or _key(item) in silent]
        return passed + [Untaken(item, reason) for item, reason in answers if reason]

    def _is_silent(self, item: Publication, now: float) -> bool:
        return now < self._silent.get(_key(item), 0.0)

    async def _pass_over(self, keys: set[str], reasons: Sequence[str]) -> None:
        await self.close()
        if set(reasons) == {UNCONFIRMED}:
            # Is it these inboxes, or does the broker (a memory alarm, say) or the line to it answer nobody?
            canary = Publication(CANARY_KEY, CANARY_TYPE, False, CANARY_KEY, repr(time.time()).encode())
            if await _publish(await self._open(), [canary]) == [UNCONFIRMED]:
                raise BrokerUnreachable("RabbitMQ confirms nothing", "nothing to do: it is tried again")
        log.error("inbox_silent", inboxes=sorted(keys), seconds=SILENT_S)
        self._silent |= dict.fromkeys(keys, time.monotonic() + SILENT_S)

    async def _open(self) -> "_Channels":
        channels = self._channels
        if channels is None or any(channel.is_closed for channel in channels):
            await self.close()
            self._connection = await self._broker.connect("hub-dispatch")
            channels = (await _channel(self._connection), await _channel(self._connection))
            self._channels = channels
        return channels

    async def close(self) -> None:
        """Closes the connection, if there is one. Never raises."""
        connection, self._connection, self._channels = self._connection, None, None
        if connection is not None:
            try:
                async with asyncio.timeout(2):
                    await connection.close()
            except (TimeoutError, OSError, aiormq.exceptions.AMQPError, RuntimeError):
                log.info("dispatch_close_failed")


async def _channel(connection: AbstractConnection) -> Any:
    channel = await connection.channel(publisher_confirms=True)
    underlay: Any = await channel.get_underlay_channel()
    # The connection holds channels weakly.
    underlay.owner = channel
    return underlay


def _is_envelope(item: Publication) -> bool:
    return item.type == MessageType.ENVELOPE


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


async def _publish(channels: _Channels, items: Sequence[Publication], then: Sequence[Publication] = ()) -> list[str]:
    """For each item: empty when the broker has taken responsibility, else the reason why not.

    What has no answer is `unconfirmed` once there was none for anything, for as long as a slow line may take: the
    channels must not be used again. Raises what closed a channel.
    """
    confirmations: list[asyncio.Future[Any]] = []
    try:
        confirmations += await _write(channels, items)
        if then:
            if confirmations:
                await asyncio.wait(confirmations, timeout=MOMENT_S)
            confirmations += await _write(channels, then)
        return await _reasons(channels, confirmations, [len(item.body) for item in (*items, *then)])
    finally:
        for confirmation in confirmations:
            confirmation.cancel()
            _look_at(confirmation)
        for item in (*items, *then):
            channels[_is_envelope(item)].message_id_delivery_tag.pop(item.message_id, None)


async def _write(channels: _Channels, items: Sequence[Publication]) -> list[asyncio.Future[Any]]:
    loop = asyncio.get_running_loop()
    confirmations = [loop.create_future() for _ in items]
    pairs = list(zip(items, confirmations, strict=True))
    for envelopes in (False, True):
        if own := [pair for pair in pairs if _is_envelope(pair[0]) is envelopes]:
            await _write_on(channels[envelopes], own)
    return confirmations


async def _write_on(channel: Any, pairs: Sequence[tuple[Publication, asyncio.Future[Any]]]) -> None:
    """What aiormq's `basic_publish` does, for many messages at once: few large writes instead of one for each.

    No task and no entry in the library's books for each.
    """
    async with asyncio.timeout(CONFIRM_S), channel.lock:
        frames: list[Any] = []
        size = 0
        for item, confirmation in pairs:
            channel.delivery_tag += 1
            channel.confirmations[channel.delivery_tag] = confirmation
            channel.message_id_delivery_tag[item.message_id] = channel.delivery_tag
            frames += _frames(channel, item)
            size += len(item.body)
            if size > WRITE_BYTES:
                await channel.write_queue.put(ChannelFrame.marshall(channel.number, frames))
                frames, size = [], 0
        if frames:
            await channel.write_queue.put(ChannelFrame.marshall(channel.number, frames))


async def _reasons(
    channels: _Channels, confirmations: Sequence[asyncio.Future[Any]], sizes: Sequence[int]
) -> list[str]:
    # Once all are answered, or nothing was for too long.
    everything, closings = asyncio.gather(*confirmations, return_exceptions=True), [one.closing for one in channels]
    everything.add_done_callback(_look_at)
    since, waiting, patience = time.monotonic(), len(confirmations), LOOK_S
    try:
        while patience > 0 and not everything.done():
            await asyncio.wait(
                (everything, *closings), timeout=min(patience, LOOK_S), return_when=asyncio.FIRST_COMPLETED
            )
            if any(closing.done() for closing in closings):
                # Not the library's own reason, which may be a CancelledError or a bare Exception.
                raise aiormq.exceptions.ChannelInvalidStateError("the channel closed")
            left = [size for item, size in zip(confirmations, sizes, strict=True) if not item.done()]
            if len(left) < waiting:
                since, waiting = time.monotonic(), len(left)
            patience = since + CONFIRM_S + sum(left) / SLOWEST - time.monotonic()
        return [_reason(confirmation) for confirmation in confirmations]
    finally:
        everything.cancel()
        for closing in closings:
            closing.cancel()


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
