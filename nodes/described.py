"""A message's header as the API and the command line show it."""

from typing import Any

from nodes.times import iso
from schemas.header import Header


def describe_header(header: Header) -> dict[str, Any]:
    """A header as the API shows it."""
    shown = {
        "kind": header.kind,
        "kind_version": header.kind_version,
        "sender": header.sender,
        "agency": str(header.agency),
        "task_force": header.task_force,
        "recipients": list(header.recipients),
        "thread": str(header.thread),
        "in_reply_to": None if header.in_reply_to is None else str(header.in_reply_to),
        "operation": header.operation,
        "priority": str(header.priority),
        "handling": str(header.handling),
        "created": iso(header.created),
        "expires": iso(header.expires),
        "reply_by": iso(header.reply_by),
    }
    return {name: value for name, value in shown.items() if value is not None}
