"""`seci-hub invite`, `invitations`, `requests`, `approve`, `confirm`, `reject`, `join-desk`: how nodes come in."""

import asyncio
import re
import sys
from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer
from sqlalchemy.ext.asyncio import AsyncConnection

from crypto import joining as proofs
from crypto import typed
from crypto.keyfile import write_private
from hub import admission, approvals, database, joining, joinwords, registrar
from hub.acts import Actor
from hub.admission import Office
from hub.errors import FileUnwritable, RequestUnreadable, SettingsInvalid
from hub.joining import Enrolment, Terms
from hub.roles import Action
from hub.settings import HOME_VARIABLE, Settings
from hub.setup import ledger_of
from hub.shell import AsJson, Home, acting, answer, say, with_database
from hub.watch import iso
from schemas.codes import TASK_FORCES, Agency
from schemas.joining import MAX_REQUEST, JoinToken, Stage
from schemas.participants import NODE_ID, PARTICIPANTS, category_of

T = TypeVar("T")
requests_app: Final = typer.Typer(invoke_without_command=True, help="Nodes that ask to join.")
_WAITING: Final = (Stage.REQUESTED, Stage.APPROVED, Stage.CONFIRMED, Stage.PROVISIONED, Stage.IN_ROSTER)
_DURATION: Final = re.compile(r"([1-9]\d{0,3})([hd])")
_LONGEST: Final = timedelta(days=30)


def _node(text: str) -> str:
    if not NODE_ID.fullmatch(text.lower()):
        raise typer.BadParameter(f"{text!r} is no node id: 2 to 8 letters a to z, for example ro")
    return text.lower()


def _duration(text: str) -> timedelta:
    found = _DURATION.fullmatch(text)
    span = timedelta(**{{"h": "hours", "d": "days"}[found[2]]: int(found[1])}) if found else None
    if span is None or span > _LONGEST:
        raise typer.BadParameter(f"{text!r} is no time: hours or days, at most 30 days, for example 72h or 3d")
    return span


def _agencies(text: str) -> tuple[Agency, ...]:
    try:
        return tuple(dict.fromkeys(Agency(part) for part in text.split(",")))
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not of {', '.join(Agency)}, with commas between") from error


Node = Annotated[str, typer.Argument(parser=_node, metavar="NODE", help="The node's id, for example ro.")]


def invite(
    node: Node,
    home: Home,
    agency: Annotated[
        Any, typer.Option(parser=_agencies, metavar="AGENCY,...", help="Of a new node: police,customs.")
    ] = None,
    task_force: Annotated[
        list[str] | None,
        typer.Option(
            parser=typed.one_of(TASK_FORCES), metavar="CODE", help="Membership; of a new node by default all."
        ),
    ] = None,
    expires: Annotated[Any, typer.Option(parser=_duration, metavar="TIME", help="How long it is good for.")] = "72h",
    replace_keys: Annotated[
        bool, typer.Option("--replace-keys", help="For a node in the roster that has lost its keys: they end.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Write the token to this file, and do not print it.")] = None,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="End the invitation that was not used.")] = False,
    as_json: AsJson = False,
) -> None:
    """Invite a node: a token for `seci-node join`, good once. It is shown now and never again."""
    settings = Settings.load(home)
    log = ledger_of(settings)
    if withdraw:
        actor = acting(settings, Action.INVITE, {"node": node, "withdraw": True})
        with_database(settings, lambda connection: joining.withdraw(connection, node, actor.name), log, actor)
        answer({"node": node, "withdrawn": True}, as_json, f"the invitation of {node} is withdrawn")
        return
    pin = proofs.pin_of(admission.identity_of(settings, log))
    until = joining.now_ms() + int(expires.total_seconds() * 1000)
    terms = Terms(agency, None if task_force is None else tuple(sorted(set(task_force))), replace_keys, until)
    actor = acting(settings, Action.INVITE, {"node": node, **terms.said()})

    async def work(connection: AsyncConnection) -> JoinToken:
        roster = await registrar.current(connection, log.keys)
        return await joining.invite(connection, node, pin, terms, roster, actor.name)

    token = with_database(settings, work, log, actor)
    result = {"node": node, "invitation": token.id.hex(), "expires": iso(until)}
    if out is None:
        answer(result | {"token": token.text()}, as_json, token.text())
    else:
        _write(out, f"{token.text()}\n".encode())
        answer(result | {"file": str(out)}, as_json, f"the token is in {out}")
    if node not in PARTICIPANTS:
        say(f"{node} is not in the Center's list (docs/node.md): is it spelt so? It will be a {category_of(node)}")
    say(f"good once, for {node}, until {iso(until)}; hand it over sealed or in person, not by mail")
    say("next: seci-hub join-desk, or for a node with no way in: seci-hub requests import FILE")


def invitations(
    home: Home,
    every: Annotated[bool, typer.Option("--all", help="Also those that were used, or are over.")] = False,
    as_json: AsJson = False,
) -> None:
    """List invitations that nobody has used yet."""
    stages, settings = tuple(Stage) if every else (Stage.INVITED,), Settings.load(home)
    acting(settings, Action.LOOK)
    found = with_database(settings, lambda connection: joining.listing(connection, stages))
    rows = [joinwords.invited(item) for item in found]
    lines = [
        f"{row['invitation']}  {row['node']:8} {row['stage']:11} until {row['expires']}  by {row['invited_by']}"
        + ("  replaces keys" if row["replace_keys"] else "")
        for row in rows
    ]
    answer({"invitations": rows}, as_json, "\n".join(lines) or "nobody is invited")


@requests_app.callback()
def requests(
    context: typer.Context,
    home: Annotated[Path | None, typer.Option(envvar=HOME_VARIABLE, help="The hub's folder.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Also those that are over.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the nodes that ask to join, with the words to compare by telephone."""
    if context.invoked_subcommand is not None:
        return
    if home is None:
        raise typer.BadParameter("--home is missing: the hub's folder")
    stages = (*_WAITING, Stage.WELCOMED, Stage.REJECTED) if every else _WAITING
    settings = Settings.load(home)
    acting(settings, Action.LOOK)
    found = with_database(settings, lambda connection: joining.listing(connection, stages))
    lines = "\n".join(map(joinwords.told, found))
    answer({"requests": [joinwords.asked(item) for item in found]}, as_json, lines or "nobody waits")
    if any(item.stage is Stage.REQUESTED for item in found):
        say("telephone the node under a number you know, let it read its words to you, and type what you hear:")
        say('      seci-hub approve NODE --words "..."')


@requests_app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="What `seci-node join --hub FILE` wrote.")],
    home: Home,
    as_json: AsJson = False,
) -> None:
    """Take in a request that came as a file."""
    try:
        with file.open("rb") as source:
            join = joining.parse(source.read(MAX_REQUEST + 1))
    except OSError as error:
        raise RequestUnreadable(f"{file} does not read: {error.strerror}", "name the node's file") from error
    settings = Settings.load(home)
    actor = acting(settings, Action.INVITE, {"node": join.request.node, "request": join.invitation})
    log = ledger_of(settings)

    async def work(connection: AsyncConnection) -> Enrolment:
        pin, roster = (
            proofs.pin_of(admission.identity_of(settings, log)),
            await registrar.current(connection, log.keys),
        )
        return await joining.ask(connection, join, pin, roster, by_file=True)

    found = with_database(settings, work, log, actor)
    answer(joinwords.asked(found), as_json, joinwords.told(found))
    if found.stage is Stage.REQUESTED:
        say(f'next: let {found.node} read its words by telephone: seci-hub approve {found.node} --words "..."')


@requests_app.command()
def export(
    node: Node,
    home: Home,
    out: Annotated[Path, typer.Option(help="The file for the node.")],
    as_json: AsJson = False,
) -> None:
    """Write the answer for a node to a file: its welcome, sealed, once it is in the roster."""
    settings = Settings.load(home)
    _on_record(settings, acting(settings, Action.INVITE, {"node": node, "answer": str(out.name)}))

    async def work(office: Office) -> dict[str, Any]:
        async with office.engine.connect() as connection:
            found = await joining.latest(connection, node)
        answered = await admission.answer(office, found)
        _write(out, (answered.model_dump_json(indent=2, exclude_none=True) + "\n").encode())
        return {"node": node, "stage": str(answered.stage), "file": str(out), "welcome": answered.sealed is not None}

    result = with_office(settings, work)
    answer(result, as_json, f"{out}: {node} is {result['stage']}")
    say(f"next, at the node: seci-node join --hub {out.name}")
    if result["stage"] in (Stage.REQUESTED, Stage.APPROVED):
        say(f"it has no welcome yet, and lets {node} prove its encryption key only; export again when {node} is in")


@requests_app.command()
def resume(home: Home, as_json: AsJson = False) -> None:
    """Go on with enrolments that were left in the middle, and take back what is left of rejected ones."""
    settings = Settings.load(home)
    _on_record(settings, acting(settings, Action.PROVISION, {"resume": "enrolments"}))
    found = with_office(settings, admission.carry_all_on)
    lines = [f"{item.node} is {item.stage}" for item in found]
    answer({"requests": [joinwords.asked(item) for item in found]}, as_json, "\n".join(lines) or "nothing was left")


def approve(
    node: Node,
    home: Home,
    words: Annotated[str, typer.Option(help="The words that the node's administrator read to you; 4 letters each do.")],
    as_json: AsJson = False,
) -> None:
    """Say that a request is the node's own: you have heard these words from its administrator by telephone.

    Where to enrol takes two (`seci-hub operator four-eyes`), a second one has to confirm.
    """
    settings = Settings.load(home)
    log = ledger_of(settings)

    async def work(connection: AsyncConnection, seen: Enrolment, by: Actor) -> Enrolment:
        four_eyes = by.session is not None and Action.ENROL in await approvals.chosen(connection, log)
        return joining.same(await joining.approve(connection, node, words, by.name, four_eyes=four_eyes), seen)

    found = _decide(settings, Action.APPROVE, node, work)
    answer(joinwords.asked(found), as_json, f"{node} is {found.stage}")
    if found.stage is Stage.APPROVED:
        say(f"next: a security officer, another person than you: seci-hub confirm {node}")
    else:
        _say_in(found)


def confirm(
    node: Node,
    home: Home,
    yes: Annotated[bool, typer.Option("--yes", help="Do not show it and ask first.")] = False,
    as_json: AsJson = False,
) -> None:
    """As a security officer who has not approved it: let an approved node in; certificate, broker, roster follow.

    Read what it shows, and ask who approved it: what is confirmed is that, and nothing that took its place meanwhile.
    Killed in the middle, `seci-hub requests resume` or the join desk goes on.
    """
    if not yes and (as_json or not sys.stdin.isatty()):
        raise typer.BadParameter("it asks first, and nobody is there to answer: see `seci-hub requests`, and say --yes")

    def agreed(seen: Enrolment) -> None:
        if not yes:
            say(joinwords.told(seen))
            typer.confirm(f"Let {node} in with these keys, on these terms?", abort=True, err=True)

    async def work(connection: AsyncConnection, seen: Enrolment, by: Actor) -> Enrolment:
        return await joining.confirm(connection, seen, by.name)

    found = _decide(Settings.load(home), Action.ADMIT, node, work, agreed=agreed)
    answer(joinwords.asked(found), as_json, f"{node} is {found.stage}; roster version {found.roster_version}")
    _say_in(found)


def reject(
    node: Node,
    home: Home,
    reason: Annotated[str, typer.Option("--reason", help="Why; the node is told.")],
    as_json: AsJson = False,
) -> None:
    """Refuse a request that is not in the roster yet; what was set up for it is taken back."""
    if not reason.strip() or len(reason) > 300:
        raise SettingsInvalid("the reason is empty or longer than 300 characters", "say why: the node is told")

    async def work(connection: AsyncConnection, seen: Enrolment, _: Actor) -> Enrolment:
        return await joining.reject(connection, seen, reason.strip())

    found = _decide(Settings.load(home), Action.REJECT, node, work, {"reason": reason.strip()})
    answer(joinwords.asked(found), as_json, f"{node} is rejected")


def _decide(
    settings: Settings,
    action: Action,
    node: str,
    work: Callable[[AsyncConnection, Enrolment, Actor], Coroutine[Any, Any, Enrolment]],
    more: dict[str, Any] | None = None,
    agreed: Callable[[Enrolment], None] = lambda _: None,
) -> Enrolment:
    """An operator's word on a request as it is seen, on record with what it is about; and what follows from it."""
    log = ledger_of(settings)
    seen = with_database(settings, lambda connection: joining.latest(connection, node))
    actor = acting(settings, action, {**seen.about(), **(more or {})})
    agreed(seen)
    decided = with_database(settings, lambda connection: work(connection, seen, actor), log, actor)
    return with_office(settings, lambda office: admission.carry_on(office, decided.invitation))


def _on_record(settings: Settings, actor: Actor) -> None:
    async def nothing_else(_: AsyncConnection) -> None:
        return None

    with_database(settings, nothing_else, ledger_of(settings), actor)


def with_office(settings: Settings, work: Callable[[Office], Coroutine[Any, Any, T]]) -> T:
    """Runs `work` with the database and the ledger open. Raises DatabaseUnreachable, DatabaseOutdated."""
    log = ledger_of(settings)

    async def main() -> T:
        engine = database.engine_of(settings.database_url)
        try:
            return await work(Office(settings, engine, log))
        finally:
            await engine.dispose()

    try:
        return asyncio.run(main())
    except database.DATABASE_TROUBLE as error:
        raise database.explained(error) from error


def _write(file: Path, content: bytes) -> None:
    try:
        write_private(file, content)
    except OSError as error:
        raise FileUnwritable(f"{file} cannot be written: {error.strerror}", "name another with --out") from error


def _say_in(found: Enrolment) -> None:
    if found.terms.replace_keys:
        say(f"RabbitMQ still takes certificates that {found.node} had before, until they end: if somebody may have the")
        say("      old TLS key, let another certification authority take over: seci-hub ca roll")
    if found.by_file:
        say(f"next: seci-hub requests export {found.node} --out {found.node}.answer.json")
    else:
        say(f"{found.node} fetches its welcome by itself, or when its administrator runs `seci-node join` again")
