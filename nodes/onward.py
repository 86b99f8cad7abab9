"""Onward use of what others sent, before it leaves this node: their handling codes are obeyed, not only shown.

A forward of H2 or H3 needs the provider's permission, and so does what goes from H1 to H3 into a request to judicial
authorities. What is handed on is what came, and has no weaker handling than it came with.
"""

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
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
from schemas import registry
from schemas.amended import CORRECTION, WITHDRAWAL, carries
from schemas.codes import MEANINGS, Handling, is_weaker
from schemas.control import Outcome
from schemas.header import NONCE_SIZE, Header, Routing
from schemas.kinds.permissions import Permission, Use
from schemas.refusals import NEXT_STEP, RefusalCode

JUDICIAL: Final = "judicial.assistance"


@dataclass(frozen=True, slots=True)
class Content:
    """What a message says, or by a correction of its provider has come to say, and how that is to be handled."""

    handling: Handling
    version: int
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Original:
    """An earlier message as this node knows it: who provided it, of which kind it is, and its contents."""

    id: str
    provider: str
    kind: str
    contents: tuple[Content, ...]

    @property
    def handling(self) -> Handling:
        """Whoever was less careful with it does not decide."""
        return _strictest(self.contents)


def _strictest(contents: tuple[Content, ...]) -> Handling:
    return max((content.handling for content in contents), key=tuple(Handling).index)


def uses_earlier(message: Outgoing) -> bool:
    """Whether a message makes use of earlier ones and says so, or corrects what did."""
    return message.kind in (FORWARD, JUDICIAL) or (message.kind == CORRECTION and carries(message.body) == JUDICIAL)


def complete(connection: Connection, box: Store, message: Outgoing, routing: Routing) -> dict[str, Any]:
    """The body to send of what `uses_earlier`: a forward's with handling and proof. Raises RoutingRefused."""
    if message.kind == FORWARD:
        return _forward(connection, box, message.body, routing)
    _check_sources(connection, box, message, routing)
    return message.body


def _forward(connection: Connection, box: Store, body: dict[str, Any], routing: Routing) -> dict[str, Any]:
    first = _original(connection, box, str(UUID(str(body["message"]))), routing.sender)
    handling = _handling_of_content(first, body)
    if _is_withdrawn(connection, first.id, first.provider):
        detail = f"{first.provider} has withdrawn message {first.id}"
        raise RoutingRefused("original_withdrawn", detail, f"hand it on no more; ask {first.provider} what is so")
    if is_weaker(routing.handling, handling):
        detail = f"message {first.id} has handling {handling}, and may not be handed on with {routing.handling}"
        raise _refused(RefusalCode.HANDLING_WEAKENED, detail)
    completed = {name: value for name, value in body.items() if name != "proof"} | {"handling": str(handling)}
    others = set(routing.recipients) - {first.provider}
    if not needs_permission(handling) or first.provider == routing.sender or not others:
        return completed
    about = f"message {first.id} of {first.provider} has handling {handling} ({MEANINGS[handling]})"
    row, said = _permission(connection, box, body.get("permission"), first, Use.FORWARD, about)
    beyond = sorted(others - set(said.recipients or ()))
    if beyond:
        detail = f"{first.provider} permits that message {first.id} goes to {', '.join(said.recipients or ())}"
        raise _refused(RefusalCode.PERMISSION_MISSING, f"{detail}, and not to {', '.join(beyond)}")
    parts = {"envelope": row.envelope, "content": inbox.content_of(box, row)}
    return completed | {"proof": {name: base64.b64encode(part or b"").decode() for name, part in parts.items()}}


def _handling_of_content(first: Original, body: Mapping[str, Any]) -> Handling:
    """How what is handed on is to be handled. Raises RoutingRefused if the message does not say it.

    Else what is under H2 would go out under the id of what is not, and as another's word.
    """
    content = body["content"]
    if (body["provider"], content["kind"]) != (first.provider, first.kind):
        detail = f"message {first.id} is {first.provider}'s, of kind {first.kind}"
        raise RoutingRefused("original_differs", detail, "name its provider and kind as they are in the inbox")
    given = _read(first.kind, int(content.get("kind_version", 1)), content["body"])
    same = tuple(found for found in first.contents if _read(first.kind, found.version, found.body) == given)
    if not same:
        detail = f"message {first.id} does not say what is in content.body, nor does a correction of it"
        step = "hand on the whole body as it is in the inbox; what you have to say yourself goes into `text`"
        raise RoutingRefused("original_differs", detail, step)
    return _strictest(same)


def _read(kind: str, version: int, body: Mapping[str, Any]) -> Mapping[str, Any]:
    """A body as its kind's newest version here has it, without what that does not know: it cannot be handed on."""
    newest, found = registry.newest(kind), registry.newest_body(kind, version, body)
    if version > newest.version:
        return found
    return newest.model.model_validate(found, extra="ignore").model_dump(mode="json", exclude_none=True)


def _check_sources(connection: Connection, box: Store, message: Outgoing, routing: Routing) -> None:
    body = message.body if message.kind == JUDICIAL else message.body["content"]["body"]
    # What it answers is used in it, whether it says so or not.
    sources = {str(item["message"]): item.get("permission") for item in body.get("sources") or ()}
    if message.in_reply_to is not None:
        sources.setdefault(str(message.in_reply_to), None)
    for id, permission in sources.items():
        first = _original(connection, box, str(UUID(id)), routing.sender)
        handling = first.handling
        if handling is not Handling.H0 and first.provider != routing.sender:
            about = f"message {first.id} of {first.provider} has handling {handling} ({MEANINGS[handling]})"
            _permission(connection, box, permission, first, Use.JUDICIAL, about)


def _original(connection: Connection, box: Store, id: str, node: str) -> Original:
    """The message of this id: one that came, one that came in a forward, or one of this node's own."""
    found = _message(connection, box, id, node)
    if found is None:
        forwards = (_in_forward(body, header) for _, header, body in _of_kind(connection, box, FORWARD))
        handed_on = [original for original in forwards if original.id == id]
        if not handed_on:
            detail = f"message {id} is not here, so nobody knows how it is to be handled"
            raise RoutingRefused("original_unknown", detail, "name a message of the inbox, or of a forward in it")
        # Of those that agree with the most careful one on whose it is.
        first = max(handed_on, key=lambda original: tuple(Handling).index(original.handling))
        same = [one for one in handed_on if (one.provider, one.kind) == (first.provider, first.kind)]
        # How each of them handled it makes no difference: it is one message.
        contents = tuple(replace(one.contents[0], handling=first.handling) for one in same)
        found = replace(first, contents=contents)
    return replace(found, contents=(*found.contents, *_corrected(connection, box, found, node)))


def _message(connection: Connection, box: Store, id: str, node: str) -> Original | None:
    row = _received(connection, id)
    if row is not None:
        header, body = Header.from_bytes(row.header), _body(box, row)
        return Original(id, header.sender, header.kind, (Content(header.handling, header.kind_version, body),))
    table = store.outbox.c
    sent = connection.execute(select(table.header, table.body).where(table.id == id)).first()
    if sent is None:
        return None
    header, body = Header.from_bytes(sent.header), json.loads(box.open_body(id, sent.body))
    return Original(id, node, header.kind, (Content(header.handling, header.kind_version, body),))


def _corrected(connection: Connection, box: Store, first: Original, node: str) -> Iterator[Content]:
    """What the provider's corrections of a message, and of these, say in its place."""
    table, waiting, seen = store.amendment.c, [first.id], {first.id}
    while waiting:
        about = (table.about == waiting.pop()) & (table.kind == CORRECTION) & (table.sender == first.provider)
        for id in connection.execute(select(table.id).where(about)).scalars().all():
            found = None if id in seen else _message(connection, box, id, node)
            if found is None or found.provider != first.provider or _is_withdrawn(connection, id, first.provider):
                continue
            seen.add(id)
            waiting.append(id)
            content = found.contents[0].body["content"]
            if content["kind"] == first.kind:
                yield Content(found.handling, int(content.get("kind_version", 1)), content["body"])


def _is_withdrawn(connection: Connection, id: str, provider: str) -> bool:
    table = store.amendment.c
    withdraws = (table.about == id) & (table.kind == WITHDRAWAL) & (table.sender == provider)
    return connection.scalar(select(table.id).where(withdraws).limit(1)) is not None


def _in_forward(body: Mapping[str, Any], header: Header) -> Original:
    said, content = body.get("handling"), body["content"]
    handling = Handling(said) if said and not is_weaker(Handling(said), header.handling) else header.handling
    found = Content(handling, int(content.get("kind_version", 1)), content["body"])
    return Original(str(UUID(str(body["message"]))), body["provider"], content["kind"], (found,))


def _permission(
    connection: Connection, box: Store, id: Any, first: Original, use: Use, about: str
) -> tuple[Any, Permission]:
    """The permission with this id and its row, if it permits this. Raises RoutingRefused."""
    purpose = "handed on" if use is Use.FORWARD else "used in judicial proceedings"
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
    if _is_withdrawn(connection, row.id, first.provider):
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
