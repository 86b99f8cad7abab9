"""What an integrator asks to be sent, and the routing that the roster gives it: pure decisions, each with a code."""

import hashlib
import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from crypto.trust import Trust, is_good
from nodes.errors import RoutingRefused
from nodes.times import iso
from schemas import rosterwords
from schemas.amended import WITHDRAWAL, carries
from schemas.codes import MEANINGS, TASK_FORCES, Agency, Handling, Priority
from schemas.header import MAX_LIFETIME_MS, Routing, new_id
from schemas.kinds.kind import FREE
from schemas.refusals import NEXT_STEP, RefusalCode
from schemas.registry import RULES, lacks_care
from schemas.roster import KeyUse, NodeState

LIFETIME_MS: Final = 7 * 24 * 3600 * 1000


class Outgoing(BaseModel):
    """A message as an integrator posts it. Times are ISO 8601 with a zone; without `to` it goes to all members."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str = Field(max_length=40, examples=["alert"])
    kind_version: int = 1
    task_force: str | None = Field(None, max_length=40, examples=["trafficking"])
    to: tuple[str, ...] | None = Field(None, min_length=1, max_length=64)
    agency: Agency | None = None
    priority: Priority = Priority.NORMAL
    handling: Handling = Handling.H1
    operation: str | None = Field(None, min_length=1, max_length=60)
    new_operation: bool = Field(False, description="Send it although no plan that is here names its operation.")
    in_reply_to: UUID | None = None
    reply_by: datetime | None = None
    expires: datetime | None = None
    id: UUID | None = None
    body: dict[str, Any]

    def digest(self) -> bytes:
        """SHA-256 of all that the message is made of, to tell a repeated request from a reused id."""
        # What it is made of is not changed by this; and what older versions stored was without it.
        return hashlib.sha256(self.model_dump_json(exclude={"new_operation"}).encode()).digest()


@dataclass(frozen=True, slots=True)
class Answered:
    """The message that a reply answers: whose it is and where it stands."""

    sender: str
    thread: UUID
    task_force: str
    expires: int


@dataclass(frozen=True, slots=True)
class Earlier:
    """The message of one's own that a correction or withdrawal is about: where it stands, and who has it."""

    thread: UUID
    task_force: str
    recipients: tuple[str, ...]
    handling: Handling


def route(
    message: Outgoing, node: str, trust: Trust, answered: Answered | None, now: int, earlier: Earlier | None = None
) -> Routing:
    """The routing of a message, decided from the roster. Raises RoutingRefused with the hub's own codes."""
    # It is judged by the roster of its time: this one or a newer, however far behind the clock is.
    now = max(now, trust.roster.at)
    if node not in trust.nodes:
        raise _refused(RefusalCode.SENDER_UNKNOWN, f"{node} is not in the roster")
    if not trust.nodes[node].active:
        raise _refused(RefusalCode.SENDER_SUSPENDED, f"{node} is {rosterwords.state(trust.nodes[node])}")
    if earlier is not None:
        message = _as_earlier(message, node, trust, earlier)
    task_force = message.task_force or (answered.task_force if answered else None)
    known = ", ".join(TASK_FORCES)
    if task_force is None:
        raise RoutingRefused("task_force_missing", "no task force is named", f"name one of {known}")
    if task_force not in TASK_FORCES:
        raise _refused(RefusalCode.TASK_FORCE_UNKNOWN, f"task force {task_force!r} is not one of {known}")
    mine = trust.nodes[node]
    if not trust.access.takes_part(node, task_force):
        raise _refused(RefusalCode.NOT_A_MEMBER, trust.access.outside(node, task_force))
    agency = message.agency or (mine.agencies[0] if mine.agencies else Agency.POLICE)
    if agency not in mine.agencies:
        has = ", ".join(mine.agencies) or "none"
        detail, step = f"the roster names no agency {agency} for {node}", f"name one that {node} has: {has}"
        raise RoutingRefused(RefusalCode.AGENCY_NOT_OF_SENDER, detail, step)
    check_rule(message)
    _check_answer(message, task_force, answered)
    expires = _expiry(message, now)
    recipients = _recipients(message, node, agency, task_force, trust, answered)
    _check_named(message, recipients, set(trust.members(task_force)) - {node})
    _check_reachable(recipients, trust, now)
    id = message.id or new_id(now)
    routing = Routing(
        id=id,
        # Behind the message that it is about, also where that answered another.
        thread=earlier.thread if earlier else answered.thread if answered else id,
        in_reply_to=message.in_reply_to,
        sender=node,
        agency=agency,
        task_force=task_force,
        recipients=recipients,
        kind=message.kind,
        kind_version=message.kind_version,
        operation=message.operation,
        priority=message.priority,
        handling=message.handling,
        created=now,
        expires=expires,
        reply_by=None if message.reply_by is None else _millis(message.reply_by),
        roster=trust.reference,
    )
    # The hub asks the same of the same rules; here the message is not made, and who typed it is told at once.
    denied = trust.access.denial(routing, carried=carries(message.body))
    if denied is not None:
        raise _refused(denied.code, denied.detail)
    return routing


def _as_earlier(message: Outgoing, node: str, trust: Trust, earlier: Earlier) -> Outgoing:
    """A correction or withdrawal, with what it does not say taken from the message that it is about."""
    if message.task_force not in (None, earlier.task_force):
        detail = f"the message that it is about is one of {earlier.task_force}, not of {message.task_force}"
        raise RoutingRefused("task_force_mismatch", detail, "leave task_force out")
    wider = sorted(set(message.to or ()) - set(earlier.recipients))
    if wider:
        detail = f"{_list(wider)} did not get the message that it is about"
        step = "leave them out, or `to` altogether; send them a message of its own"
        raise RoutingRefused("recipients_wider", detail, step)
    handling = message.handling if "handling" in message.model_fields_set else earlier.handling
    agency = message.agency or next(iter(trust.nodes[node].agencies), Agency.POLICE)
    # Who has left since cannot be told any more, nor who may have the message and not this about it.
    asked = node, agency, earlier.task_force, message.kind, handling, carries(message.body)
    reached = trust.access.reached(*asked)
    there = tuple(name for name in earlier.recipients if name in reached)
    to = message.to or there or earlier.recipients
    return message.model_copy(update={"task_force": earlier.task_force, "to": to, "handling": handling})


def check_rule(message: Outgoing) -> None:
    """Raises RoutingRefused if the kind is not to be sent with this handling, or to a whole task force."""
    for kind in _said(message):
        if lacks_care(kind, message.handling):
            detail, allowed = f"{kind} may not have handling {message.handling}", " or ".join(RULES[kind].handling)
            raise RoutingRefused("handling_not_of_kind", detail, f"set handling to {allowed}")
        if message.to is None and RULES.get(kind, FREE).named:
            detail = f"{kind} goes to named recipients only"
            raise RoutingRefused("recipients_not_named", detail, "name each recipient with `to`")
    _check_restrictions(message)


def _check_restrictions(message: Outgoing) -> None:
    # Who hands on what has restrictions hands them on with it.
    content = message.body.get("content")
    carried = content.get("body") if isinstance(content, dict) else None
    bodies = message.body, carried if isinstance(carried, dict) else {}
    # A withdrawal says nothing that there could be restrictions on.
    if (
        message.handling is Handling.H3
        and message.kind != WITHDRAWAL
        and not any(body.get("restrictions") for body in bodies)
    ):
        detail = f"handling H3 means {MEANINGS[Handling.H3]}, and none are"
        raise RoutingRefused("restrictions_missing", detail, "state them in `restrictions` of the body")


def _check_named(message: Outgoing, recipients: Sequence[str], others: Collection[str]) -> None:
    for kind in _said(message):
        if lacks_care(kind, message.handling, recipients, others):
            detail = f"{kind} goes to named recipients, and these are all other members of the task force"
            raise RoutingRefused("recipients_not_named", detail, "name those only who have a part in it")


def _said(message: Outgoing) -> tuple[str, str]:
    # A slip of the hand could cost a witness's life, also if it is handed on or corrected inside another message.
    return message.kind, carries(message.body)


def _check_answer(message: Outgoing, task_force: str, answered: Answered | None) -> None:
    # Else a slip of the hand would tell a whole task force what one member asked.
    if message.kind == "reply" and answered is None:
        raise RoutingRefused("reply_without_question", "a reply answers a message", "name it with in_reply_to")
    if answered is None:
        return
    if task_force != answered.task_force:
        detail = f"the thread is one of {answered.task_force}, not of {task_force}"
        raise RoutingRefused("task_force_mismatch", detail, "leave task_force out, or begin a thread of its own")
    if message.kind == "reply" and message.to is not None and answered.sender not in message.to:
        detail = f"a reply goes to who asked, {answered.sender}, at least"
        raise RoutingRefused("reply_not_to_asker", detail, "leave `to` out, or name them too")


def _expiry(message: Outgoing, now: int) -> int:
    expires = now + LIFETIME_MS if message.expires is None else _millis(message.expires)
    if expires - now > MAX_LIFETIME_MS:
        detail = f"expires is more than {MAX_LIFETIME_MS // 86_400_000} days from now"
        raise RoutingRefused(
            RefusalCode.EXPIRES_TOO_LATE, detail, f"give a time of at most {iso(now + MAX_LIFETIME_MS)}"
        )
    return expires


def _recipients(
    message: Outgoing, node: str, agency: Agency, task_force: str, trust: Trust, answered: Answered | None
) -> tuple[str, ...]:
    access = trust.access
    if message.to is not None:
        for recipient in message.to:
            if recipient not in trust.nodes:
                detail = f"{recipient[:40]!r} is no node of the roster"
                raise RoutingRefused(RefusalCode.RECIPIENT_UNKNOWN, detail, right_form(recipient, trust))
            _check_active(recipient, trust)
            if recipient == node:
                detail, step = f"{node} is the sender itself", f"leave {node} out"
                raise RoutingRefused(RefusalCode.RECIPIENT_NOT_A_MEMBER, detail, step)
            if not access.takes_part(recipient, task_force):
                members = _list([member for member in trust.members(task_force) if member != node])
                detail, step = access.outside(recipient, task_force), f"leave it out; members are {members}"
                raise RoutingRefused(RefusalCode.RECIPIENT_NOT_A_MEMBER, detail, step)
        return tuple(sorted(set(message.to)))
    if answered is not None:
        return (answered.sender,)
    # Those who take part and may not have this are not named by anybody: they get nothing, and stop nothing.
    reached = access.reached(node, agency, task_force, message.kind, message.handling, carries(message.body))
    others = tuple(member for member in trust.members(task_force) if member != node)
    if not reached and not others:
        detail, step = f"{task_force} has no other members", "the hub's operators say who is to join it"
        raise RoutingRefused(RefusalCode.RECIPIENT_UNKNOWN, detail, step)
    # If nobody may have it, the rules say why.
    return reached or others


def _check_reachable(recipients: Sequence[str], trust: Trust, now: int) -> None:
    """Raises RoutingRefused unless each of them takes part and has a key that is good now."""
    for name in recipients:
        _check_active(name, trust)
        listed = trust.nodes[name].keys if name in trust.nodes else ()
        keys = [key for key in listed if key.use is KeyUse.SEAL]
        if any(is_good(key, now) for key in keys):
            continue
        left = [key.not_after for key in keys if key.revoked is None]
        step = f"leave {name} out and reach it by another way; its administrators renew the key with the hub's"
        if left and max(left) <= now:
            detail = f"the key to close messages to {name} expired at {iso(max(left))}"
            raise RoutingRefused("recipient_key_expired", detail, step)
        detail = f"the roster (version {trust.roster.version}) has no key to close messages to {name} that is good now"
        raise RoutingRefused("recipient_key_missing", detail, step)


def _check_active(name: str, trust: Trust) -> None:
    if name in trust.nodes and (standing := trust.nodes[name].standing) is not None:
        suspended = standing.state is NodeState.SUSPENDED
        code = RefusalCode.RECIPIENT_SUSPENDED if suspended else RefusalCode.RECIPIENT_REVOKED
        raise _refused(code, f"{name} is {standing.state} since {iso(standing.since)}")


def left_out(message: Outgoing, node: str, trust: Trust) -> list[dict[str, str]]:
    """Who would get a message to all members, and does not: members that take no part now, each with its state."""
    if message.to is not None or message.in_reply_to is not None:
        return []
    absent = [found for name, found in sorted(trust.nodes.items()) if not found.active and name != node]
    return [
        {"node": found.node, "state": rosterwords.state(found)}
        for found in absent
        if message.task_force in found.task_forces
    ]


def right_form(recipient: str, trust: Trust) -> str:
    """How to write what was meant by a recipient that is none, as near as can be told."""
    parts = [part for part in re.split(r"[^\w-]+", recipient.lower()) if part]
    if len(parts) > 1 and set(parts) <= set(trust.nodes):
        alone, options = json.dumps(parts), " ".join(f"--to {part}" for part in parts)
        return f'name each recipient by itself: "to": {alone}, or {options}'
    by_name = {node.name.lower(): name for name, node in trust.nodes.items()}
    named = by_name.get(recipient.strip().lower())
    if named is not None or recipient.strip().lower() in trust.nodes:
        return f"write {named or recipient.strip().lower()}"
    near = get_close_matches(recipient.lower(), trust.nodes, 1)
    return f"{f'did you mean {near[0]}? ' if near else ''}nodes are {_list(sorted(trust.nodes))}"


def _list(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def _refused(code: RefusalCode, message: str) -> RoutingRefused:
    return RoutingRefused(str(code), message, NEXT_STEP[code])


def _millis(moment: datetime) -> int:
    if moment.tzinfo is None:
        raise RoutingRefused("time_without_zone", "times need a zone", "write them as 2026-11-24T14:00:00Z")
    return int(moment.timestamp() * 1000)
