"""A hostile node at the broker: each thing that it must not do is refused and logged, and the others' mail goes on."""

import asyncio
import json
import resource
import socket
import ssl
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import pytest
from aio_pika import Message
from aio_pika.exceptions import AMQPError, ChannelPreconditionFailed
from aiormq.exceptions import ChannelAccessRefused
from pamqp import commands

from deploy.local.attacker import context_of, open_channel, open_connection
from deploy.local.exchange import Exchange
from hub.topology import NODE_CHANNELS, NODE_CONNECTIONS
from nodes.settings import Settings
from tests.conftest import Authority
from tests.system.byhand import CHANNELS, GREETING, Wire, connect, is_spoken_to, opened
from tests.system.forbidden import FORBIDDEN, OF_OTHERS
from tests.system.play import await_delivered, post, state, until
from tests.system.watching import Log, check_neighbours_served, holders

pytestmark = pytest.mark.system

AT_ONCE = 250
# Times that a neighbour tries to come back, one a second.
RETURNS = 30


async def _check_neighbours_served(exchange: Exchange) -> None:
    await asyncio.to_thread(check_neighbours_served, exchange)


async def _await_words(log: Log, *words: str) -> None:
    await asyncio.to_thread(log.await_words, *words)


def _own(exchange: Exchange) -> tuple[Settings, ssl.SSLContext]:
    settings = Settings.load(exchange.node_home("hr"))
    return settings, context_of(settings)


async def test_who_has_no_certificate_of_ours_is_not_spoken_to(
    exchange: Exchange, tmp_path_factory: pytest.TempPathFactory
) -> None:
    settings, old = _own(exchange)
    ca = str(exchange.hub_home / "ca.pem")
    stranger = Authority.create(tmp_path_factory.mktemp("stranger")).client("node-hr")
    stranger.load_verify_locations(cafile=ca)
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_2
    assert await is_spoken_to(settings.broker_port, context_of(settings))
    for who, context, alert in (
        ("plain TCP", None, "Unexpected Message"),
        ("no certificate", ssl.create_default_context(cafile=ca), "Certificate required"),
        ("another CA's certificate", stranger, "Unknown CA"),
        ("TLS 1.2", old, "Protocol Version"),
    ):
        log = Log.of_broker(exchange)
        assert not await is_spoken_to(settings.broker_port, context), who
        await _await_words(log, "SERVER ALERT: Fatal", alert)
    await _check_neighbours_served(exchange)


async def test_no_other_way_to_log_in_and_no_other_vhost(exchange: Exchange) -> None:
    settings, context = _own(exchange)
    log = Log.of_broker(exchange)
    tries = {"PLAIN": "\0guest\0guest", "AMQPLAIN": "", "ANONYMOUS": ""}
    wires = [await connect(settings.broker_port, context) for _ in tries]
    answers = [wire.log_in(*words) for wire, words in zip(wires, tries.items(), strict=True)]
    assert await asyncio.gather(*answers) == [None, None, None]
    await _await_words(log, *(f"authentication mechanism '{mechanism}'" for mechanism in tries))
    for vhost in ("/", "siex-test"):
        wire = await connect(settings.broker_port, context)
        assert isinstance(await wire.log_in(), commands.Connection.Tune)
        answer = await wire.open(vhost)
        wire.close()
        assert (answer.name, answer.reply_code) == ("Connection.Close", 530)
        await _await_words(log, f"vhost {vhost} not found")
    await _check_neighbours_served(exchange)


@pytest.mark.parametrize(("target", "key"), OF_OTHERS)
async def test_it_publishes_to_its_own_exchange_only(exchange: Exchange, target: str, key: str) -> None:
    log = Log.of_broker(exchange)
    async with open_channel(exchange.node_home("hr")) as channel:
        exchange_ = await channel.get_exchange(target, ensure=False) if target else channel.default_exchange
        with pytest.raises(AMQPError, match="ACCESS_REFUSED"):
            await exchange_.publish(Message(b"not for you", delivery_mode=2), key, mandatory=True, timeout=10)
        await _await_words(log, "'node-hr'", f"access to exchange '{target or 'amq.default'}'")
        await _check_neighbours_served(exchange)


def test_the_broker_has_these_rights_on_record_and_no_others(exchange: Exchange) -> None:
    broker = exchange.services.broker
    vhost = Settings.load(exchange.node_home("hr")).vhost
    rows = json.loads(broker.run_ctl(["list_permissions", "-p", vhost, "--formatter", "json"]))
    found = {row["user"]: (row["configure"], row["write"], row["read"]) for row in rows}
    # Written out, not asked of hub/topology.py.
    wanted = {f"node-{node}": ("^$", rf"^in\.{node}$", rf"^q\.inbox\.{node}(\.urgent)?$") for node in exchange.nodes}
    assert found == wanted | {
        "hub-ingest": ("^$", "^$", r"^q\.in\."),
        "hub-dispatch": ("^$", "^dispatch$", "^$"),
        "hub-quarantine": ("^$", "^$", r"^q\.quarantine$"),
    }
    users = json.loads(broker.run_ctl(["list_users", "--formatter", "json"]))
    assert {user["user"]: user["tags"] for user in users} == {user: [] for user in found}
    limits = json.loads(broker.run_ctl(["list_user_limits", "--global", "--formatter", "json"]))
    bounds = {"max-channels": NODE_CHANNELS, "max-connections": NODE_CONNECTIONS}
    # The hub's own are bound by those of the vhost.
    assert {row["user"]: found for row in limits if (found := json.loads(row["limits"]))} == {
        f"node-{node}": bounds for node in exchange.nodes
    }


async def test_it_reads_no_other_queue_and_changes_nothing(exchange: Exchange) -> None:
    log = Log.of_broker(exchange)
    async with await open_connection(exchange.node_home("hr")) as connection:
        for what, attempt in FORBIDDEN.items():
            channel = await (await connection.channel()).get_underlay_channel()
            with pytest.raises(ChannelAccessRefused):
                await attempt(channel)
                pytest.fail(f"it could {what}")
        await _check_neighbours_served(exchange)
    said = "refused for user 'node-hr'"
    await asyncio.to_thread(until, "each in the log", lambda: log.text().count(said) == len(FORBIDDEN))


async def test_it_cannot_forge_the_user_nor_send_more_than_the_broker_takes(exchange: Exchange) -> None:
    log = Log.of_broker(exchange)
    for message in (Message(b"mine", user_id="node-ro"), Message(bytes(2 * 1024 * 1024 + 1))):
        async with open_channel(exchange.node_home("hr")) as channel:
            target = await channel.get_exchange("in.hr", ensure=False)
            with pytest.raises(ChannelPreconditionFailed):
                await target.publish(message, "normal", mandatory=True, timeout=20)
            await _check_neighbours_served(exchange)
    await _await_words(log, "user_id property set to 'node-ro' but authenticated user was 'node-hr'")
    await _await_words(log, "is larger than configured max size")


GARBAGE = {
    "no frame at all": (b"\xff not a frame \xff" * 100, "frame_error"),
    "a frame of 4 GiB": (b"\x01\x00\x00\xff\xff\xff\xff" + bytes(100), "frame_error"),
    "no end of the frame": (b"\x01\x00\x01\x00\x00\x00\x04\x00\x0a\x00\x0a\x00", "frame_error"),
    "an unknown method": (b"\x01\x00\x01\x00\x00\x00\x04\xff\xff\xff\xff\xce", "unknown_method_id"),
    "a method on no channel": (commands.Basic.Ack(1), "channel_error"),
}


async def test_garbage_on_its_connection_costs_it_the_connection(exchange: Exchange) -> None:
    settings, context = _own(exchange)
    log = Log.of_broker(exchange)
    wire = await connect(settings.broker_port, context)
    await wire.send(b"\xff" * 4096)
    assert await asyncio.wait_for(wire.reader.read(), 30) == GREETING
    wire.close()
    await _await_words(log, "bad_header")
    for what, (garbage, error) in GARBAGE.items():
        log = Log.of_broker(exchange)
        async with opened(exchange.node_home("hr")) as wire:
            await wire.send(garbage)
            answer = await wire.answer()
            assert answer is None or answer.name == "Connection.Close", what
            await _await_words(log, error)
            await _check_neighbours_served(exchange)


async def test_channels_opened_without_end_meet_the_limit(exchange: Exchange) -> None:
    log = Log.of_broker(exchange)
    async with opened(exchange.node_home("hr")) as wire:
        for channel in range(1, CHANNELS + 1):
            await wire.send(commands.Channel.Open(), channel=channel)
        answers = [await wire.answer()]
        while answers[-1] is not None and answers[-1].name == "Channel.OpenOk":
            answers.append(await wire.answer())
        assert answers[-1].name == "Connection.Close"
        # The broker counts beside its answers: when it has much to do, it is a few late.
        assert len(answers) - 1 <= 2 * NODE_CHANNELS < CHANNELS
        await _check_neighbours_served(exchange)
    await _await_words(log, "'node-hr'", f"maximum allowed user limit of ({NODE_CHANNELS})")


async def test_channels_opened_and_closed_without_end_hold_nobody_up(exchange: Exchange) -> None:
    async with opened(exchange.node_home("hr")) as wire:
        for _ in range(500):
            await wire.send(commands.Channel.Open(), channel=1)
            assert (await wire.answer()).name == "Channel.OpenOk"
            await wire.send(commands.Channel.Close(200, "churn", 0, 0), channel=1)
            assert (await wire.answer()).name == "Channel.CloseOk"
        await _check_neighbours_served(exchange)


async def test_connections_opened_without_end_meet_the_limit(exchange: Exchange) -> None:
    await _storm(exchange, 500)


@pytest.mark.long
async def test_ten_thousand_connections_meet_the_limit(exchange: Exchange) -> None:
    await _storm(exchange, 10_000)


async def _storm(exchange: Exchange, attempts: int) -> None:
    log = Log.of_broker(exchange)
    inside: list[Wire] = []
    try:
        # One after the other they are counted in time; of those that come at once some hundreds may slip in.
        assert 0 < (await _press_in(exchange, 30, 1, inside))["opened"] <= NODE_CONNECTIONS
        burst = asyncio.create_task(_press_in(exchange, attempts, AT_ONCE, inside))
        come_back = 0
        while not burst.done():
            await _check_neighbours_served(exchange)
            # While the storm keeps it from counting, the broker takes those that it has left for its own: it comes back
            # less often than would meet its limit.
            if come_back < NODE_CONNECTIONS // 4:
                await _come_back(exchange.node_home("ro"))
                come_back += 1
        assert set(await burst) <= {"opened", "refused with 530", "closed"}
        # The node itself may have lost its place in the crowd, and given up its own connections: they are taken once.
        for _ in range(NODE_CONNECTIONS):
            pressed = await _press_in(exchange, 30, 1, inside)
            if pressed == {"refused with 530": 30}:
                break
        assert pressed == {"refused with 530": 30}
        await _await_words(log, "'node-hr'", f"user connection limit ({NODE_CONNECTIONS}) is reached")
    finally:
        for wire in inside:
            wire.close()


async def _come_back(home: Path) -> None:
    """A neighbour that has lost its link connects anew; the broker may count for a while those that it has left."""
    for _ in range(RETURNS):
        with suppress(AssertionError):
            async with opened(home):
                return
        await asyncio.sleep(1)
    raise AssertionError(f"{home.name} is kept out")


async def _press_in(exchange: Exchange, attempts: int, at_once: int, inside: list[Wire]) -> Counter[str]:
    """Tries to open so many connections; those that are let in are kept open, in `inside`."""
    settings, context = _own(exchange)
    room = asyncio.Semaphore(at_once)

    async def attempt() -> str:
        async with room:
            try:
                wire = await connect(settings.broker_port, context)
                answer = await wire.open(settings.vhost) if await wire.log_in() else None
            except OSError:
                # One that cannot keep up with its own storm is out of time in the handshake.
                return "closed"
            if isinstance(answer, commands.Connection.OpenOk):
                inside.append(wire)
                return "opened"
            wire.close()
            return f"refused with {answer.reply_code}" if answer else "closed"

    return Counter(await asyncio.gather(*(attempt() for _ in range(attempts))))


@pytest.mark.parametrize("number", [500, pytest.param(10_000, marks=pytest.mark.long)])
async def test_connections_that_never_say_a_word_hold_nobody_up(exchange: Exchange, number: int) -> None:
    _need_descriptors(number + AT_ONCE)
    port = Settings.load(exchange.node_home("hr")).broker_port
    silent: list[socket.socket] = []
    try:
        while len(silent) < number:
            silent += [await asyncio.to_thread(_connected, port) for _ in range(AT_ONCE)]
            if len(silent) % 2_500 == 0 or len(silent) == number:
                await _check_neighbours_served(exchange)
        await _come_back(exchange.node_home("ro"))
        # Who does not begin with TLS is not waited for.
        await asyncio.to_thread(until, "the broker ends them all", lambda: all(map(_is_ended, silent)))
    finally:
        for one in silent:
            one.close()


def _need_descriptors(number: int) -> None:
    """Skips where this process may not have so many files open."""
    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < number:
        pytest.skip(f"it takes {number} file descriptors, and {most} are allowed (ulimit -Hn)")
    if soft != resource.RLIM_INFINITY and soft < number:
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, most))


def _connected(port: int) -> socket.socket:
    one = socket.create_connection(("127.0.0.1", port), timeout=30)
    # Each is asked in turn whether it has ended, and none may hold up the others.
    one.setblocking(False)
    return one


def _is_ended(one: socket.socket) -> bool:
    try:
        return one.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


async def test_a_reader_that_takes_all_and_reads_nothing_holds_nobody_up(exchange: Exchange) -> None:
    big = {"title": "large", "text": "x" * 900_000}
    async with opened(exchange.node_home("hr")) as wire:
        await wire.send(commands.Channel.Open(), channel=1)
        assert (await wire.answer()).name == "Channel.OpenOk"
        for queue in ("q.inbox.hr", "q.inbox.hr.urgent"):
            await wire.send(commands.Basic.Consume(queue=queue), channel=1)
            assert (await wire.answer()).name == "Basic.ConsumeOk"
        # From here on nothing is read: the socket fills up.
        wire.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        posted = [("ro", await asyncio.to_thread(post, exchange, "ro", to=["bg", "hr"], body=big)) for _ in range(6)]
        await asyncio.to_thread(_await_at_bg, exchange, [id for _, id in posted])
        await _check_neighbours_served(exchange)
    # What it had in hand comes to its own agent once it is gone.
    await asyncio.to_thread(await_delivered, exchange, posted)
    for _, id in posted:
        assert await asyncio.to_thread(holders, exchange, id) == {"bg": 1, "hr": 1}


def _await_at_bg(exchange: Exchange, ids: Iterable[str]) -> None:
    for id in ids:
        until(f"{id} delivered to bg", lambda id=id: state(exchange, "ro", id)["deliveries"][0]["state"] == "delivered")
