"""Enrolment as a state machine in the database: who is invited, has asked, was approved and confirmed.

Each function is one transition in the caller's transaction, with the row locked, so that two operators or processes
do nothing twice. What follows a confirmation is in `hub.admission`.
"""

import asyncio
import base64
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from pydantic import ValidationError
from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from crypto import certificates, joining
from crypto.errors import CryptoError
from crypto.keys import SigningKey, VerifyKey
from crypto.words import same_words
from hub import operators, registrar, tables
from hub.errors import (
    EnrolmentOpen,
    EnrolmentRefused,
    EnrolmentUnknown,
    InvitationOutdated,
    KeyUnproven,
    OperatorRefused,
    RequestUnreadable,
    SameOperator,
    TokenExpired,
    TokenOfAnother,
    TokenRefused,
    TokenUsed,
    WordsDiffer,
)
from hub.registrar import Unsigned
from schemas.codes import Agency
from schemas.joining import DECIDED, JoinRequest, JoinToken, Stage
from schemas.roster import NodeState

_TABLE: Final = tables.enrolment
# Against this key a request under an invitation that there is not is checked: it takes as long as under one there is.
_NOBODY: Final = SigningKey.generate().public
_INVITE_AGAIN: Final = "ask the hub's operators for a new invitation"
# Operators have to do something about it.
UNDECIDED: Final = (Stage.REQUESTED, Stage.APPROVED)
# Until it is in the roster it can be undone.
_REJECTABLE: Final = (Stage.REQUESTED, Stage.APPROVED, Stage.CONFIRMED, Stage.PROVISIONED)


@dataclass(frozen=True, slots=True)
class Terms:
    """What an operator invites a node to. Of None the registrar's default holds, or what the roster says already."""

    agencies: tuple[Agency, ...] | None
    task_forces: tuple[str, ...] | None
    replace_keys: bool
    expires: int

    def said(self) -> dict[str, Any]:
        """As it is put on record."""
        return {
            "agencies": self.agencies and list(map(str, self.agencies)),
            "task_forces": self.task_forces and list(self.task_forces),
            "replace_keys": self.replace_keys or None,
        }


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A row: see `hub.tables`. Times are ms UTC; `since` is when it came to its stage."""

    invitation: bytes
    node: str
    stage: Stage
    token_key: bytes
    terms: Terms
    invited_by: str
    request: JoinRequest | None
    words: str | None
    challenge: bytes | None
    by_file: bool | None
    proven: bool | None
    approved_by: str | None
    confirmed_by: str | None
    certificate: str | None
    roster_version: int | None
    reason: str | None
    since: int

    @classmethod
    def of(cls, row: Any) -> Self:
        """What stands in the database."""
        fields = dict(row._mapping)
        agencies, task_forces = fields.pop("agencies"), fields.pop("task_forces")
        terms = Terms(
            None if agencies is None else tuple(map(Agency, agencies)),
            None if task_forces is None else tuple(task_forces),
            fields.pop("replace_keys"),
            fields.pop("expires"),
        )
        stored = fields.pop("request")
        request = None if stored is None else JoinRequest.model_validate_json(stored)
        return cls(**fields | {"stage": Stage(fields["stage"]), "terms": terms, "request": request})

    @property
    def asked(self) -> JoinRequest:
        """The request, which there is from stage `requested` on."""
        if self.request is None:
            raise EnrolmentUnknown(f"{self.node} has not asked to join yet", "wait until it has")
        return self.request

    def about(self) -> dict[str, Any]:
        """What operators decide on: whose keys come in, and on which terms. It is the subject of their acts."""
        named = {"invitation": self.invitation.hex(), "fingerprint": self.asked.request.fingerprint()}
        return {"node": self.node, **named, **self.terms.said()}


def now_ms() -> int:
    """The time, ms UTC."""
    return time.time_ns() // 1_000_000


async def invite(
    connection: AsyncConnection, node: str, pin: bytes, terms: Terms, roster: Unsigned, by: str
) -> JoinToken:
    """A new invitation, in place of one that expired unused. Raises EnrolmentRefused, EnrolmentOpen."""
    known = node in {item.node for item in roster.nodes}
    if known and not terms.replace_keys:
        raise EnrolmentRefused(
            f"{node} is in the roster already", "if it has lost its keys, invite it with --replace-keys"
        )
    if terms.replace_keys and not known:
        raise EnrolmentRefused(f"{node} is not in the roster", "invite it without --replace-keys")
    _check_back(roster, node, terms)
    found = await _open(connection, node)
    if found is not None and found.stage is Stage.INVITED and found.terms.expires <= now_ms():
        await _move(connection, found, Stage.WITHDRAWN, reason="it expired")
    token = joining.new_token(node, pin)
    row = {
        "invitation": token.id,
        "node": node,
        "stage": Stage.INVITED,
        "token_key": joining.token_key(token).public.public_bytes(),
        "agencies": terms.agencies,
        "task_forces": terms.task_forces,
        "replace_keys": terms.replace_keys,
        "expires": terms.expires,
        "invited_by": by,
        "since": now_ms(),
    }
    try:
        await connection.execute(insert(_TABLE).values(row))
    except IntegrityError as error:
        step = f"withdraw it (`seci-hub invite {node} --withdraw`) or decide on it (`seci-hub requests`)"
        raise EnrolmentOpen(f"{node} has an invitation or request that is not decided", step) from error
    return token


async def withdraw(connection: AsyncConnection, node: str, by: str) -> None:
    """Ends an invitation that was not used. Raises EnrolmentUnknown."""
    found = await _at(connection, node, Stage.INVITED)
    await _move(connection, found, Stage.WITHDRAWN, reason=f"withdrawn by {by}")


async def listing(connection: AsyncConnection, stages: Sequence[Stage]) -> list[Enrolment]:
    """Those at these stages, the oldest first."""
    query = select(_TABLE).where(_TABLE.c.stage.in_(stages)).order_by(_TABLE.c.since)
    return [Enrolment.of(row) for row in await connection.execute(query)]


async def ask(
    connection: AsyncConnection, join: JoinRequest, pin: bytes, roster: Unsigned, *, by_file: bool
) -> Enrolment:
    """Takes a request in. The same one again changes nothing, but that it may bring the opened challenge.

    Raises TokenRefused, TokenOfAnother, TokenExpired, TokenUsed, InvitationOutdated, EnrolmentRefused.
    """
    found = await _of_token(connection, join)
    if found.request is None:
        if found.stage is Stage.WITHDRAWN or found.terms.expires <= now_ms():
            raise TokenExpired("the invitation has expired or was withdrawn", _INVITE_AGAIN)
        if bytes.fromhex(join.pin) != pin:
            raise InvitationOutdated("the hub has other keys than the invitation says", _INVITE_AGAIN)
        check_request(join, roster, found.terms)
        found = await _move(
            connection,
            found,
            Stage.REQUESTED,
            request=join.model_copy(update={"opened": None}).model_dump_json(),
            words=" ".join(await asyncio.to_thread(joining.join_words, join)),
            challenge=secrets.token_bytes(joining.CHALLENGE_SIZE),
            by_file=by_file,
            proven=False,
        )
    elif join.model_copy(update={"opened": None}) != found.request:
        raise TokenUsed("somebody has joined with this token, and with other keys", _INVITE_AGAIN)
    if join.opened is None or found.proven:
        return found
    if not joining.is_opened(join, found.challenge or b""):
        raise EnrolmentRefused("the node has not opened the hub's challenge", "let it run `seci-node join` again")
    return await _change(connection, found, proven=True)


def check_request(join: JoinRequest, roster: Unsigned, terms: Terms) -> None:
    """Raises EnrolmentRefused for keys that are unproven, unfit, or somebody's already, and for a CSR that is none."""
    request = join.request
    others = roster.nodes
    if terms.replace_keys:
        _check_back(roster, request.node, terms)
        # Its new keys must not be among its old ones either: those are lost.
        others = tuple(node for node in roster.nodes if node.node != request.node)
    registrar.check_request(request, Unsigned(roster.version, others))
    listed = {key.public for node in roster.nodes for key in node.keys}
    given = [request.signing_key, request.encryption_key, *filter(None, [request.witness_key])]
    if listed & {base64.b64decode(key) for key in given}:
        raise EnrolmentRefused(
            f"a key of {request.node} stands in the roster already", "join from a new folder, with new keys"
        )
    try:
        certificates.check_csr(certificates.read_csr(request.csr_pem.encode()), f"node-{request.node}")
    except CryptoError as error:
        raise EnrolmentRefused(f"the certificate request of {request.node}: {error}", "make a new one") from error


def _check_back(roster: Unsigned, name: str, terms: Terms) -> None:
    """Raises EnrolmentRefused for a node that new keys alone do not bring back."""
    standing = next((node.standing for node in roster.nodes if node.node == name), None)
    if standing is not None and standing.state is NodeState.SUSPENDED:
        raise EnrolmentRefused(f"{name} is suspended", "decide on that first: seci-hub unsuspend, or revoke")
    if standing is not None and standing.state is NodeState.REMOVED and terms.task_forces is None:
        # It could speak to nobody.
        raise EnrolmentRefused(f"{name} was removed from all task forces", "name those to be: --task-force CODE, each")


async def approve(connection: AsyncConnection, node: str, typed: str, by: str, *, four_eyes: bool) -> Enrolment:
    """The words that were heard from the node are those of its request. Confirmed at once without `four_eyes`.

    Raises EnrolmentUnknown, WordsDiffer, KeyUnproven.
    """
    found = await _at(connection, node, Stage.REQUESTED)
    if not same_words(typed, tuple((found.words or "").split())):
        raise WordsDiffer(
            f"these are not the words of {node}'s request",
            "have them read again; if they stay different, somebody stands between: reject it, and invite anew",
        )
    if not (found.proven or found.by_file):
        raise KeyUnproven(
            f"{node} has not opened the hub's challenge yet", "let it run `seci-node join` again, then approve"
        )
    if four_eyes:
        return await _move(connection, found, Stage.APPROVED, approved_by=by)
    return await _move(connection, found, Stage.CONFIRMED, approved_by=by, confirmed_by=by)


def same(found: Enrolment, seen: Enrolment) -> Enrolment:
    """What was found, if it is what was seen before. Raises EnrolmentUnknown."""
    if found.about() != seen.about():
        raise EnrolmentUnknown(f"by now {found.node} has another request", "look at it: `seci-hub requests`")
    return found


async def confirm(connection: AsyncConnection, seen: Enrolment, by: str) -> Enrolment:
    """The second operator's word on what was `seen`. Raises EnrolmentUnknown, SameOperator, OperatorRefused."""
    node = seen.node
    found = same(await _at(connection, node, Stage.APPROVED), seen)
    if found.approved_by == by:
        raise SameOperator(f"{by} has approved {node}", "another person has to confirm, who is a security officer")
    approver = await operators.find(connection, found.approved_by or "")
    if approver is not None and approver.disabled_at is not None:
        raise OperatorRefused(
            f"{found.approved_by}, who approved {node}, is disabled since", "reject the request, and invite it anew"
        )
    return await _move(connection, found, Stage.CONFIRMED, confirmed_by=by)


async def reject(connection: AsyncConnection, seen: Enrolment, reason: str) -> Enrolment:
    """Ends what was `seen` before it is in the roster. Raises EnrolmentUnknown."""
    found = same(await _at(connection, seen.node, *_REJECTABLE), seen)
    return await _move(connection, found, Stage.REJECTED, reason=reason)


async def locked(connection: AsyncConnection, invitation: bytes) -> Enrolment | None:
    """The row, for this transaction alone."""
    query = select(_TABLE).where(_TABLE.c.invitation == invitation).with_for_update()
    row = (await connection.execute(query)).first()
    return None if row is None else Enrolment.of(row)


async def change(connection: AsyncConnection, invitation: bytes, expected: Stage, **values: Any) -> Enrolment | None:
    """Changes a row if it is still at that stage; None if it is not."""
    found = await locked(connection, invitation)
    if found is None or found.stage is not expected:
        return None
    stage = values.pop("stage", None)
    return await (_change(connection, found, **values) if stage is None else _move(connection, found, stage, **values))


async def latest(connection: AsyncConnection, node: str) -> Enrolment:
    """The node's last request. Raises EnrolmentUnknown."""
    query = select(_TABLE).where(_TABLE.c.node == node, _TABLE.c.request.is_not(None))
    row = (await connection.execute(query.order_by(_TABLE.c.since.desc()).limit(1))).first()
    if row is None:
        raise EnrolmentUnknown(f"{node} has not asked to join", "list requests with `seci-hub requests`")
    return Enrolment.of(row)


async def _of_token(connection: AsyncConnection, join: JoinRequest) -> Enrolment:
    found = await locked(connection, bytes.fromhex(join.invitation))
    known = _NOBODY if found is None else VerifyKey.from_public_bytes(found.token_key)
    try:
        joining.verify_token(join, known)
    except CryptoError as error:
        raise TokenRefused("there is no such invitation", "see that the token is the one you were given") from error
    if found is None:
        raise TokenRefused("there is no such invitation", "see that the token is the one you were given")
    if join.request.node != found.node:
        raise TokenOfAnother(f"the token is for {found.node}, not for {join.request.node}", _INVITE_AGAIN)
    return found


async def _open(connection: AsyncConnection, node: str) -> Enrolment | None:
    query = select(_TABLE).where(_TABLE.c.node == node, _TABLE.c.stage.not_in(DECIDED)).with_for_update()
    row = (await connection.execute(query)).first()
    return None if row is None else Enrolment.of(row)


async def _at(connection: AsyncConnection, node: str, *stages: Stage) -> Enrolment:
    found = await _open(connection, node)
    if found is None:
        raise EnrolmentUnknown(f"{node} has no open invitation or request", "list them: `seci-hub requests`")
    if found.stage not in stages:
        raise EnrolmentUnknown(
            f"the enrolment of {node} is at {found.stage!s}, not at {' or '.join(stages)}",
            "look at it: `seci-hub requests`, `seci-hub invitations`",
        )
    return found


async def _move(connection: AsyncConnection, found: Enrolment, stage: Stage, **values: Any) -> Enrolment:
    return await _change(connection, found, stage=stage, since=now_ms(), **values)


async def _change(connection: AsyncConnection, found: Enrolment, **values: Any) -> Enrolment:
    this = _TABLE.c.invitation == found.invitation
    row = (await connection.execute(update(_TABLE).where(this).values(**values).returning(_TABLE))).one()
    return Enrolment.of(row)


def parse(data: bytes) -> JoinRequest:
    """The request in these bytes. Raises RequestUnreadable."""
    try:
        return JoinRequest.model_validate_json(data)
    except ValidationError as error:
        fields = ", ".join(sorted({str(item["loc"][0]) for item in error.errors() if item["loc"]})) or "all of it"
        raise RequestUnreadable(
            f"it is no request to join (wrong: {fields})", "let `seci-node join` make it"
        ) from error
