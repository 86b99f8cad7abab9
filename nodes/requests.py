"""What is wrong with a request to send, as far as can be told without a roster: for files that nobody sends yet."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from nodes.errors import RoutingRefused
from nodes.outgoing import LIFETIME_MS, Outgoing, check_rule
from schemas import wording
from schemas.amended import AMENDING
from schemas.codes import TASK_FORCES
from schemas.header import MAX_LIFETIME_MS

_DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class HeaderFault:
    """A fault in what is beside the body: the way to its field, what was found if anything was, and what is wanted."""

    way: Sequence[str | int]
    found: Any
    wanted: str
    missing: bool = False


def header_faults(posted: Mapping[str, Any], now: int | None = None) -> Iterator[HeaderFault]:
    """All that is wrong with a request but its body; from `now` (ms) on deadlines are to lie, if it is given."""
    try:
        message = Outgoing.model_validate(posted)
    except ValidationError as error:
        for item in error.errors(include_url=False):
            yield HeaderFault(item["loc"], item["input"], wording.wanted(item), item["type"] == "missing")
        return
    try:
        # To whom a correction goes without being told so, only the agent knows.
        check_rule(message if message.kind not in AMENDING or message.to else message.model_copy(update={"to": ("x",)}))
    except RoutingRefused as error:
        yield HeaderFault((), str(error), f"is refused ({error.code}): {error.next_step}")
    inherits = message.in_reply_to is not None or message.kind in AMENDING
    if message.task_force not in TASK_FORCES and not (message.task_force is None and inherits):
        none = message.task_force is None
        yield HeaderFault(("task_force",), message.task_force, f"must be one of {', '.join(TASK_FORCES)}", none)
    if message.kind == "reply" and message.in_reply_to is None:
        yield HeaderFault(("in_reply_to",), None, "is required of a reply", missing=True)
    if message.id is not None and message.id.version != 7:
        yield HeaderFault(("id",), str(message.id), "must be a UUID version 7 (RFC 9562)")
    yield from _times(message, posted, now)


def _times(message: Outgoing, posted: Mapping[str, Any], now: int | None) -> Iterator[HeaderFault]:
    zoned = {}
    for name in ("reply_by", "expires"):
        moment = getattr(message, name)
        if moment is not None and moment.tzinfo is None:
            yield HeaderFault((name,), posted[name], "must be a time with a zone, as 2026-11-24T14:00:00Z")
        elif moment is not None:
            zoned[name] = int(moment.timestamp() * 1000)
    if now is None:
        return
    expires, reply_by = zoned.get("expires"), zoned.get("reply_by")
    if expires is not None and expires <= now:
        yield HeaderFault(("expires",), posted["expires"], "must be in the future")
    if expires is not None and expires > now + MAX_LIFETIME_MS:
        yield HeaderFault(
            ("expires",), posted["expires"], f"must be at most {MAX_LIFETIME_MS // _DAY_MS} days from now"
        )
    if reply_by is not None and not now < reply_by <= (expires or now + LIFETIME_MS):
        default = "" if expires else f", which is in {LIFETIME_MS // _DAY_MS} days unless you say otherwise"
        yield HeaderFault(
            ("reply_by",), posted["reply_by"], f"must be in the future, and not later than expires{default}"
        )
