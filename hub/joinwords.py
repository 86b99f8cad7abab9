"""Invitations and requests as `seci-hub` prints them."""

from typing import Any

from hub import joining
from hub.joining import Enrolment
from hub.watch import iso


def invited(item: Enrolment) -> dict[str, Any]:
    """An invitation, for programs."""
    return {
        "invitation": item.invitation.hex(),
        "node": item.node,
        "stage": str(item.stage),
        "expires": iso(item.terms.expires),
        "invited_by": item.invited_by,
        "agencies": item.terms.agencies,
        "task_forces": item.terms.task_forces,
        "replace_keys": item.terms.replace_keys,
    }


def asked(item: Enrolment) -> dict[str, Any]:
    """A request, for programs."""
    return invited(item) | {
        "since": iso(item.since),
        "age_s": (joining.now_ms() - item.since) // 1000,
        "words": item.words,
        "by_file": item.by_file,
        "key_proven": item.proven,
        "approved_by": item.approved_by,
        "confirmed_by": item.confirmed_by,
        "roster": item.roster_version,
        "reason": item.reason,
    }


def told(item: Enrolment) -> str:
    """A request, for people: on which terms, and the words to compare."""
    hours, minutes = divmod((joining.now_ms() - item.since) // 60_000, 60)
    key = "proven" if item.proven else "proven by opening its answer" if item.by_file else "not proven yet"
    # Where nothing is said: of a new node the registrar's default, of one in the roster what that says.
    unsaid = ("as they are", "as they are") if item.terms.replace_keys else ("police,customs", "all")
    agencies = ",".join(item.terms.agencies or unsaid[:1])
    task_forces = ",".join(item.terms.task_forces or unsaid[1:])
    lines = [
        f"{item.node}  {item.stage} for {hours}:{minutes:02} h, invitation {item.invitation.hex()}"
        + (", replaces keys" if item.terms.replace_keys else ""),
        f"  agencies {agencies}; task forces {task_forces}",
        f"  encryption key {key}"
        + (f"; approved by {item.approved_by}" if item.approved_by else "")
        + (f"; confirmed by {item.confirmed_by}" if item.confirmed_by else ""),
    ]
    words = (item.words or "").split()
    return "\n".join([*lines, *(f"    {'  '.join(words[place : place + 4])}" for place in range(0, len(words), 4))])
