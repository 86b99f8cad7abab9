"""Dispatch: persistent, mandatory, confirmed publishing to the inboxes; what the broker will not take is given back."""

import asyncio
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiormq.exceptions
from aio_pika.abc import AbstractConnection
from aiormq.abc import ChannelFrame
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from crypto.log import log
from hub.broker import BrokerAddress
from hub.errors import BrokerUnreachable
from hub.foreword import Foreword
from hub.publication import Publication, Untaken
from hub.tolerance import closed, is_lost
from hub.topology import CANARY_KEY, CANARY_TYPE, DISPATCH, inbox_key
from schemas.control import MessageType

CONFIRM_S: Final = 10.0
# How long an answer may take once an inbox was found silent a moment ago: who does not answer then is likely so too.
HASTY_S: Final = 1.0
SILENT_S: Final = 60.0
UNCONFIRMED: Final = "unconfirmed"
SILENT: Final = "silent"
WINDOW: Final = 200
WRITE_BYTES: Final = 1024 * 1024
WINDOW_BYTES: Final = 4 * 1024 * 1024
# A line that carries fewer bytes a second counts as one that carries none.
SLOWEST: Final = 64 * 1024
# How long what comes next waits at most for an inbox that may be silent.
MOMENT_S: Final = 0.2
LOOK_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class _Channels:
    """Channels of one connection, and which of them is a publication's."""

    connection: AbstractConnection
    by: Mapping[object, Any]
    of: Callable[[Publication], object]

    @property
    def lost(self) -> bool:
        """Whether the connection or a channel is gone."""
        return is_lost(self.connection) or any(channel.is_closed for channel in self.by.values())


# Empty when the broker has taken it, else the reason why not.
_Answer = tuple[Publication, str]


class Dispatcher:
    """Publishes through two channels, opened anew after any failure. Not for use by two tasks at once.

    The broker may stop a whole channel while one inbox is silent; so what is no envelope has a channel of its own.

    A silent inbox is passed over for a while, and then costs its patience again. Not if there is a dispatcher that
    `tries_for` this one: this one passes it over until the other has had an answer from it.
    """

    def __init__(
        self, broker: BrokerAddress, *, tries_for: "Dispatcher | None" = None, foreword: Foreword | None = None
    ) -> None:
        self._broker = broker
        self._foreword = foreword
        self._connection: AbstractConnection | None = None
        self._channels: _Channels | None = None
        self._closing: set[asyncio.Task[None]] = set()
        # The inboxes that are passed over, and until when; and until when others are given less time for it.
        self._silent: dict[str, float] = {}
        self._hasty_until = -math.inf
        self._passes_over_s = SILENT_S
        self._front = tries_for
        if tries_for is not None:
            tries_for._passes_over_s = math.inf

    async def publish(self, publications: Sequence[Publication], then: Sequence[Publication] = ()) -> list[Untaken]:
        """Publishes all and waits for the broker's word on each; returns those that it would not take.

        `then` goes out once the broker has the others, or a moment later. An inbox that does not answer in time is
        passed over from then on, so that it holds up nobody else.
        What a node must have first, it gets first: `foreword`.
        Raises BrokerUnreachable or a channel's error when nothing can be known; then the same again is right.
        """
        owed = [] if self._foreword is None else self._foreword.owed((*publications, *then))
        if self._foreword is not None and owed:
            refused = {item.publication.node: item.reason for item in await self._publish(owed, ())}
            self._foreword.told({item.node for item in owed} - refused.keys())
            kept = [Untaken(item, refused[item.node]) for item in (*publications, *then) if item.node in refused]
            going, after = ([item for item in part if item.node not in refused] for part in (publications, then))
            return kept + await self._publish(going, after)
        return await self._publish(publications, then)

    async def _publish(self, publications: Sequence[Publication], then: Sequence[Publication]) -> list[Untaken]:
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

    async def _window(self, items: Sequence[Publication], then: Sequence[Publication]) -> list[Untaken]:
        now = time.monotonic()
        passed = [Untaken(item, SILENT) for item in (*items, *then) if self._is_silent(item, now)]
        first, second = ([item for item in part if not self._is_silent(item, now)] for part in (items, then))
        if not first and not second:
            return passed
        enough = HASTY_S if now < self._hasty_until else CONFIRM_S
        answers = await self._ask(await self._open(), first, second, enough)
        if unconfirmed := _unconfirmed(answers):
            # What stands behind the first of its channel may only have waited for it.
            heads = set({_is_envelope(item): _key(item) for item in reversed(unconfirmed)}.values())
            await self._pass_over(heads, answers)
            behind = [item for item in unconfirmed if _key(item) not in heads]
            answers = [pair for pair in answers if pair[1] != UNCONFIRMED or _key(pair[0]) in heads]
            answers += await self._ask_apart(behind)
        return passed + [Untaken(item, reason) for item, reason in answers if reason]

    async def _ask(
        self, channels: _Channels, items: Sequence[Publication], then: Sequence[Publication], enough: float
    ) -> list[_Answer]:
        reasons = await _publish(channels, items, then, enough)
        answers = list(zip((*items, *then), reasons, strict=True))
        # Not if it answered in part: when it is silent for long, the broker rejects in its place.
        self._heard({_key(item) for item, _ in answers} - {_key(item) for item in _unconfirmed(answers)})
        return answers

    async def _ask_apart(self, items: Sequence[Publication]) -> list[_Answer]:
        """Each inbox on a channel of its own, so that those that answer show at once, however many do not."""
        if not items:
            return []
        connection = await self._broker.connect("hub-dispatch")
        try:
            keys = sorted({_key(item) for item in items})
            channels = _Channels(connection, {key: await _channel(connection) for key in keys}, _key)
            answers = await self._ask(channels, items, (), HASTY_S)
        finally:
            self._close_aside(connection)
        if unconfirmed := _unconfirmed(answers):
            await self._pass_over({_key(item) for item in unconfirmed}, answers)
        return answers

    def _is_silent(self, item: Publication, now: float) -> bool:
        return now < self._silent.get(_key(item), 0.0)

    async def _pass_over(self, keys: set[str], answers: Sequence[_Answer]) -> None:
        self._leave()
        if len(_unconfirmed(answers)) == len(answers):
            # Is it these inboxes, or does the broker (a memory alarm, say) or the line to it answer nobody?
            canary = Publication(CANARY_KEY, CANARY_TYPE, False, CANARY_KEY, repr(time.time()).encode())
            if await _publish(await self._open(), [canary], (), CONFIRM_S) == [UNCONFIRMED]:
                raise BrokerUnreachable("RabbitMQ confirms nothing", "nothing to do: it is tried again")
        log.error("inbox_silent", inboxes=sorted(keys))
        now = time.monotonic()
        self._silent |= dict.fromkeys(keys, now + self._passes_over_s)
        if self._front is None:
            self._hasty_until = now + SILENT_S

    def _heard(self, keys: set[str]) -> None:
        for dispatcher in (self, self._front):
            if dispatcher is not None and (again := keys & dispatcher._silent.keys()):
                log.info("inbox_answers", inboxes=sorted(again))
                dispatcher._silent = {key: end for key, end in dispatcher._silent.items() if key not in again}

    async def _open(self) -> _Channels:
        channels = self._channels
        if channels is None or channels.lost:
            self._leave()
            self._connection = connection = await self._broker.connect("hub-dispatch")
            both: dict[object, Any] = {kind: await _channel(connection) for kind in (False, True)}
            self._channels = channels = _Channels(connection, both, _is_envelope)
        return channels

    def _leave(self) -> None:
        connection, self._connection, self._channels = self._connection, None, None
        if connection is not None:
            self._close_aside(connection)

    def _close_aside(self, connection: AbstractConnection) -> None:
        # A channel that waits for an inbox is long in closing, and nobody need wait for that.
        closing = asyncio.create_task(_close(connection))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Closes the connection, if there is one. Never raises."""
        self._leave()
        await asyncio.gather(*self._closing, return_exceptions=True)


async def _close(connection: AbstractConnection) -> None:
    if not await closed(connection.close()):
        log.info("dispatch_close_failed")


async def _channel(connection: AbstractConnection) -> Any:
    channel = await connection.channel(publisher_confirms=True)
    underlay: Any = await channel.get_underlay_channel()
    # The connection holds channels weakly.
    underlay.owner = channel
    return underlay


def _unconfirmed(answers: Sequence[_Answer]) -> list[Publication]:
    return [item for item, reason in answers if reason == UNCONFIRMED]


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


async def _publish(
    channels: _Channels, items: Sequence[Publication], then: Sequence[Publication], enough: float
) -> list[str]:
    """For each item: empty when the broker has taken responsibility, else the reason why not.

    What has no answer is `unconfirmed` once there was none for anything, for `enough` seconds and as long as a slow
    line may take, or again so long once all is known to be at the broker: the channels must not be used again.
    Raises what closed a channel.
    """
    confirmations: list[asyncio.Future[Any]] = []
    try:
        confirmations += await _write(channels, items)
        if then:
            if confirmations:
                await asyncio.wait(confirmations, timeout=MOMENT_S)
            confirmations += await _write(channels, then)
        return await _reasons(channels, confirmations, [len(item.body) for item in (*items, *then)], enough)
    finally:
        for confirmation in confirmations:
            confirmation.cancel()
            _look_at(confirmation)
        for item in (*items, *then):
            channels.by[channels.of(item)].message_id_delivery_tag.pop(item.message_id, None)


async def _write(channels: _Channels, items: Sequence[Publication]) -> list[asyncio.Future[Any]]:
    loop = asyncio.get_running_loop()
    confirmations = [loop.create_future() for _ in items]
    pairs = list(zip(items, confirmations, strict=True))
    for kind, channel in channels.by.items():
        if own := [pair for pair in pairs if channels.of(pair[0]) == kind]:
            await _write_on(channel, own)
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
    channels: _Channels, confirmations: Sequence[asyncio.Future[Any]], sizes: Sequence[int], enough: float
) -> list[str]:
    # Once all are answered, or nothing was for too long.
    everything, closings = (
        asyncio.gather(*confirmations, return_exceptions=True),
        [one.closing for one in channels.by.values()],
    )
    everything.add_done_callback(_look_at)
    since, waiting, patience = time.monotonic(), len(confirmations), LOOK_S
    arriving, on_the_line = None, True
    try:
        while patience > 0 and not everything.done():
            await asyncio.wait(
                (everything, *closings), timeout=min(patience, LOOK_S), return_when=asyncio.FIRST_COMPLETED
            )
            if any(closing.done() for closing in closings):
                # Not the library's own reason, which may be a CancelledError or a bare Exception.
                raise aiormq.exceptions.ChannelInvalidStateError("the channel closed")
            left = [size for item, size in zip(confirmations, sizes, strict=True) if not item.done()]
            now = time.monotonic()
            slowly = sum(left) / SLOWEST if on_the_line else 0.0
            if len(left) < waiting:
                since, waiting = now, len(left)
            elif arriving is None and now > since + enough and slowly > enough:
                arriving = asyncio.create_task(_arrived(channels.connection))
                arriving.add_done_callback(_look_at)
            elif arriving is not None and on_the_line and _is_well(arriving):
                since, slowly, on_the_line = now, 0.0, False
            patience = since + enough + slowly - now
        return [_reason(confirmation) for confirmation in confirmations]
    finally:
        everything.cancel()
        for closing in closings:
            closing.cancel()
        if arriving is not None:
            # Else it goes on opening a channel on a connection that may be in use.
            arriving.cancel()


async def _arrived(connection: AbstractConnection) -> None:
    """Returns once the broker has read all that was written before: it answers to what comes behind that."""
    channel = await connection.channel(publisher_confirms=False)
    await channel.close()


def _is_well(task: asyncio.Task[None]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


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
