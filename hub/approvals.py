"""Four eyes: what one operator asks for and another confirms, before it is done, once.

Whoever types a command that takes two asks for it by that (`ask`); a security officer, and never the same person,
confirms it by number (`confirm`); the same command typed again does it (`take`, in the transaction of what is done, so
that it is done exactly once however often it is interrupted). An approval is good for one action on one subject, until
it expires.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Select, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from hub import acts, ledger, tables
from hub.acts import Actor, digest_of
from hub.errors import ApprovalClosed, ApprovalUnknown, OperatorsTampered, OwnApproval
from hub.ledger import Ledger
from hub.roles import DANGEROUS, Action, of_two
from hub.watch import iso

_TABLE: Final = tables.approval.c


@dataclass(frozen=True, slots=True)
class Approval:
    """A row of the table; times in ms. `ended` is how it ended: `done`, `refused`, `void`, or None."""

    id: int
    action: Action
    subject: Mapping[str, Any]
    asked_by: str
    asked_at: int
    expires: int
    confirmed_by: str | None
    confirmed_at: int | None
    ended: str | None
    ended_by: str | None
    ended_at: int | None

    def state(self, now: int) -> str:
        """In a word: `waiting`, `confirmed`, `expired`, or how it ended."""
        if self.ended is not None:
            return self.ended
        if now >= self.expires:
            return "expired"
        return "waiting" if self.confirmed_by is None else "confirmed"

    def described(self, now: int) -> dict[str, Any]:
        """For people and programs; times in ISO 8601."""
        return {
            "approval": self.id,
            "state": self.state(now),
            "action": str(self.action),
            "subject": dict(self.subject),
            "asked_by": self.asked_by,
            "asked_at": iso(self.asked_at),
            "expires": iso(self.expires),
            "confirmed_by": self.confirmed_by,
            "confirmed_at": iso(self.confirmed_at),
            "ended_by": self.ended_by,
            "ended_at": iso(self.ended_at),
        }


async def chosen(connection: AsyncConnection, log: Ledger) -> frozenset[Action]:
    """What takes two: as the operators decided last, or what is dangerous. Raises OperatorsTampered."""
    found = await acts.newest(connection, log, Action.FOUR_EYES)
    told = await acts.told(connection, f": {Action.FOUR_EYES} ", rf"{Action.FOUR_EYES}(?: \(approval \d+\))? .*")
    if (told and told.evidence) != (found and ledger.evidence(acts.canonical(found))):
        raise OperatorsTampered(
            "the ledger's last decision on what takes two is another one than the table of acts has",
            "somebody wrote to the database behind the hub's back: keep it as it is, and run `seci-hub ledger verify`",
        )
    return DANGEROUS if found is None else of_two(map(Action, found["subject"]["actions"]))


async def listing(connection: AsyncConnection, now: int, limit: int, *, every: bool) -> list[Approval]:
    """Newest first: what waits or is confirmed and not done; with `every` also what has ended or expired."""
    query = _query().order_by(_TABLE.id.desc()).limit(limit)
    if not every:
        query = query.where(_TABLE.ended.is_(None), _TABLE.expires > now)
    return [_approval(row) for row in await connection.execute(query)]


async def get(connection: AsyncConnection, number: int) -> Approval:
    """Raises ApprovalUnknown."""
    row = (await connection.execute(_query().where(_TABLE.id == number))).first()
    if row is None:
        raise ApprovalUnknown(f"there is no approval {number}", "see `seci-hub approvals list --all`")
    return _approval(row)


async def standing(
    connection: AsyncConnection, action: Action, subject: Mapping[str, Any], now: int
) -> Approval | None:
    """What waits or is confirmed for just this, if anything."""
    query = _query().where(_TABLE.digest == digest_of(action, subject), _TABLE.ended.is_(None), _TABLE.expires > now)
    row = (await connection.execute(query.order_by(_TABLE.id.desc()).limit(1))).first()
    return None if row is None else _approval(row)


async def ask(connection: AsyncConnection, log: Ledger, actor: Actor, lasts_ms: int) -> Approval:
    """Asks for what the actor is about to do; one that stands already is given again."""
    turn = await ledger.take_turn(connection)
    found = await standing(connection, actor.action, actor.subject, turn.at)
    if found is not None:
        return found
    row = {
        "action": str(actor.action),
        "subject": acts.canonical(dict(actor.subject)).decode(),
        "digest": digest_of(actor.action, actor.subject),
        "asked_by": actor.name,
        "asked_at": turn.at,
        "expires": turn.at + lasts_ms,
    }
    number = int(await connection.scalar(insert(tables.approval).values(row).returning(_TABLE.id)) or 0)
    asked = await get(connection, number)
    await acts.record(connection, log, replace(actor, action=Action.ASK, subject=asking(asked)))
    return asked


async def confirm(connection: AsyncConnection, number: int, operator: str) -> Approval:
    """Somebody else's word, in a transaction that has its turn. Raises ApprovalUnknown, ApprovalClosed, OwnApproval."""
    found, now = await _open(connection, number)
    if found.asked_by == operator:
        raise OwnApproval(f"approval {number} was asked for by {operator}", "let another security officer confirm it")
    if found.confirmed_by is not None:
        raise _closed(found, f"was confirmed by {found.confirmed_by}")
    changes = {"confirmed_by": operator, "confirmed_at": now}
    await connection.execute(update(tables.approval).where(_TABLE.id == number).values(changes))
    return await get(connection, number)


async def refuse(connection: AsyncConnection, number: int, operator: str) -> Approval:
    """It is not to be done. Also by who asked, or confirmed. Raises ApprovalUnknown, ApprovalClosed."""
    await _end(connection, *await _open(connection, number), "refused", operator)
    return await get(connection, number)


async def take(connection: AsyncConnection, log: Ledger, number: int, actor: Actor) -> Approval:
    """Uses it up, in the transaction of what is done. Raises ApprovalUnknown, ApprovalClosed, OperatorsTampered."""
    found, now = await _open(connection, number)
    if found.confirmed_by is None or digest_of(actor.action, actor.subject) != digest_of(found.action, found.subject):
        raise _closed(found, "is for something else, or nobody has confirmed it")
    await _check_words(connection, log, found)
    await _end(connection, found, now, "done", actor.name)
    return found


async def _check_words(connection: AsyncConnection, log: Ledger, found: Approval) -> None:
    """Raises OperatorsTampered unless the ledger has it that one asked for just this and another confirmed it, that
    nobody refused it, and that it was not done yet.
    """
    about, confirmer = ("{subject,approval}", str(found.id)), found.confirmed_by or ""
    asked = await acts.newest(connection, log, Action.ASK, found.asked_by, about)
    if asked is None or asked["subject"] != asking(found):
        raise _tampered(found, f"{found.asked_by} asked for")
    confirmed = await acts.newest(connection, log, Action.CONFIRM, confirmer, about)
    if confirmed is None or confirmed["subject"] != confirming(found) or confirmer == found.asked_by:
        raise _tampered(found, f"{confirmer} confirmed")
    refused = f"{Action.REFUSE} approval={found.id} "
    if await acts.told(connection, refused, f"{re.escape(refused)}.*") is not None:
        raise _tampered(found, "nobody refused")
    used = f" (approval {found.id})"
    if await acts.told(connection, used, f"[^ ]+{re.escape(used)}.*") is not None:
        raise _tampered(found, "nobody has used up")


def _tampered(found: Approval, who: str) -> OperatorsTampered:
    return OperatorsTampered(
        f"the ledger does not have it that {who} approval {found.id}",
        "somebody wrote to the database behind the hub's back: keep it as it is; refuse the approval",
    )


def asking(found: Approval) -> dict[str, Any]:
    """The subject of the act that asks for it."""
    return {"approval": found.id, "for": str(found.action), **found.subject}


def confirming(found: Approval) -> dict[str, Any]:
    """The subject of the act that confirms or refuses it: what is confirmed is on record, not only its number."""
    return {"approval": found.id, "for": str(found.action), "asked_by": found.asked_by, **found.subject}


async def _open(connection: AsyncConnection, number: int) -> tuple[Approval, int]:
    now = (await ledger.take_turn(connection)).at
    found = await get(connection, number)
    state = found.state(now)
    if state not in ("waiting", "confirmed"):
        who = f" by {found.ended_by}" if found.ended_by else ""
        raise _closed(found, f"is {state}{who}")
    return found, now


async def _end(connection: AsyncConnection, found: Approval, now: int, ended: str, operator: str) -> None:
    changes = {"ended": ended, "ended_by": operator, "ended_at": now}
    await connection.execute(update(tables.approval).where(_TABLE.id == found.id).values(changes))


def _closed(found: Approval, why: str) -> ApprovalClosed:
    return ApprovalClosed(
        f"approval {found.id} ({found.action}) {why}", "see `seci-hub approvals list --all`; ask again by the command"
    )


def _query() -> Select[Any]:
    return select(*(column for column in _TABLE if column is not _TABLE.digest))


def _approval(row: Any) -> Approval:
    fields = dict(row._mapping)
    return Approval(**fields | {"action": Action(row.action), "subject": json.loads(row.subject)})
