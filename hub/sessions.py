"""Sessions of operators: begun by a login, short, and by SHA-256 of their token only in the database.

`attempt` counts a login before it is judged, so that neither a crash nor two at once give a guess away.
"""

import secrets
from dataclasses import dataclass
from typing import Final

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from crypto.keyfile import Secret
from hub import acts, tables
from hub.credentials import Credential, digest
from hub.errors import LoginPaused, OperatorsTampered, SessionRequired
from hub.ledger import Ledger
from hub.operators import find
from hub.roles import Action, Role

FREE_ATTEMPTS: Final = 5
# Before a name, where who fails by it is counted. Strangers may reach the console: they keep nobody from the command.
COMMAND: Final = ""
CONSOLE: Final = "console "
_FIRST_PAUSE_MS: Final = 30_000
_LONGEST_PAUSE_MS: Final = 3_600_000
_FORGOTTEN_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class Limits:
    """After how long without a command a session ends, and after how long at all. Milliseconds."""

    idle: int
    longest: int


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose session it is."""

    name: str
    role: Role
    session: bytes
    begun: int
    ends: int


def pause_ms(failures: int) -> int:
    """How long nobody is let in after so many failures in a row: none after a few, then twice as long each time."""
    beyond = failures - FREE_ATTEMPTS
    return 0 if beyond < 0 else min(_FIRST_PAUSE_MS << min(beyond, 12), _LONGEST_PAUSE_MS)


def lasts(last_used: int, ends: int, idle: int, now: int) -> bool:
    """Whether a session is still one. All in ms. One that was used in the future was begun when the clock was wrong."""
    return now < ends and last_used - idle < now < last_used + idle


async def attempt(connection: AsyncConnection, name: str, now: int, door: str = COMMAND) -> int:
    """Counts a login before it is judged; how many failed in a row at that door, this one among them.

    Raises LoginPaused, and counts nothing, while there is a pause. Of names that nobody has, too.
    """
    table, key = tables.login_failure, digest(door + name)
    # Nor does a clock that was ahead keep anybody out until its time has come.
    old_or_ahead = (table.c.last < now - _FORGOTTEN_MS) | (table.c.last > now + _LONGEST_PAUSE_MS)
    await connection.execute(delete(table).where(old_or_ahead))
    begin = postgresql.insert(table).values(digest=key, failures=0, last=now)
    await connection.execute(begin.on_conflict_do_nothing())
    row = (await connection.execute(select(table).where(table.c.digest == key).with_for_update())).one()
    until = row.last + pause_ms(row.failures)
    if now < until:
        raise LoginPaused(
            f"{row.failures} logins failed in a row: the next is looked at in {-((now - until) // 1000)} s",
            "wait; if it was not you, tell a security officer",
        )
    failures = int(row.failures) + 1
    await connection.execute(update(table).where(table.c.digest == key).values(failures=failures, last=now))
    return failures


async def failures(connection: AsyncConnection, name: str) -> int:
    """How many logins by this name have failed in a row, lately, at all doors."""
    table = tables.login_failure.c
    return int(await connection.scalar(select(func.sum(table.failures)).where(table.digest.in_(_counted(name)))) or 0)


async def begin(connection: AsyncConnection, name: str, limits: Limits, now: int) -> str:
    """A session's token, which is shown to nobody else and not kept; what failed before is forgotten."""
    token, table = secrets.token_urlsafe(32), tables.operator_session
    await forgive(connection, name)
    await connection.execute(delete(table).where((table.c.ends < now) | (table.c.last_used < now - limits.idle)))
    row = {
        "digest": digest(token),
        "operator": name,
        "begun": now,
        "last_used": now,
        "ends": now + limits.longest,
    }
    await connection.execute(insert(table), [row])
    return token


async def forgive(connection: AsyncConnection, name: str) -> None:
    """What failed before is forgotten, at all doors."""
    table = tables.login_failure
    await connection.execute(delete(table).where(table.c.digest.in_(_counted(name))))


def _counted(name: str) -> list[bytes]:
    return [digest(door + name) for door in (COMMAND, CONSOLE)]


async def holder(
    connection: AsyncConnection,
    log: Ledger,
    token: str | None,
    limits: Limits,
    secret: Secret,
    now: int,
    *,
    used: bool = True,
) -> Holder:
    """Whose token it is; the session is used by that, unless nobody is there who does. Raises SessionRequired,
    OperatorsTampered.
    """
    if token is None:
        raise _required("nobody is logged in")
    table, key = tables.operator_session, digest(token)
    row = (await connection.execute(select(table).where(table.c.digest == key))).first()
    if row is None or not lasts(row.last_used, row.ends, limits.idle, now):
        raise _required("the session is over")
    account = await find(connection, row.operator)
    if account is None or account.disabled_at is not None:
        raise _required("the session is over")
    if await acts.newest(connection, log, Action.LOGIN, account.name, ("{session}", key.hex())) is None:
        raise OperatorsTampered(
            f"the ledger does not have it that {account.name} logged in with this session",
            "somebody wrote to the database behind the hub's back: keep it as it is",
        )
    role = Credential.open(account.sealed, secret, account.name, account.role).role
    last_used = now if used else row.last_used
    if used:
        await connection.execute(update(table).where(table.c.digest == key).values(last_used=now))
    return Holder(account.name, role, key, row.begun, min(row.ends, last_used + limits.idle))


async def of_token(
    connection: AsyncConnection, log: Ledger, token: str | None, limits: Limits, secret: Secret, now: int
) -> Holder | None:
    """As `holder`, and None if nobody is logged in. Raises OperatorsTampered."""
    try:
        return await holder(connection, log, token, limits, secret, now)
    except SessionRequired:
        return None


async def check(connection: AsyncConnection, session: bytes, role: Role, now: int) -> None:
    """Whether it still is one, of somebody in that role, in a later transaction. Raises SessionRequired."""
    table, account = tables.operator_session.c, tables.operator.c
    query = (
        select(account.role)
        .join_from(tables.operator_session, tables.operator, account.name == table.operator)
        .where(table.digest == session, table.ends > now, account.disabled_at.is_(None))
    )
    if await connection.scalar(query) != role:
        raise _required("the session is over")


async def end(connection: AsyncConnection, session: bytes) -> None:
    """Logs out."""
    await connection.execute(delete(tables.operator_session).where(tables.operator_session.c.digest == session))


def _required(why: str) -> SessionRequired:
    return SessionRequired(
        f"{why}: this needs an operator's session", "run `seci-hub login NAME`, then repeat the command"
    )
