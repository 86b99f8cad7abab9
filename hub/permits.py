"""Whether somebody may: session, role, and for what takes two, the other's confirmation.

`permit` is asked before a command does anything, `begin` in the transaction in which it does it.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from crypto.keyfile import Secret
from hub import acts, approvals, ledger, operators, sessions
from hub.acts import Actor
from hub.errors import ApprovalWaiting, RoleMissing, SessionRequired
from hub.ledger import Ledger
from hub.roles import RULES, TWO, Action, Leaf, Role, allows, takes_two
from hub.sessions import Limits


async def permit(
    connection: AsyncConnection,
    log: Ledger,
    action: Action,
    subject: Mapping[str, Any],
    token: str | None,
    limits: Limits,
    secret: Secret,
    now: int,
) -> Actor:
    """Who acts, in which role. While there are no operators, whoever is there.

    Raises SessionRequired, RoleMissing, OperatorsTampered.
    """
    if not await operators.begun(connection):
        return acts.setup_actor(action, subject)
    found = await sessions.holder(connection, log, token, limits, secret, now)
    if not allows(found.role, action):
        who = " or ".join(sorted(RULES[action].roles)) or "the database's owner"
        raise RoleMissing(
            f"{found.name} is {found.role}: that role does not allow `{action}`", f"let one do it who is {who}"
        )
    return Actor(found.name, action, subject, found.role, found.session)


async def approved(connection: AsyncConnection, log: Ledger, actor: Actor, lasts_ms: int, now: int) -> Actor | int:
    """The actor, with what somebody else confirmed if it takes two; else the number of what waits for that.

    In a transaction that may append: it asks where nobody has yet, and that must be committed.
    """
    if not await needs_second(connection, log, actor):
        return actor
    found = await approvals.standing(connection, actor.action, actor.subject, now)
    if found is None:
        found = await approvals.ask(connection, log, actor, lasts_ms)
    return found.id if found.confirmed_by is None else replace(actor, approval=found.id)


async def needs_second(connection: AsyncConnection, log: Ledger, actor: Actor) -> bool:
    """Whether somebody else must confirm it."""
    if actor.session is None:
        return False
    chosen, officers = await approvals.chosen(connection, log), await operators.officers(connection)
    adds = actor.action is Action.OPERATOR_ADD and actor.subject.get("role") == Role.OFFICER
    if adds and officers < TWO:
        # As many as there are now the table says; whether there were two, the ledger: the first made the account alone.
        last = await acts.newest(connection, log, Action.OPERATOR_ADD, about=("{subject,role}", Role.OFFICER))
        adds = last is not None and "session" not in last
    return takes_two(actor.action, chosen, officers, adds_officer=adds)


async def begin(connection: AsyncConnection, log: Ledger, actor: Actor, now: int) -> None:
    """In the transaction of what is done, and before it: all of it still holds; it is put on record.

    Raises SessionRequired, ApprovalClosed, ApprovalWaiting.
    """
    await ledger.take_turn(connection)
    if actor.session is not None and actor.role is not None:
        await sessions.check(connection, actor.session, actor.role, now)
    elif await operators.begun(connection):
        raise SessionRequired("there are operators by now", "run `seci-hub login NAME`, then repeat the command")
    if actor.approval is not None:
        await approvals.take(connection, log, actor.approval, actor)
    elif await needs_second(connection, log, actor):
        raise ApprovalWaiting(0, f"by now {actor.action} takes two", "repeat the command: it asks for the second")
    if RULES[actor.action].leaf is Leaf.ENTRY or actor.approval is not None:
        # That an approval was used up is on record, too, whatever entry of its own the act has.
        await acts.record(connection, log, actor)
