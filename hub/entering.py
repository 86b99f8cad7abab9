"""An operator comes in and goes: what `seci-hub login` and `logout` do, and the console with the same sessions."""

import syslog

from sqlalchemy.ext.asyncio import AsyncConnection

from crypto.keyfile import Secret
from hub import PROGRAM, acts, login, sessions
from hub.acts import Actor
from hub.errors import LoginPaused
from hub.ledger import Ledger
from hub.login import Account, Proof
from hub.roles import Action, Role
from hub.settings import Settings
from hub.shell import limits_of, now_ms, with_database


def enter(
    settings: Settings, log: Ledger, secret: Secret, name: str, proof: Proof, door: str = sessions.COMMAND
) -> tuple[str, Role]:
    """A session's token, and the role of whose it is. Raises LoginRefused, LoginPaused, OperatorRefused."""
    account, step = judged(settings, log, secret, name, proof, door)

    async def work(connection: AsyncConnection) -> tuple[str, Role]:
        return await login.finish(connection, log, account, step, limits_of(settings), now_ms())

    return with_database(settings, work, log)


def judged(
    settings: Settings, log: Ledger, secret: Secret, name: str, proof: Proof, door: str = sessions.COMMAND
) -> tuple[Account, int]:
    """The account, and the TOTP step that was used, if the proof holds. Raises LoginRefused, LoginPaused.

    `secret` is what closes the operators' credentials: to open it takes longer than a stranger should be able to cause.
    """
    try:
        account, failures = with_database(settings, lambda c: login.attempt(c, name, secret, now_ms(), door))
    except LoginPaused:
        _tell_syslog("paused")
        raise
    step = proof.holds(account, now_ms())
    if step is not None:
        return account, step
    _tell_syslog(f"refused, {failures} in a row")
    if sessions.pause_ms(failures):
        with_database(settings, lambda connection: login.lock(connection, log, account, failures), log)
    raise login.refused()


def leave(settings: Settings, log: Ledger, secret: Secret, token: str | None) -> str | None:
    """Ends the session of that token; whose it was, if there was one."""

    async def work(connection: AsyncConnection) -> str | None:
        found = await sessions.of_token(connection, log, token, limits_of(settings), secret, now_ms())
        if found is None:
            return None
        await sessions.end(connection, found.session)
        await acts.record(connection, log, Actor(found.name, Action.LOGOUT, {}, found.role, found.session))
        return found.name

    return with_database(settings, work, log)


def _tell_syslog(what: str) -> None:
    # Not the name: people type passwords there.
    syslog.openlog(PROGRAM, syslog.LOG_PID, syslog.LOG_AUTH)
    syslog.syslog(syslog.LOG_WARNING, f"login {what}")
