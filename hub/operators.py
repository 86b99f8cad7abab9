"""The operators' accounts, in the caller's transaction. What may be done to them, `hub.permits` has decided before."""

from typing import Any

from sqlalchemy import exists, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from crypto.keyfile import Secret
from hub import acts, tables
from hub.credentials import Credential
from hub.errors import OperatorRefused, OperatorUnknown
from hub.roles import TWO, Role
from hub.watch import iso

_TABLE = tables.operator.c


async def begun(connection: AsyncConnection) -> bool:
    """Whether there are operators, or were: then nobody acts without a name any more."""
    return bool(await connection.scalar(select(exists().select_from(tables.operator)))) or await acts.anybody_began(
        connection
    )


async def officers(connection: AsyncConnection) -> int:
    """How many security officers may log in."""
    query = select(func.count()).where(_TABLE.role == str(Role.OFFICER), _TABLE.disabled_at.is_(None))
    return int(await connection.scalar(query) or 0)


async def standing(connection: AsyncConnection) -> dict[str, int]:
    """How many may log in, how many of these are security officers, and how many logins failed lately in a row."""
    enabled = select(func.count()).where(_TABLE.disabled_at.is_(None))
    failed = select(func.coalesce(func.sum(tables.login_failure.c.failures), 0))
    return {
        "enabled": int(await connection.scalar(enabled) or 0),
        "officers": await officers(connection),
        "failed_logins": int(await connection.scalar(failed) or 0),
    }


async def find(connection: AsyncConnection, name: str) -> Any:
    """The row, or None."""
    return (await connection.execute(select(tables.operator).where(_TABLE.name == name))).first()


async def get(connection: AsyncConnection, name: str) -> Any:
    """The row. Raises OperatorUnknown."""
    row = await find(connection, name)
    if row is None:
        raise OperatorUnknown(f"there is no operator {name!a}", "see `seci-hub operator list`")
    return row


async def listing(connection: AsyncConnection) -> list[dict[str, Any]]:
    """All of them, also those that were disabled, by name."""
    return [described(row) for row in await connection.execute(select(tables.operator).order_by(_TABLE.name))]


def described(row: Any) -> dict[str, Any]:
    """An account without its credential."""
    return {
        "name": row.name,
        "role": row.role,
        "created": iso(row.created),
        "disabled": iso(row.disabled_at),
        "certificate": row.certificate and row.certificate.hex(),
    }


async def add(connection: AsyncConnection, credential: Credential, secret: Secret, now: int) -> None:
    """A new account. Raises OperatorRefused if there is, or was, one of the name: names are in the ledger for ever."""
    if await find(connection, credential.name) is not None:
        raise taken(credential.name)
    row = {
        "name": credential.name,
        "role": str(credential.role),
        "sealed": credential.seal(secret),
        "totp_step": 0,
        "created": now,
    }
    await connection.execute(insert(tables.operator), [row])


def taken(name: str) -> OperatorRefused:
    """There is no second account of a name, ever."""
    return OperatorRefused(
        f"there is an operator {name}, or was",
        "choose another name: the ledger has what this one did; `seci-hub operator enable` for the same person",
    )


async def replace(
    connection: AsyncConnection, credential: Credential, secret: Secret, *, totp: bool, by_another: bool = False
) -> None:
    """Another role, password or TOTP secret (`totp`); who is logged in must log in again.

    What `by_another` is reset may be lost with all that the operator logs in with: a certificate is good no more.
    """
    changes: dict[str, Any] = {"role": str(credential.role), "sealed": credential.seal(secret)}
    if totp:
        changes["totp_step"] = 0
    if by_another:
        changes["certificate"] = None
    await connection.execute(update(tables.operator).where(_TABLE.name == credential.name).values(changes))
    await end_sessions(connection, credential.name)


async def check_may_go(connection: AsyncConnection, row: Any) -> None:
    """Raises OperatorRefused if it is one of the last two security officers: nobody could confirm any more."""
    if row.role == Role.OFFICER and row.disabled_at is None and await officers(connection) <= TWO:
        raise OperatorRefused(
            f"{row.name} is one of the last two security officers",
            "add another first: one asks and one confirms",
        )


async def disable(connection: AsyncConnection, name: str, now: int) -> None:
    """Nobody logs in by this name any more, at once; what it asked for or confirmed and is not done is void."""
    row = await get(connection, name)
    await check_may_go(connection, row)
    await connection.execute(update(tables.operator).where(_TABLE.name == name).values(disabled_at=now))
    await end_sessions(connection, name)
    await void(connection, name, now)


async def void(connection: AsyncConnection, name: str, now: int) -> None:
    """What this one asked for or confirmed, and is not done, is not to be done."""
    waits = tables.approval.c
    theirs = waits.ended.is_(None) & ((waits.asked_by == name) | (waits.confirmed_by == name))
    await connection.execute(update(tables.approval).where(theirs).values(ended="void", ended_by=name, ended_at=now))


async def enable(connection: AsyncConnection, name: str) -> None:
    """Undoes `disable`."""
    await get(connection, name)
    await connection.execute(update(tables.operator).where(_TABLE.name == name).values(disabled_at=None))


async def set_certificate(connection: AsyncConnection, name: str, fingerprint: bytes) -> None:
    """From now on this one logs in with that certificate, too, and with no other."""
    await get(connection, name)
    await connection.execute(update(tables.operator).where(_TABLE.name == name).values(certificate=fingerprint))


async def use_step(connection: AsyncConnection, name: str, step: int) -> bool:
    """No code of this step or an earlier one is good any more; False if that was so already."""
    changed = update(tables.operator).where(_TABLE.name == name, _TABLE.totp_step < step).values(totp_step=step)
    return bool((await connection.execute(changed)).rowcount)


async def end_sessions(connection: AsyncConnection, name: str) -> None:
    """Logs the operator out everywhere."""
    table = tables.operator_session
    await connection.execute(table.delete().where(table.c.operator == name))
