"""A node that has become an enemy, under load: each thing that it tries is refused, and nobody else loses anything.

`tests/system/test_hostile*.py` try more, one by one, and look at what is written of it; here the others' mail goes on
meanwhile, and the checker decides.
"""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aio_pika import Message
from aio_pika.exceptions import AMQPError, ChannelPreconditionFailed
from aiormq.exceptions import ChannelAccessRefused

from crypto.envelope import MAX_ENVELOPE
from deploy.local.attacker import context_of, open_channel, open_connection, run_publish, run_sent_envelope
from deploy.local.exchange import Exchange
from deploy.local.forgery import seal_as
from nodes.settings import Settings
from schemas.control import MessageType
from tests.conftest import Authority
from tests.faults.conftest import SENDERS, Scenario
from tests.faults.load import ACCEPTED, Post
from tests.system.byhand import is_spoken_to, opened
from tests.system.forbidden import EVERYWHERE, FORBIDDEN, OF_OTHERS
from tests.system.play import await_delivered, post
from tests.system.watching import check_on_record

pytestmark = [pytest.mark.system, pytest.mark.fault(15)]
ENEMY = "hr"
FRIENDS = tuple(node for node in SENDERS if node != ENEMY)


def test_hostile_node_at_the_broker(exchange: Exchange, scenario: Scenario, tmp_path: Path) -> None:
    home = exchange.node_home(ENEMY)
    settings = Settings.load(home)
    stranger = Authority.create(tmp_path).client(f"node-{ENEMY}")
    stranger.load_verify_locations(cafile=exchange.hub_home / "ca.pem")
    with scenario(FRIENDS) as load:
        assert asyncio.run(is_spoken_to(settings.broker_port, context_of(settings)))
        assert not asyncio.run(is_spoken_to(settings.broker_port, stranger))
        asyncio.run(_ask_for_what_is_others(home))
        asyncio.run(_publish_elsewhere(home))
        asyncio.run(_publish_what_the_broker_refuses(home))
        asyncio.run(_talk_nonsense(home))
        load.go_on(len(FRIENDS))


async def _ask_for_what_is_others(home: Path) -> None:
    async with await open_connection(home) as connection:
        for what, attempt in FORBIDDEN.items():
            channel = await (await connection.channel()).get_underlay_channel()
            with pytest.raises(ChannelAccessRefused):
                await attempt(channel)
                pytest.fail(f"it could {what}")


async def _publish_elsewhere(home: Path) -> None:
    for name, key in OF_OTHERS:
        async with open_channel(home) as channel:
            target = await channel.get_exchange(name, ensure=False) if name else channel.default_exchange
            with pytest.raises(AMQPError, match="ACCESS_REFUSED"):
                await target.publish(Message(b"not for you", delivery_mode=2), key, mandatory=True, timeout=10)


async def _publish_what_the_broker_refuses(home: Path) -> None:
    for message in (Message(b"mine", user_id="node-ro"), Message(bytes(2 * 1024 * 1024 + 1))):
        with pytest.raises(ChannelPreconditionFailed):
            await _publish(home, message)


async def _publish(home: Path, message: Message) -> None:
    async with open_channel(home) as channel:
        target = await channel.get_exchange(f"in.{ENEMY}", ensure=False)
        await target.publish(message, "normal", mandatory=True, timeout=20)


async def _talk_nonsense(home: Path) -> None:
    async with opened(home) as wire:
        await wire.send(b"\xff not a frame \xff" * 100)
        answer = await wire.answer()
        assert answer is None or answer.name == "Connection.Close"


def test_hostile_node_at_the_hub(exchange: Exchange, scenario: Scenario) -> None:
    home = exchange.node_home(ENEMY)
    with scenario(FRIENDS) as load:
        theirs, own = post(exchange, "ro", to=["bg"]), post(exchange, ENEMY, to=["bg"])
        load.add(Post("ro", theirs, ("bg",), (ACCEPTED,)))
        load.add(Post(ENEMY, own, ("bg",), (ACCEPTED,)))
        await_delivered(exchange, [("ro", theirs), (ENEMY, own)])
        # Its own once more is no offence, and no second delivery.
        again = run_sent_envelope(home, own)
        run_publish(home, again, again)
        replayed = run_sent_envelope(exchange.node_home("ro"), theirs)
        in_their_name, elsewhere = seal_as(home, "ro"), seal_as(home, ENEMY)
        for envelope, code in (
            (replayed, "sender_mismatch"),
            (in_their_name, "sender_mismatch"),
            (seal_as(home, ENEMY, theirs), "id_reused"),
            (seal_as(home, ENEMY, own), "id_reused"),
            (bytes(MAX_ENVELOPE + 1), "too_large"),
            (b"no envelope at all", "envelope_malformed"),
        ):
            run_publish(home, envelope)
            check_on_record(exchange, ENEMY, envelope, code)
        run_publish(home, b"of no type we know", kind="poem")
        check_on_record(exchange, ENEMY, b"of no type we know", "unknown_type")
        # What the broker hides it routes all the same, to both of the node's own lanes.
        asyncio.run(_publish(home, _with_headers(in_their_name, {"BCC": EVERYWHERE})))
        asyncio.run(_publish(home, _with_headers(elsewhere, {"CC": EVERYWHERE, "BCC": EVERYWHERE})))
        check_on_record(exchange, ENEMY, elsewhere, "further_addresses")


def _with_headers(envelope: bytes, headers: dict[str, Any]) -> Message:
    return Message(envelope, type=MessageType.ENVELOPE, delivery_mode=2, headers=headers)
