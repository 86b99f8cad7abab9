"""`seci-hub ca`: another certification authority takes the place of the exchange's, while messages go on.

Each command is a step, safe to repeat, and says what comes next.
"""

import asyncio
import getpass
import tempfile
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from cryptography import x509
from sqlalchemy.ext.asyncio import AsyncConnection

from crypto import certificates
from hub import announcing, authorities, ledger, registrar, topology
from hub.authorities import Known, Stage
from hub.broker import BrokerAddress
from hub.errors import BrokerUnreachable, HubError, RolloverRefused
from hub.ledger import Ledger
from hub.settings import Settings
from hub.setup import follow_authority, hub_key, ledger_of, probe
from hub.shell import AsJson, Home, answer, say, with_database
from hub.topology import HUB_USERS
from schemas.authorities import AuthoritiesHeld
from schemas.control import Entry, Event
from schemas.participants import CENTRE

ca_app: Final = typer.Typer(no_args_is_help=True, help="Another certification authority takes the place of this one.")
Force = Annotated[
    str | None, typer.Option(metavar="REASON", help="Go on all the same, and why; it goes into the ledger.")
]
_DETAIL_SIZE: Final = 300
_NEXT: Final = {
    Stage.SETTLED: "nothing is under way; `seci-hub ca roll` makes another authority",
    Stage.ROLLED: "give RabbitMQ the new ca.pem, and then `seci-hub ca switch`",
    Stage.SWITCHED: "give RabbitMQ the new broker.pem; once every node has a new certificate, `seci-hub ca finish`",
}


@ca_app.command()
def show(home: Home, as_json: AsJson = False) -> None:
    """Show how far it is, what the broker shows, and which nodes still have a certificate of the old authority."""
    settings = Settings.load(home)
    _answer(settings, authorities.known(home), as_json)


@ca_app.command()
def roll(home: Home, as_json: AsJson = False) -> None:
    """Make another authority, vouched for by the one of today; hub and nodes trust both from now on.

    The running workers tell the nodes. Certificates are still issued by the old one.
    """
    settings = Settings.load(home)
    if authorities.known(home).stage is Stage.SWITCHED:
        raise RolloverRefused("another authority has just taken over", "first `seci-hub ca finish`")
    if authorities.known(home).stage is Stage.SETTLED:
        new = authorities.prepare(home, settings.secret())
        _enter(settings, "roll", new, None)
        authorities.trust_both(home)
    _tell_broker(settings)
    _answer(settings, authorities.known(home), as_json)


@ca_app.command()
def switch(home: Home, force: Force = None, as_json: AsJson = False) -> None:
    """Let the new authority issue; the hub's users and the broker get new certificates, and the nodes ask for theirs.

    Refused (4) unless the broker takes certificates of the new one. The broker keeps its key.
    """
    settings, known = Settings.load(home), authorities.known(home)
    secret = settings.secret()
    if known.stage is Stage.SETTLED:
        raise RolloverRefused("there is no other authority yet", "first `seci-hub ca roll`")
    if known.stage is Stage.ROLLED and not authorities.is_decided(home):
        _tell_broker(settings)
        if force is None:
            _check_broker_takes(settings)
        _enter(settings, "switch", known.newest, force)
    authorities.let_newest_issue(home)
    renewed = follow_authority(home, secret)
    _tell_broker(settings)
    say(f"new certificates: {', '.join(renewed) or 'none'}")
    _answer(settings, authorities.known(home), as_json)


@ca_app.command()
def finish(home: Home, force: Force = None, as_json: AsJson = False) -> None:
    """Trust the old authority no more.

    Refused (4) while a node has not said that it has a certificate of the new one, or the broker shows another. With
    --force such a node is shut out, until it is enrolled again.
    """
    settings, known = Settings.load(home), authorities.known(home)
    if known.stage is Stage.ROLLED:
        raise RolloverRefused("the old authority still issues", "first `seci-hub ca switch`")
    if known.stage is Stage.SWITCHED:
        if force is None:
            _check_all_have(settings, known)
        _enter(settings, "finish", known.newest, force)
    authorities.trust_newest(home)
    _tell_broker(settings)
    _answer(settings, authorities.known(home), as_json)
    if known.stage is Stage.SWITCHED:
        say("next: give RabbitMQ the new ca.pem: until then it lets in who has a certificate of the old authority")


def _check_broker_takes(settings: Settings) -> None:
    # Before the hub's own users have nothing else.
    with tempfile.TemporaryDirectory(dir=settings.home, prefix="ca-probe-") as folder:
        ca = authorities.next_key(settings.home, settings.secret())
        context = probe(settings.home, settings.secret(), ca, Path(folder))
        user = HUB_USERS[0]
        broker = BrokerAddress(settings.broker_host, settings.broker_port, settings.vhost, {user: context})

        async def connect() -> None:
            await (await broker.connect(user)).close()

        try:
            # That there is a broker to ask is another question.
            asyncio.run(BrokerAddress.of(settings).certificate(user))
            asyncio.run(connect())
        except BrokerUnreachable as error:
            raise RolloverRefused(
                f"the broker does not take a certificate of the new authority: {error}",
                "give RabbitMQ the new ca.pem and restart it, or have it read its files again: "
                "rabbitmqctl eval 'ssl:clear_pem_cache().'; then repeat the command",
            ) from error


def _check_all_have(settings: Settings, known: Known) -> None:
    lacking = [item["node"] for item in _nodes(settings, known) if item["certificate"] != "new"]
    if lacking:
        raise RolloverRefused(
            f"of {', '.join(lacking)} it is not known to have a certificate of the new authority",
            "see that their agents run; those that cannot be waited for are shut out by --force REASON",
        )
    if _broker(settings, known) != "new":
        raise RolloverRefused(
            "the broker does not show a certificate of the new authority",
            "give RabbitMQ the new broker.pem and have it read its files again, then repeat the command",
        )


def _tell_broker(settings: Settings) -> None:
    try:
        topology.forget_certificates(settings.broker_ctl)
    except HubError as error:
        say(f"RabbitMQ was not told to read its files again: {error}")


def _broker(settings: Settings, known: Known) -> str | None:
    """Of which authority the certificate is that the broker shows; None if that cannot be seen."""
    try:
        shown = asyncio.run(BrokerAddress.of(settings).certificate(HUB_USERS[0]))
    except BrokerUnreachable:
        return None
    return "old" if certificates.issuer_of(shown, [known.newest]) is None else "new"


def _nodes(settings: Settings, known: Known) -> list[dict[str, Any]]:
    hub, newest = hub_key(settings).public, certificates.digest_of(known.newest)

    async def read(connection: AsyncConnection) -> dict[str, AuthoritiesHeld | None]:
        roster = await registrar.current(connection, hub)
        return await announcing.kept(connection, (node.node for node in roster.nodes))

    def described(held: AuthoritiesHeld | None) -> dict[str, str | None]:
        if held is None:
            return {"certificate": None, "trusts": None}
        trusts = {1: "new" if newest in held.authorities else "old"}.get(len(held.authorities), "both")
        return {"certificate": "new" if held.issuer == newest else "old", "trusts": trusts}

    return [{"node": node, **described(held)} for node, held in with_database(settings, read).items()]


def _answer(settings: Settings, known: Known, as_json: bool) -> None:
    nodes, broker = _nodes(settings, known), _broker(settings, known)
    found: list[dict[str, Any]] = [
        {
            "digest": certificates.digest_of(one).hex(),
            "ends": f"{one.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}",
            "issues": one == known.authorities[0],
        }
        for one in known.authorities
    ]
    lines = [f"{known.stage}; the broker's certificate is {_of(broker)}"]
    lines += [f"{one['digest'][:16]}  until {one['ends']}{'  issues' if one['issues'] else ''}" for one in found]
    lines += [
        f"{node['node']:8} certificate {_of(node['certificate'])}, trusts {_of(node['trusts'])}" for node in nodes
    ]
    result = {"stage": str(known.stage), "authorities": found, "broker": broker, "nodes": nodes}
    answer(result, as_json, "\n".join(lines))
    say(f"next: {_NEXT[known.stage]}")


def _of(which: str | None) -> str:
    return "unknown" if which is None else which


def _enter(settings: Settings, step: str, new: x509.Certificate, force: str | None) -> None:
    """The entry that says who did it, before it is done: of a step that is cut off there may be two."""
    log: Ledger = ledger_of(settings)
    said = f"{getpass.getuser()}: ca {step}" + (f" --force {force}" if force else "")

    async def append(connection: AsyncConnection) -> None:
        turn = await ledger.take_turn(connection)
        digest = certificates.digest_of(new)
        entry = Entry(event=Event.OPERATOR, at=turn.at, node=CENTRE, evidence=digest, detail=said[:_DETAIL_SIZE])
        await ledger.append(connection, log, turn, [entry])

    with_database(settings, append, log)
