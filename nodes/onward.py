"""Onward use of what others sent, before it leaves this node: their handling codes are obeyed, not only shown.

A forward of H2 or H3 needs the provider's permission, and so does what goes from H1 to H3 into a request to judicial
authorities. What is handed on has no weaker handling than it came with.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.engine import Connection

from nodes import inbox, store
from nodes.errors import MessageUnknown, RoutingRefused
from nodes.forwarded import FORWARD, PERMISSION, needs_permission, permits
from nodes.outgoing import Outgoing
from nodes.store import Store
from schemas.amended import WITHDRAWAL
from schemas.codes import MEANINGS, Handling, is_weaker
from schemas.control import Outcome
from schemas.header import NONCE_SIZE, Header, Routing
from schemas.kinds.permissions import Permission, Use
from schemas.refusals import NEXT_STEP, RefusalCode

JUDICIAL: Final = "judicial.assistance"
# What makes use of earlier messages and says so.
KINDS: Final = (FORWARD, JUDICIAL)


@dataclass(frozen=True, slots=True)
class Original:
    """An earlier message as this node knows it: who provided it, of which kind it is, and how it is to be handled."""

    id: str
    provider: str
    kind: str
    handling: Handling


def complete(connection: Connection, box: Store, message: Outgoing, routing: Routing) -> dict[str, Any]:
    """The body to send of one of `KINDS`: a forward's with handling and proof. Raises RoutingRefused."""
    if message.kind == FORWARD:
        return _forward(connection, box, message.body, routing)
    _check_sources(connection, box, message, routing)
    return message.body


def _forward(connection: Connection, box: Store, body: dict[str, Any], routing: Routing) -> dict[str, Any]:
    first = _original(connection, box, str(UUID(str(body["message"]))), routing.sender)
    content = body["content"]
    if (body["provider"], content["kind"]) != (first.provider, first.kind):
        detail = f"message {first.id} is {first.provider}'s, of kind {first.kind}"
        raise RoutingRefused("original_differs", detail, "name its provider and kind as they are in the inbox")
    if is_weaker(routing.handling, first.handling):
        detail = f"message {first.id} has handling {first.handling}, and may not be handed on with {routing.handling}"
        raise _refused(RefusalCode.HANDLING_WEAKENED, detail)
    completed = {name: value for name, value in body.items() if name != "proof"} | {"handling": str(first.handling)}
    others = set(routing.recipients) - {first.provider}
    if not needs_permission(first.handling) or first.provider == routing.sender or not others:
        return completed
    row, said = _permission(connection, box, body.get("permission"), first, Use.FORWARD)
    beyond = sorted(others - set(said.recipients or ()))
    if beyond:
        detail = f"{first.provider} permits that message {first.id} goes to {', '.join(said.recipients or ())}"
        raise _refused(RefusalCode.PERMISSION_MISSING, f"{detail}, and not to {', '.join(beyond)}")
    parts = {"envelope": row.envelope, "content": inbox.content_of(box, row)}
    return completed | {"proof": {name: base64.b64encode(part or b"").decode() for name, part in parts.items()}}


def _check_sources(connection: Connection, box: Store, message: Outgoing, routing: Routing) -> None:
    # What it answers is used in it, whether it says so or not.
    sources = {str(item["message"]): item.get("permission") for item in message.body.get("sources") or ()}
    if message.in_reply_to is not None:
        sources.setdefault(str(message.in_reply_to), None)
    for id, permission in sources.items():
        first = _original(connection, box, str(UUID(id)), routing.sender)
        if first.handling is not Handling.H0 and first.provider != routing.sender:
            _permission(connection, box, permission, first, Use.JUDICIAL)


def _original(connection: Connection, box: Store, id: str, node: str) -> Original:
    """The message of this id: one that came, one that came in a forward, or one of this node's own."""
    row = _received(connection, id)
    if row is not None:
        header = Header.from_bytes(row.header)
        return Original(id, header.sender, header.kind, header.handling)
    sent = connection.scalar(select(store.outbox.c.header).where(store.outbox.c.id == id))
    if sent is not None:
        header = Header.from_bytes(sent)
        return Original(id, node, header.kind, header.handling)
    forwards = (_in_forward(body, header) for _, header, body in _of_kind(connection, box, FORWARD))
    found = [original for original in forwards if original.id == id]
    if not found:
        detail = f"message {id} is not here, so nobody knows how it is to be handled"
        raise RoutingRefused("original_unknown", detail, "name a message of the inbox, or of a forward in it")
    # Whoever was less careful with it does not decide.
    return max(found, key=lambda original: tuple(Handling).index(original.handling))


def _in_forward(body: Mapping[str, Any], header: Header) -> Original:
    said = body.get("handling")
    handling = Handling(said) if said and not is_weaker(Handling(said), header.handling) else header.handling
    return Original(str(UUID(str(body["message"]))), body["provider"], body["content"]["kind"], handling)


def _permission(connection: Connection, box: Store, id: Any, first: Original, use: Use) -> tuple[Any, Permission]:
    """The permission with this id and its row, if it permits this. Raises RoutingRefused."""
    purpose = "handed on" if use is Use.FORWARD else "used in judicial proceedings"
    about = f"message {first.id} of {first.provider} has handling {first.handling} ({MEANINGS[first.handling]})"
    if id is None:
        detail = f"{about}: it is not to be {purpose} without {first.provider}'s permission, and none is named"
        raise _refused(RefusalCode.PERMISSION_MISSING, detail)
    row = _received(connection, str(UUID(str(id))))
    if row is None or (row.kind, row.sender) != (PERMISSION, first.provider):
        raise _refused(RefusalCode.PERMISSION_MISSING, f"{about}, and {id} is no permission of {first.provider} here")
    try:
        said = Permission.model_validate(_body(box, row), extra="ignore")
    except ValidationError as error:
        raise _refused(RefusalCode.PERMISSION_MISSING, f"permission {id} does not read") from error
    if not permits(said, first.id, use):
        raise _refused(RefusalCode.PERMISSION_MISSING, f"{about}, and {id} does not permit that it is {purpose}")
    for _, header, body in _of_kind(connection, box, WITHDRAWAL):
        if header.sender == first.provider and str(UUID(str(body["message"]))) == row.id:
            raise _refused(RefusalCode.PERMISSION_MISSING, f"{first.provider} has withdrawn permission {id}")
    return row, said


def _received(connection: Connection, id: str) -> Any:
    try:
        row = inbox.find(connection, id)
    except MessageUnknown:
        return None
    return row if row.outcome == Outcome.DELIVERED else None


def _of_kind(connection: Connection, box: Store, kind: str) -> list[tuple[Any, Header, dict[str, Any]]]:
    """What came of a kind, each with header and body."""
    return [(row, Header.from_bytes(row.header), _body(box, row)) for row in inbox.of_kind(connection, kind)]


def _body(box: Store, row: Any) -> dict[str, Any]:
    content = inbox.content_of(box, row) or b""
    found: dict[str, Any] = json.loads(content[NONCE_SIZE:])
    return found


def _refused(code: RefusalCode, detail: str) -> RoutingRefused:
    return RoutingRefused(str(code), detail, NEXT_STEP[code])
