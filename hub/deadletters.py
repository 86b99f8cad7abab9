"""What the broker gave up on: messages that came again too often, drained from `q.quarantine`.

A message counts as delivered again whenever a worker dies with it in hand, so a dead letter need not be
at fault. One that was accepted goes to its recipients once more; one that never was is put into quarantine
with its sender told; one from an inbox, which the node could not keep, is held and tried again. What witnesses
ask and are told is let go, for they ask again. Nothing is parsed here that was not parsed before, in case that is
what killed the workers.
"""

import asyncio
import time
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from crypto.log import log
from hub import tables
from hub.broker import BrokerAddress
from hub.dispatch import Dispatcher
from hub.foreword import Foreword
from hub.held import hold
from hub.judge import Arrival, Refusable, Unreadable
from hub.ledger import Ledger, evidence, take_turn
from hub.pen import writing
from hub.publication import Publication, Untaken
from hub.record import record
from hub.tolerance import decode_tolerantly, printable
from hub.topology import QUARANTINE_QUEUE
from schemas.control import MessageType
from schemas.participants import CENTRE, NODE_ID
from schemas.refusals import RefusalCode

REASON: Final = "delivered_too_often"
_INGRESS: Final = "q.in."
_INBOX: Final = "q.inbox."
# Of all reasons the one that workers have a part in.
_LIMIT: Final = "delivery_limit"
_TYPES: Final = frozenset(MessageType)
_OF_WITNESSES: Final = _TYPES - {
    MessageType.ENVELOPE,
    MessageType.ACKNOWLEDGEMENT,
    MessageType.RECEIPTS,
    MessageType.ROSTER,
}


async def drain(broker: BrokerAddress, engine: AsyncEngine, ledger: Ledger) -> None:
    """Takes dead letters one by one, for ever. Raises on trouble with broker or database; then begin again."""
    decode_tolerantly()
    connection = await broker.connect("hub-quarantine")
    dispatcher = Dispatcher(broker, foreword=Foreword(ledger))
    arrived: asyncio.Queue[Any] = asyncio.Queue()
    async with connection:
        channel: Any = await (await connection.channel(publisher_confirms=False)).get_underlay_channel()
        await channel.basic_qos(prefetch_count=1)
        await channel.basic_consume(QUARANTINE_QUEUE, arrived.put)
        try:
            while channel.consumers and not channel.is_closed:
                try:
                    # `wait_for` forgets that it was cancelled when a message comes just then.
                    async with asyncio.timeout(1.0):
                        message = await arrived.get()
                except TimeoutError:
                    continue
                await _settle(message, engine, ledger, dispatcher)
                await channel.basic_ack(message.delivery.delivery_tag)
        finally:
            await dispatcher.close()


async def _settle(message: Any, engine: AsyncEngine, ledger: Ledger, dispatcher: Dispatcher) -> None:
    queue, body, now = _origin(message), bytes(message.body), time.time_ns() // 1_000_000
    log.error("dead_letter", queue=queue, digest=evidence(body).hex())
    if _is_asked_again(message, queue):
        return
    undelivered = _undelivered(message, queue, body)
    async with writing(engine, ledger) as connection:
        if undelivered is not None:
            await hold(connection, [Untaken(undelivered, REASON)], now)
            return
        node = queue.removeprefix(_INGRESS).removesuffix(".urgent")
        known = NODE_ID.fullmatch(node) is not None
        # Whose it was may not be readable: then nobody is told, and the Centre's name stands for it.
        kind = printable(message.header.properties.message_type)
        arrival = Arrival(node if known else CENTRE, kind, body, 0)
        await take_turn(connection)
        recorded = await record(connection, ledger, [await _verdict(connection, arrival)], now)
    untaken = await dispatcher.publish(recorded.publications if known else ())
    if untaken:
        async with engine.begin() as connection:
            await hold(connection, untaken, now)


async def _verdict(connection: AsyncConnection, arrival: Arrival) -> Refusable | Unreadable:
    digest, table = evidence(arrival.body), tables.message.c
    known = await connection.scalar(select(table.id).where(table.sender == arrival.node, table.envelope == digest))
    if known is None:
        return Unreadable(arrival, REASON)
    # The record recognises what was accepted before, whatever the verdict says, and delivers it again.
    return Refusable(arrival, digest, known, RefusalCode.ENVELOPE_MALFORMED, REASON)


def _undelivered(message: Any, queue: str, body: bytes) -> Publication | None:
    """What an inbox could not keep; None if it is from no inbox, or not as the hub publishes."""
    node, properties = queue.removeprefix(_INBOX).removesuffix(".urgent"), message.header.properties
    kind, id, after = properties.message_type, properties.message_id, properties.correlation_id
    ours = kind in _TYPES and id and id.isprintable() and (after or "").isprintable()
    if not (ours and queue.startswith(_INBOX) and NODE_ID.fullmatch(node)):
        return None
    return Publication(node, MessageType(kind), queue.endswith(".urgent"), id, body, after)


def _is_asked_again(message: Any, queue: str) -> bool:
    """Whether it is a witness's question or the answer to one, and nothing that may have killed workers."""
    killed = queue.startswith(_INGRESS) and _death(message).get("reason") == _LIMIT
    return message.header.properties.message_type in _OF_WITNESSES and not killed


def _origin(message: Any) -> str:
    """The queue it died in as the broker says, fit for tables and logs; empty if that does not read."""
    queue = _death(message).get("queue")
    return printable(queue) if isinstance(queue, str) else ""


def _death(message: Any) -> dict[str, Any]:
    headers = message.header.properties.headers
    deaths = headers.get("x-death") if isinstance(headers, dict) else None
    last = deaths[0] if isinstance(deaths, list) and deaths else None
    return last if isinstance(last, dict) else {}
