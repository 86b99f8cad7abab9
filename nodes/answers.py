"""What came in answer to a sent message: by whom, when, and with which result, as it stands by now."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from sqlalchemy.engine import Connection

from nodes import amendments, inbox
from nodes.forwarded import PERMISSION
from nodes.store import Store
from nodes.times import iso
from schemas.amended import CORRECTION
from schemas.header import NONCE_SIZE, Header

# What asks for an answer, whether or not it says by when.
_QUESTIONS: Final = ("request", "permission.request", "judicial.assistance")


def of(connection: Connection, box: Store, question: Header) -> list[dict[str, Any]]:
    """The answers to a sent message, in the order of arrival. Of a correction of one, what it puts in its place."""
    came = [(row, Header.from_bytes(row.header)) for row in inbox.in_thread(connection, str(question.thread))]
    answers = [(row, header) for row, header in came if header.in_reply_to == question.id]
    told = [_told(row, header) for row, header in answers]
    amendments.tell(connection, told)
    for (row, _), one in zip(answers, told, strict=True):
        one |= _result(one["kind"], _body(connection, box, row, one.pop("amended_by", ())))
        one.pop("amends", None)
    return told


def lacking(question: Header, answers: Sequence[Mapping[str, Any]]) -> list[str]:
    """Of whom an answer that stands is still to come; empty for what asks nothing."""
    if question.reply_by is None and question.kind not in _QUESTIONS:
        return []
    done = {one["sender"] for one in answers if one["standing"] != "withdrawn"}
    return [name for name in question.recipients if name not in done]


def _told(row: Any, header: Header) -> dict[str, Any]:
    times = {"created": iso(header.created), "received": iso(row.received_at)}
    return {"id": row.id, "kind": header.kind, "sender": header.sender, **times}


def _body(connection: Connection, box: Store, row: Any, amended: Collection[Mapping[str, Any]]) -> dict[str, Any]:
    for one in amended:
        if one["holds"] and one["kind"] == CORRECTION and (read := inbox.read(connection, box, one["id"])) is not None:
            corrected: dict[str, Any] = read[1]["content"]["body"]
            return corrected
    found: dict[str, Any] = json.loads((inbox.content_of(box, row) or b"")[NONCE_SIZE:])
    return found


def _result(kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
    if kind == PERMISSION:
        return {"result": "granted" if body.get("granted") else "refused"}
    return {name: body[name] for name in ("result", "refusal") if isinstance(body.get(name), str)}
