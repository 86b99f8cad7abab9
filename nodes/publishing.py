"""Publishing a batch: persistent, mandatory, and with the broker's word on each message.

What aiormq's `basic_publish` does, for many messages at once: a few large writes instead of one for each message,
and no task for each.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiormq.exceptions
from aiormq.abc import ChannelFrame
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from crypto.log import log
from schemas.control import MessageType

WRITE_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Publication:
    """Something for the hub. `message_id` must not be in flight twice."""

    message_id: str
    type: MessageType
    urgent: bool
    body: bytes


async def publish(
    channel: Any, node: str, user: str, items: Sequence[Publication], confirmations: list[asyncio.Future[Any]]
) -> list[bool]:
    """Whether the broker has confirmed each, in their order. Meanwhile `confirmations` shows how far it is.

    Raises what closed the channel. Then, and when cancelled, it is unknown what arrived: no id of these may be
    published again on this channel.
    """
    async with channel.lock:
        frames: list[Any] = []
        size = 0
        for item in items:
            channel.delivery_tag += 1
            confirmation = channel.confirmations[channel.delivery_tag] = channel.create_future()
            confirmations.append(confirmation)
            channel.message_id_delivery_tag[item.message_id] = channel.delivery_tag
            frames += _frames(channel, node, user, item)
            size += len(item.body)
            if size > WRITE_BYTES:
                await channel.write_queue.put(ChannelFrame.marshall(channel.number, frames))
                frames, size = [], 0
        if frames:
            await channel.write_queue.put(ChannelFrame.marshall(channel.number, frames))
    try:
        answers = await asyncio.gather(*confirmations, return_exceptions=True)
    finally:
        for item in items:
            channel.message_id_delivery_tag.pop(item.message_id, None)
    return [_confirmed(item, answer) for item, answer in zip(items, answers, strict=True)]


def _frames(channel: Any, node: str, user: str, item: Publication) -> list[Any]:
    properties = Basic.Properties(
        content_type="application/cbor",
        delivery_mode=2,
        message_id=item.message_id,
        message_type=str(item.type),
        user_id=user,
        app_id="seci-node",
    )
    key = "urgent" if item.urgent else "normal"
    publish = Basic.Publish(exchange=f"in.{node}", routing_key=key, mandatory=True)
    return [publish, ContentHeader(properties=properties, body_size=len(item.body)), *channel._split_body(item.body)]


def _confirmed(item: Publication, answer: Any) -> bool:
    if isinstance(answer, aiormq.exceptions.DeliveryError | aiormq.exceptions.PublishError):
        log.warning("publish_rejected", message=item.message_id, error=type(answer).__name__)
        return False
    if isinstance(answer, BaseException):
        raise answer
    return isinstance(answer, Basic.Ack)
