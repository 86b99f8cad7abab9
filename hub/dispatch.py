"""Dispatch: persistent, mandatory, confirmed publishing to the inboxes, and patience with those that are full.

What the broker will not take (an inbox at its limit, a queue gone) is written to `held` and
tried again with growing pauses, so that one node's full inbox holds up nobody else's mail.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiormq.exceptions
import structlog
from aio_pika.abc import AbstractConnection
from pamqp.commands import Basic
from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from hub import tables
from hub.broker import BrokerAddress
from hub.publication import Publication
from hub.topology import DISPATCH, inbox_key
from schemas.control import MessageType

log = structlog.get_logger()

CONFIRM_S: Final = 30
WINDOW: Final = 200
FIRST_PAUSE_MS: Final = 1_000
LONGEST_PAUSE_MS: Final = 5 * 60 * 1000


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

    async def publish(self, publications: Sequence[Publication]) -> list[Untaken]:
        """Publishes all and waits for the broker's word on each.

        Returns those that the broker would not take. Raises BrokerUnreachable or a channel's
        error when it cannot be known what arrived; publishing the same again is then right.
        """
        channel = await self._open()
        untaken: list[Untaken] = []
        try:
            for start in range(0, len(publications), WINDOW):
                window = publications[start : start + WINDOW]
                async with asyncio.timeout(CONFIRM_S):
                    reasons = await asyncio.gather(*(_publish(channel, item) for item in window))
                untaken += [Untaken(p, reason) for p, reason in zip(window, reasons, strict=True) if reason]
        except BaseException:
            # What was sent on this channel is unknown: never publish an id again on it.
            await self.close()
            raise
        return untaken

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


async def _publish(channel: Any, item: Publication) -> str:
    """Empty when the broker has taken responsibility, else the reason why not."""
    properties = Basic.Properties(
        content_type="application/cbor",
        delivery_mode=2,
        message_id=item.message_id,
        message_type=str(item.type),
        user_id="hub-dispatch",
        app_id="seci-hub",
    )
    try:
        confirmation = await channel.basic_publish(
            item.body,
            exchange=DISPATCH,
            routing_key=inbox_key(item.node, urgent=item.urgent),
            properties=properties,
            mandatory=True,
            wait=False,
        )
    except aiormq.exceptions.PublishError:
        return "unroutable"
    except aiormq.exceptions.DeliveryError:
        return "rejected"
    return "" if isinstance(confirmation, Basic.Ack) else "unroutable"


async def hold(connection: AsyncConnection, untaken: Sequence[Untaken], now: int) -> None:
    """Keeps what the broker would not take, to be tried again."""
    rows = [
        {
            "node": item.publication.node,
            "message_id": item.publication.message_id,
            "type": str(item.publication.type),
            "urgent": int(item.publication.urgent),
            "body": item.publication.body,
            "attempts": 1,
            "due": now + FIRST_PAUSE_MS,
            "reason": item.reason,
        }
        for item in untaken
    ]
    await connection.execute(insert(tables.held).on_conflict_do_nothing(), rows)


async def retry_held(engine: AsyncEngine, dispatcher: Dispatcher, limit: int = 100) -> int:
    """Publishes held deliveries that are due; returns how many the broker took."""
    table = tables.held.c
    now = time.time_ns() // 1_000_000
    async with engine.begin() as connection:
        query = (
            select(tables.held)
            .where(table.due <= now)
            .order_by(table.due)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        rows = (await connection.execute(query)).all()
        if not rows:
            return 0
        publications = {
            (row.node, row.message_id): Publication(
                row.node, MessageType(row.type), bool(row.urgent), row.message_id, row.body
            )
            for row in rows
        }
        untaken = await dispatcher.publish(list(publications.values()))
        failed = {(item.publication.node, item.publication.message_id): item.reason for item in untaken}
        for row in rows:
            key = (row.node, row.message_id)
            this = (table.node == row.node) & (table.message_id == row.message_id)
            if key in failed:
                pause = min(FIRST_PAUSE_MS << min(row.attempts, 20), LONGEST_PAUSE_MS)
                values = {"attempts": row.attempts + 1, "due": now + pause, "reason": failed[key]}
                await connection.execute(update(tables.held).where(this).values(values))
            else:
                await connection.execute(delete(tables.held).where(this))
    return len(rows) - len(failed)
