"""`seci-hub operator`: who may work at the hub, in which role, and what takes two of them."""

from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from crypto import certificates, typed
from hub import acts, approvals, authorities, credentials, operators, sessions
from hub import login as logins
from hub.acts import Actor
from hub.cli_login import Name, PasswordFile, read_code, read_password
from hub.credentials import Credential
from hub.entering import judged
from hub.errors import FileUnwritable, OperatorRefused, SettingsInvalid
from hub.login import PasswordProof
from hub.roles import DANGEROUS, MAY_TAKE_TWO, Action, Role, of_two
from hub.settings import Settings
from hub.setup import ledger_of, operators_secret
from hub.shell import AsJson, Home, acting, answer, now_ms, say, with_database

operator_app: Final = typer.Typer(no_args_is_help=True, help="Who may work at the hub, and what takes two of them.")
RoleOption = Annotated[Role, typer.Option("--role", help="What the operator is there for.")]
NewPasswordFile = Annotated[
    Path | None, typer.Option(help="File with the new password, readable by you only; else it asks.")
]
CERTIFICATE_DAYS: Final = 397
_IS_OWNER: Final = "SELECT pg_has_role(tableowner, 'USAGE') FROM pg_tables WHERE tablename = 'ledger_leaf'"
_ONCE: Final = "shown once: let the operator take it into an authenticator (as QR code or by hand), and keep it nowhere"


@operator_app.command()
def add(
    name: Name, role: RoleOption, home: Home, new_password_file: NewPasswordFile = None, as_json: AsJson = False
) -> None:
    """Make an account. The operator sits beside you, chooses the password, and takes the TOTP secret along.

    The first is a security officer, and is made by whoever has set the hub up; from then on every command asks who you
    are. The second security officer the first may add alone. All others take two: exit code 3 until another security
    officer has confirmed it; then repeat the command.
    """
    settings = Settings.load(home)
    if not credentials.is_name(name):
        raise typer.BadParameter(
            f"{name!a} is no name: small letters, digits, dots and hyphens between them, at most "
            f"{credentials.NAME_SIZE}, and none of {', '.join(sorted(credentials.RESERVED))}"
        )
    subject = {"name": name, "role": str(role)}
    actor = _acting_on(settings, Action.OPERATOR_ADD, subject, _check_free)
    if actor.is_setup:
        if role is not Role.OFFICER:
            raise OperatorRefused("the first operator is a security officer", f"say --role {Role.OFFICER}")
        actor = Actor(name, Action.OPERATOR_ADD, subject, role)
    credential = Credential.new(name, role, read_password(new_password_file, f"{name}'s password", twice=True))
    secret, log = operators_secret(settings), ledger_of(settings)
    with_database(settings, lambda connection: operators.add(connection, credential, secret, now_ms()), log, actor)
    _tell_credential(credential, as_json, f"{name} is added as {role}")
    say(f"next: seci-hub login {name}")


@operator_app.command("list")
def list_(home: Home, as_json: AsJson = False) -> None:
    """List all operators, also those that were disabled, and what takes two."""
    settings = Settings.load(home)
    acting(settings, Action.LOOK)
    log = ledger_of(settings)

    async def work(connection: AsyncConnection) -> tuple[list[dict[str, Any]], list[str]]:
        return await operators.listing(connection), sorted(await approvals.chosen(connection, log))

    found, two = with_database(settings, work)
    head = f"{'name':32}  {'role':16}  {'created':24}  disabled"
    lines = [f"{o['name']:32}  {o['role']:16}  {o['created']}  {o['disabled'] or ''}".rstrip() for o in found]
    words = "\n".join([head, *lines, f"takes two: {', '.join(two) or 'nothing'}"]) if found else "there are none yet"
    answer({"operators": found, "four_eyes": two}, as_json, words)


@operator_app.command()
def show(name: Name, home: Home, as_json: AsJson = False) -> None:
    """Show one operator's account, and how many logins have failed in a row; never the credential."""
    settings = Settings.load(home)
    acting(settings, Action.LOOK)

    async def work(connection: AsyncConnection) -> dict[str, Any]:
        found = operators.described(await operators.get(connection, name))
        return {**found, "failed_logins": await sessions.failures(connection, name)}

    found = with_database(settings, work)
    answer(found, as_json, "\n".join(f"{key:13} {value if value is not None else '-'}" for key, value in found.items()))


@operator_app.command()
def role(name: Name, role: RoleOption, home: Home, as_json: AsJson = False) -> None:
    """Give an operator another role; logs the operator out, and voids what waits of theirs. Takes two."""
    settings = Settings.load(home)
    secret = operators_secret(settings)
    actor = _acting_on(settings, Action.OPERATOR_ROLE, {"name": name, "role": str(role)})

    async def work(connection: AsyncConnection) -> None:
        row = await operators.get(connection, name)
        await operators.check_may_go(connection, row)
        found = Credential.open(row.sealed, secret, name, row.role)
        changed = Credential(name, role, found.password, found.totp)
        await operators.replace(connection, changed, secret, totp=False)
        await operators.void(connection, name, now_ms())

    _change(settings, actor, work)
    answer({"ok": True, "operator": name, "role": str(role)}, as_json, f"{name} is {role}")


@operator_app.command()
def disable(name: Name, home: Home, as_json: AsJson = False) -> None:
    """Let nobody log in by this name any more; ends its sessions at once. Of security officers two always stay."""
    settings = Settings.load(home)
    actor = _acting_on(settings, Action.OPERATOR_DISABLE, {"name": name})
    _change(settings, actor, lambda connection: operators.disable(connection, name, now_ms()))
    answer({"ok": True, "operator": name, "disabled": True}, as_json, f"{name} is disabled")


@operator_app.command()
def enable(name: Name, home: Home, as_json: AsJson = False) -> None:
    """Let an operator log in again. Takes two."""
    settings = Settings.load(home)
    actor = _acting_on(settings, Action.OPERATOR_ENABLE, {"name": name})
    _change(settings, actor, lambda connection: operators.enable(connection, name))
    answer({"ok": True, "operator": name, "disabled": False}, as_json, f"{name} is enabled")


@operator_app.command()
def password(
    home: Home,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Whose; if not given, your own.")] = None,
    password_file: PasswordFile = None,
    code: Annotated[str | None, typer.Option(help="Of your own: what your authenticator shows.")] = None,
    new_password_file: NewPasswordFile = None,
    as_json: AsJson = False,
) -> None:
    """Change your password, or let another operator, who sits beside you, choose a new one. Another's takes two.

    Of another's, a certificate to log in with ends, too.
    """
    settings = Settings.load(home)
    actor, old = _whose(settings, name, "password", password_file, code)
    new = read_password(new_password_file, f"{old.name}'s new password", twice=True)
    new_hash = credentials.hashed(old.name, new)
    _reset(settings, actor, old.name, lambda found: replace(found, password=new_hash))
    answer({"ok": True, "operator": old.name}, as_json, f"{old.name} has a new password, and must log in again")


@operator_app.command()
def totp(
    home: Home,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Whose; if not given, your own.")] = None,
    password_file: PasswordFile = None,
    code: Annotated[str | None, typer.Option(help="Of your own: what your authenticator shows now.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a new TOTP secret, your own or another operator's; the old one is good no more. Another's takes two.

    Of another's, a certificate to log in with ends, too.
    """
    settings = Settings.load(home)
    actor, old = _whose(settings, name, "totp", password_file, code)
    new_secret = credentials.new_totp()
    changed = _reset(settings, actor, old.name, lambda found: replace(found, totp=new_secret), totp=True)
    _tell_credential(changed, as_json, f"{old.name} has a new TOTP secret, and must log in again")


@operator_app.command()
def certificate(
    name: Name,
    csr: Annotated[Path, typer.Option(help="The operator's certificate request (PEM): P-256, common name NAME.")],
    out: Annotated[Path, typer.Option(help="Where the certificate (PEM) is written.")],
    home: Home,
    as_json: AsJson = False,
) -> None:
    """Issue a certificate to log in with instead of password and code; an earlier one is good no more. Takes two."""
    settings = Settings.load(home)
    try:
        request = certificates.read_csr(csr.read_bytes())
    except OSError as error:
        raise SettingsInvalid(f"{csr} does not read: {error.strerror}", "name the certificate request") from error
    subject = {"name": name, "credential": "certificate", "csr": credentials.fingerprint_of_request(request).hex()}
    actor = _acting_on(settings, Action.OPERATOR_CREDENTIALS, subject)
    ca = authorities.issuing(settings.home, settings.secret())
    issued = certificates.issue(
        *(request, ca.certificate, ca.key, certificates.Profile.CLIENT),
        common_name=credentials.common_name(name),
        days=CERTIFICATE_DAYS,
    )
    try:
        out.write_bytes(certificates.to_pem(issued))
    except OSError as error:
        raise FileUnwritable(f"{out} cannot be written: {error.strerror}", "name another with --out") from error
    found = credentials.fingerprint(issued)
    _change(settings, actor, lambda connection: operators.set_certificate(connection, name, found))
    result = {"ok": True, "operator": name, "certificate": str(out), "fingerprint": found.hex()}
    answer(result, as_json, f"{out} is {name}'s certificate, for {CERTIFICATE_DAYS} days")
    say(f"next: seci-hub login {name} --certificate {out} --key KEY")


@operator_app.command("four-eyes")
def four_eyes(
    home: Home,
    action: Annotated[
        list[str] | None,
        typer.Argument(
            parser=typed.one_of([*sorted(MAY_TAKE_TWO), "default", "off"]),
            metavar="ACTION...",
            help="All that takes two from now on; `default`, or `off` for nothing.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show, or decide, what takes two: one operator to ask and a security officer to confirm.

    To decide takes two itself, unless it is `off` already, and so does what makes a second person (operators, roles,
    credentials). It is on record, as all that is done without.
    """
    settings = Settings.load(home)
    if not action:
        acting(settings, Action.LOOK)
        log = ledger_of(settings)
        now = sorted(with_database(settings, lambda connection: approvals.chosen(connection, log)))
        answer({"four_eyes": now}, as_json, "\n".join(now) or "nothing")
        return
    words = set(action)
    if len(words) > 1 and words & {"default", "off"}:
        raise typer.BadParameter("`default` and `off` stand alone")
    named = {"off": frozenset[Action](), "default": DANGEROUS}
    new = sorted(named[action[0]] if action[0] in named else of_two(map(Action, words)))
    actor = acting(settings, Action.FOUR_EYES, {"actions": new})
    _change(settings, actor, _nothing_more)
    answer({"ok": True, "four_eyes": new}, as_json, f"takes two: {', '.join(new) or 'nothing'}")


@operator_app.command()
def recover(
    name: Name,
    home: Home,
    admin_database: Annotated[
        str, typer.Option(envvar="SECI_HUB_ADMIN_DATABASE_URL", help="URL of the database's owner, as for `init`.")
    ],
    new_password_file: NewPasswordFile = None,
    as_json: AsJson = False,
) -> None:
    """When nobody can confirm any more: a security officer gets a new password and TOTP secret from the owner.

    Needs no session, but the database's owner. It is on record as done by `owner`: tell the auditors why.
    """
    settings = Settings.load(home).model_copy(update={"database_url": admin_database})
    secret, log = operators_secret(settings), ledger_of(settings)

    async def look(connection: AsyncConnection) -> Any:
        if not await connection.scalar(text(_IS_OWNER)):
            raise OperatorRefused("--admin-database is not of the database's owner", "give the URL of `seci-hub init`")
        row = await operators.get(connection, name)
        if row.role != Role.OFFICER:
            raise OperatorRefused(f"{name} is no security officer", "a security officer can reset this account")
        return row

    with_database(settings, look)
    credential = Credential.new(name, Role.OFFICER, read_password(new_password_file, f"{name}'s password", twice=True))

    async def work(connection: AsyncConnection) -> None:
        await acts.record(connection, log, Actor(acts.OWNER, Action.RECOVER, {"name": name}))
        await look(connection)
        await operators.replace(connection, credential, secret, totp=True, by_another=True)
        await operators.enable(connection, name)

    with_database(settings, work, log)
    _tell_credential(credential, as_json, f"{name} has a new password and TOTP secret")


def _acting_on(
    settings: Settings,
    action: Action,
    subject: dict[str, Any],
    check: Callable[[AsyncConnection, str], Coroutine[Any, Any, Any]] = operators.get,
) -> Actor:
    """As `acting`, on an account that passes the check."""
    return acting(settings, action, subject, lambda connection: check(connection, subject["name"]))


def _whose(
    settings: Settings, name: str | None, what: str, password_file: Path | None, code: str | None
) -> tuple[Actor, Credential]:
    """Who changes whose credential: one's own needs the old one, too."""
    me = acting(settings, Action.LOOK)
    if me.is_setup:
        raise OperatorRefused("there are no operators yet", "make the first: seci-hub operator add --help")
    secret, whose = operators_secret(settings), name or me.name
    subject = {"name": whose, "credential": what}

    async def look(connection: AsyncConnection) -> Credential:
        row = await operators.get(connection, whose)
        return Credential.open(row.sealed, secret, whose, row.role)

    if whose != me.name:
        actor = _acting_on(settings, Action.OPERATOR_CREDENTIALS, subject)
        return actor, with_database(settings, look)
    proof = PasswordProof(read_password(password_file, "Your password"), code or read_code())
    account, step = judged(settings, ledger_of(settings), secret, whose, proof)
    if account.credential is None or not with_database(
        settings, lambda connection: logins.prove(connection, whose, step)
    ):
        raise logins.refused()
    # Not as what is only looked at: it is on record with what is done.
    return replace(me, action=Action.OWN_CREDENTIALS, subject=subject), account.credential


def _change(settings: Settings, actor: Actor, work: Callable[[AsyncConnection], Coroutine[Any, Any, None]]) -> None:
    with_database(settings, work, ledger_of(settings), actor)


def _reset(
    settings: Settings, actor: Actor, name: str, change: Callable[[Credential], Credential], *, totp: bool = False
) -> Credential:
    """Changes the credential as it is by then: while somebody typed, the account may have got another role."""
    secret = operators_secret(settings)

    async def work(connection: AsyncConnection) -> Credential:
        row = await operators.get(connection, name)
        changed = change(Credential.open(row.sealed, secret, name, row.role))
        others = actor.action is Action.OPERATOR_CREDENTIALS
        await operators.replace(connection, changed, secret, totp=totp, by_another=others)
        return changed

    return with_database(settings, work, ledger_of(settings), actor)


async def _nothing_more(_: AsyncConnection) -> None:
    """The act itself is all that there is of it."""


async def _check_free(connection: AsyncConnection, name: str) -> None:
    if await operators.find(connection, name) is not None:
        raise operators.taken(name)


def _tell_credential(credential: Credential, as_json: bool, words: str) -> None:
    result = {"ok": True, "operator": credential.name, "role": str(credential.role), "totp": credential.uri()}
    answer(result, as_json, f"{words}\n{credential.uri()}")
    say(_ONCE)
