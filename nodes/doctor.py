"""`seci-node doctor`: what works and what does not, in the order in which things depend on each other.

Each stage says what it found, how long it took and, when it failed, the next step; the stages
that depend on a failed one are not tried.
"""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Concatenate, Final, ParamSpec, TypeVar

from pamqp.commands import Queue
from sqlalchemy import select
from sqlalchemy.engine import Connection

from crypto import typed
from crypto.certificates import check_validity, common_name, read_certificate
from crypto.errors import CryptoError
from crypto.keyfile import load_node_keys, tls_password
from crypto.tls import client_context
from crypto.trust import Trust, open_roster
from nodes import clock, handovers, histories, rosters
from nodes.client import call
from nodes.errors import BrokerUnreachable, ClockWrong, HubDistrusted, HubSilent, NodeError, NotSetUp
from nodes.link import connect
from nodes.settings import Settings
from nodes.setup import witness_key
from nodes.store import Store, oldest_waiting, outbox
from nodes.times import iso

# For so long a receipt may be on its way.
LATE_S: Final = 60
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stage:
    """One check: its name, whether it passed, what was found, the next step, and milliseconds taken."""

    name: str
    ok: bool
    found: str
    next: str
    ms: int


async def examine(home: Path) -> list[Stage]:
    """All stages up to and including the first that fails."""
    stages: list[Stage] = []
    try:
        settings = Settings.load(home)
    except NodeError as error:
        return [Stage("settings", False, str(error), error.next_step, 0)]
    checks: list[tuple[str, Callable[[Settings], Awaitable[str]]]] = [
        ("keys", _keys),
        ("enrolment", _enrolment),
        ("certificate", _certificate),
        ("roster", _roster),
        ("ledger", _ledger),
        ("clock", _clock),
        ("dns", _dns),
        ("tcp", _tcp),
        ("tls and amqp", _amqp),
        ("permission", _permission),
        ("agent", _agent),
        ("hub", _hub),
    ]
    for name, check in checks:
        begin = time.monotonic()
        try:
            found, step, ok = await check(settings), "", True
        except NodeError as error:
            found, step, ok = str(error), error.next_step, False
        except CryptoError as error:
            found, step, ok = str(error), "see the node guide, docs/node.md", False
        except (OSError, TimeoutError) as error:
            found, step, ok = (
                typed.why(error),
                "check the network and the hub's address",
                False,
            )
        stages.append(Stage(name, ok, found, step, int((time.monotonic() - begin) * 1000)))
        if not ok:
            break
    return stages


async def _keys(settings: Settings) -> str:
    keys = load_node_keys(settings.home / "node.key", settings.secret())
    # A token may be there and yet not sign: with another PIN, or without the key.
    keys.signing.public.verify(keys.signing.sign(b"trial"), b"trial")
    where = "" if keys.signing.reference is None else f" in the token {keys.signing.reference.token.label!r}"
    return f"open; signing key {keys.signing.public.key_id.hex()}{where}"


async def _enrolment(settings: Settings) -> str:
    if not settings.enrolled:
        raise NotSetUp("not enrolled yet", "run `seci-node join` with the hub's token (docs/node.md)")
    return f"enrolled as {settings.node}"


async def _certificate(settings: Settings) -> str:
    certificate = read_certificate((settings.home / "tls.pem").read_bytes())
    check_validity(certificate, datetime.now(UTC))
    return f"valid until {certificate.not_valid_after_utc:%Y-%m-%d}"


async def _roster(settings: Settings) -> str:
    trust = await _ask_store(settings, _newest_trust, settings)
    keys = load_node_keys(settings.home / "node.key", settings.secret())
    listed = {key.public for key in trust.nodes[settings.node].keys} if settings.node in trust.nodes else set()
    if keys.signing.public.public_bytes() not in listed:
        raise NotSetUp("the roster does not list this node's key", "tell the hub's operators at once")
    return f"version {trust.roster.version}, {len(trust.nodes)} nodes, own keys listed"


async def _ledger(settings: Settings) -> str:
    found = await _ask_store(settings, histories.undecided)
    if found is not None:
        raise HubDistrusted(
            f"alarm {found.number}: {found.detail} [{found.code}]", 'see docs/node.md, "When the hub is caught"'
        )
    trust = await _ask_store(settings, _newest_trust, settings)
    listed = trust.witnesses(time.time_ns() // 1_000_000).get(settings.node)
    if listed is None or listed.key != witness_key(settings).public:
        return (
            "nothing speaks against it; this node is no witness yet: send enrolment.json to the hub's operators again"
        )
    last = await _ask_store(settings, histories.last, settings.log_origin)
    return f"followed to {last.checkpoint.size} entries" if last else "nothing followed yet"


async def _clock(settings: Settings) -> str:
    trust = await _ask_store(settings, _newest_trust, settings)
    now = time.time_ns() // 1_000_000
    ahead = await _ask_store(settings, clock.milliseconds_ahead, trust.roster.at, now)
    if ahead:
        raise ClockWrong(clock.describe(ahead), clock.NEXT_STEP)
    return "nothing that the hub has signed speaks against it"


def _newest_trust(connection: Connection, settings: Settings) -> Trust:
    signed = rosters.newest(connection)
    if signed is None:
        raise NotSetUp("the store has no roster", "run `seci-node init --welcome FILE` again")
    return Trust.of(open_roster(signed, handovers.keys_of(connection, settings.log_verifier())))


async def _ask_store(
    settings: Settings, question: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
) -> T:
    keys = load_node_keys(settings.home / "node.key", settings.secret())
    box = Store.open(settings.home / "node.db", keys.storage)
    try:
        return await box.run(question, *args, **kwargs)
    finally:
        box.close()


async def _dns(settings: Settings) -> str:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(settings.broker_host, settings.broker_port, type=socket.SOCK_STREAM)
    return f"{settings.broker_host} is {found[0][4][0]}"


async def _tcp(settings: Settings) -> str:
    async with asyncio.timeout(5):
        _, writer = await asyncio.open_connection(settings.broker_host, settings.broker_port)
    writer.close()
    return f"port {settings.broker_port} answers"


async def _amqp(settings: Settings) -> str:
    key = settings.home / "tls.key"
    password = tls_password(key, settings.secret())
    context = client_context(settings.home / "ca.pem", settings.home / "tls.pem", key, password)
    connection = await connect(settings, context, "doctor")
    await connection.close()
    user = common_name(read_certificate((settings.home / "tls.pem").read_bytes()))
    return f"logged in as {user} by certificate"


async def _permission(settings: Settings) -> str:
    inbox = await _look_at(settings, f"q.inbox.{settings.node}")
    return f"the inbox is there, {inbox.message_count} waiting"


async def _agent(settings: Settings) -> str:
    link = (await asyncio.to_thread(call, settings.home, "GET", "/v1/status"))["link"]
    if not link["connected"]:
        step = "wait half a minute; if it stays so, start the agent anew and read its log"
        raise BrokerUnreachable(f"runs, and has no link to the broker since {link['since']}: {link['reason']}", step)
    return f"runs, linked to the broker since {link['since']}"


async def _hub(settings: Settings) -> str:
    # An agent that has not been started anew since an update says nothing of it.
    said = await asyncio.to_thread(call, settings.home, "GET", "/v1/status")
    answers = said.get("hub", {"answered": None, "late": False})
    roster_at = (await _ask_store(settings, _newest_trust, settings)).roster.at
    heard = await _ask_store(settings, _last_heard, roster_at, answers["answered"])
    ingress = await _look_at(settings, f"q.in.{settings.node}")
    if not ingress.consumer_count:
        found = f"takes no messages: nobody consumes {ingress.queue}, where {ingress.message_count} wait; {heard}"
        raise HubSilent(found, "telephone the hub's operators; messages are kept meanwhile, and leave by themselves")
    waits = await _ask_store(settings, oldest_waiting)
    waited = 0 if waits is None else int(time.time() - waits / 1000)
    if waited > LATE_S:
        raise HubSilent(f"a message waits {waited} s for its receipt; {heard}", "telephone the hub's operators")
    if answers["late"]:
        found = f"has not answered this node's questions since {answers['unanswered_since']}; {heard}"
        raise HubSilent(found, "telephone the hub's operators")
    return f"at work: it takes this node's messages; {heard}"


def _last_heard(connection: Connection, roster_at: int, answered: str | None) -> str:
    table = outbox.c
    query = select(table.settled_at).where(table.receipt.is_not(None)).order_by(table.seq.desc()).limit(1)
    receipt = iso(connection.scalar(query)) or ""
    at, what = max((iso(roster_at) or "", "the roster"), (receipt, "a receipt"), (answered or "", "an answer"))
    return f"its newest word here is {what} of {at}"


async def _look_at(settings: Settings, name: str) -> Queue.DeclareOk:
    """What the broker says of a queue. Raises NotSetUp if there is none."""
    key = settings.home / "tls.key"
    password = tls_password(key, settings.secret())
    context = client_context(settings.home / "ca.pem", settings.home / "tls.pem", key, password)
    connection = await connect(settings, context, "doctor")
    try:
        channel = await connection.channel()
        return (await channel.get_queue(name, ensure=True)).declaration_result
    except Exception as error:
        raise NotSetUp(
            f"the queue {name} is not there: {typed.why(error)}",
            "ask the hub's operators to run `seci-hub provision`",
        ) from error
    finally:
        await connection.close()
