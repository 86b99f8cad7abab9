"""`seci-hub ca`: another certification authority takes the place of the exchange's, while messages go on.

Each command is a step, safe to repeat, and says what comes next.
"""

import asyncio
import tempfile
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer
from sqlalchemy.ext.asyncio import AsyncConnection

from crypto import certificates
from hub import announcing, authorities, registrar, standing, topology
from hub.acts import Actor
from hub.authorities import Issuing, Known, Stage
from hub.broker import BrokerAddress
from hub.errors import BrokerUnreachable, HubError, RolloverRefused
from hub.locked import hold_keys
from hub.roles import Action
from hub.settings import Settings
from hub.setup import broker_follows, hub_keys, ledger_of, probe, users_follow
from hub.shell import AsJson, Home, acting, answer, say, with_database
from hub.topology import HUB_USERS
from schemas.authorities import AuthoritiesHeld

ca_app: Final = typer.Typer(no_args_is_help=True, help="Another certification authority takes the place of this one.")
Force = Annotated[
    str | None, typer.Option(metavar="REASON", help="Go on all the same, and why; it goes into the ledger.")
]
_NEXT: Final = {
    Stage.SETTLED: "nothing is under way; `seci-hub ca roll` makes another authority",
    Stage.ROLLED: "give RabbitMQ the new ca.pem, and then `seci-hub ca switch`",
    Stage.SWITCHED: "once every node has a certificate of the new one, `seci-hub ca finish`",
}


@ca_app.command()
def show(home: Home, as_json: AsJson = False) -> None:
    """Show how far it is, what the broker shows, and which nodes still have a certificate of the old authority."""
    settings = Settings.load(home)
    acting(settings, Action.LOOK)
    _answer(settings, authorities.known(home), as_json)


@ca_app.command()
def roll(context: typer.Context, home: Home, as_json: AsJson = False) -> None:
    """Make another authority, vouched for by the one of today; hub and nodes trust both from now on.

    The running workers tell the nodes. Certificates are still issued by the old one.
    """
    hold_keys(context, home)
    settings, stage = Settings.load(home), authorities.known(home).stage
    if stage is Stage.SWITCHED:
        _refuse(settings, "another authority has just taken over", "first `seci-hub ca finish`")
    actor = _acting(settings, {"ca": "roll"}) if stage is Stage.SETTLED else _acting(settings)
    if stage is Stage.SETTLED:
        _put_on_record(settings, actor)
        authorities.prepare(home, settings.secret())
        authorities.trust_both(home)
    _tell_broker(settings)
    _answer(settings, authorities.known(home), as_json)


@ca_app.command()
def switch(context: typer.Context, home: Home, force: Force = None, as_json: AsJson = False) -> None:
    """Let the new authority issue: the hub's users get new certificates, and the nodes ask for theirs.

    Refused (4) unless the broker takes certificates of the new one.
    """
    hold_keys(context, home)
    settings, known = Settings.load(home), authorities.known(home)
    if known.stage is Stage.SETTLED:
        _refuse(settings, "there is no other authority yet", "first `seci-hub ca roll`")
    undecided = known.stage is Stage.ROLLED and not authorities.is_decided(home)
    actor = _acting(settings, _subject("switch", known, force)) if undecided else _acting(settings)
    if undecided:
        _tell_broker(settings)
        if force is None:
            _check_broker_takes(settings)
        _put_on_record(settings, actor)
    authorities.let_newest_issue(home)
    renewed = users_follow(home, settings.secret())
    say(f"new certificates: {', '.join(renewed) or 'none'}")
    say("a join desk that is running shows the old authority's: start it anew; open invitations are outdated")
    _answer(settings, authorities.known(home), as_json)


@ca_app.command()
def finish(context: typer.Context, home: Home, force: Force = None, as_json: AsJson = False) -> None:
    """Give the broker a certificate of the new authority, and trust the old one no more.

    Refused (4) while a node has not said that it has a certificate of the new one, or the broker shows one of the old.
    With --force such a node is shut out, until it is enrolled again. The broker keeps its key.
    """
    hold_keys(context, home)
    settings, known = Settings.load(home), authorities.known(home)
    if known.stage is Stage.ROLLED:
        _refuse(settings, "the old authority still issues", "first `seci-hub ca switch`")
    undecided = known.stage is Stage.SWITCHED
    actor = _acting(settings, _subject("finish", known, force)) if undecided else _acting(settings)
    if undecided:
        if force is None:
            _check_nodes_follow(settings, known)
        # Who trusts the old one only finds the way to the hub until here.
        broker_follows(home, settings.secret())
        _tell_broker(settings)
        if force is None:
            _check_broker_follows(settings, known)
        _put_on_record(settings, actor, authorities.issuing(home, settings.secret()))
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


def _check_nodes_follow(settings: Settings, known: Known) -> None:
    lacking = [item["node"] for item in _nodes(settings, known) if item["certificate"] != "new"]
    if lacking:
        raise RolloverRefused(
            f"of {', '.join(lacking)} it is not known to have a certificate of the new authority",
            "see that their agents run; those that cannot be waited for are shut out by --force REASON",
        )


def _check_broker_follows(settings: Settings, known: Known) -> None:
    if _broker(settings, known) != "new":
        raise RolloverRefused(
            "the broker does not show its new certificate yet",
            "give RabbitMQ the new broker.pem, then repeat the command",
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
    hub, newest = hub_keys(settings), certificates.digest_of(known.newest)

    async def read(connection: AsyncConnection) -> dict[str, AuthoritiesHeld | None]:
        roster = await registrar.current(connection, hub)
        return await announcing.kept(connection, (node.node for node in roster.nodes if node.active))

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


def _subject(step: str, known: Known, force: str | None) -> dict[str, str | None]:
    """What a second person confirms."""
    return {"ca": step, "authority": certificates.digest_of(known.newest).hex()[:16], "force": force}


def _acting(settings: Settings, subject: dict[str, str | None] | None = None) -> Actor:
    """Who takes a step, of `subject`; or only goes on with one that was decided before."""
    return acting(settings, Action.LOOK) if subject is None else acting(settings, Action.KEYS, subject)


def _refuse(settings: Settings, why: str, step: str) -> NoReturn:
    _acting(settings)
    raise RolloverRefused(why, step)


def _put_on_record(settings: Settings, actor: Actor, lists: Issuing | None = None) -> None:
    """Before it is done: of a step that is cut off just then there may be two entries.

    From now on the revocation list is by the one that `lists`.
    """
    log = ledger_of(settings)

    async def and_(connection: AsyncConnection) -> None:
        if lists is not None:
            await standing.relist(connection, log, lists)

    with_database(settings, and_, log, actor)
