"""What of received messages still stands: corrections put in place of what they correct, withdrawals carried out.

Only a message's own sender can correct it or take it back. What is sent out of turn counts all the same: a correction
may arrive before what it corrects, and of two the one created later holds, whichever came first. A correction that is
taken back leaves what it corrected as it was before. A withdrawal is final: its readers may have erased what it took
back, so nothing corrects it or takes it back, and who withdrew in error sends the message anew.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from schemas.codes import Agency

CORRECTION: Final = "correction"
WITHDRAWAL: Final = "withdrawal"
AMENDING: Final = (CORRECTION, WITHDRAWAL)


@dataclass(frozen=True, slots=True)
class Received:
    """A message as it arrived: from whom, of which kind, of which operation by its header, and its body as JSON.

    `created` is in milliseconds, UTC, by its sender's clock.
    """

    id: str
    sender: str
    agency: Agency
    kind: str
    operation: str | None
    body: Mapping[str, Any]
    task_force: str | None = None
    created: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """A message as it stands: `body` is what it says by now, and `message` what it was."""

    message: Received
    body: Mapping[str, Any]
    corrected: bool = False

    @property
    def kind(self) -> str:
        """The message's kind; no correction changes it."""
        return self.message.kind


@dataclass(frozen=True, slots=True)
class Amended:
    """Messages that stand, in the order of arrival, and those that were taken back.

    `void` are corrections and withdrawals that change nothing, each with what it is about: another sender's message,
    one of another kind than the correction's content, or a withdrawal.
    """

    standing: tuple[Standing, ...]
    withdrawn: tuple[Received, ...]
    void: tuple[tuple[Received, Received], ...] = ()


@dataclass(frozen=True, slots=True)
class Said:
    """What decides how messages bear on each other; `created` in ms. Of what amends: the id it is `about`, and the
    kind that a correction `carries`.
    """

    id: str
    sender: str
    kind: str
    created: int
    about: str = ""
    carries: str = ""

    @property
    def amends(self) -> bool:
        """Whether it is about an earlier message at all."""
        return self.kind in AMENDING


class Void(StrEnum):
    """Why a correction or withdrawal changes nothing, as it goes on behind `it changes nothing:`."""

    UNKNOWN = "the message that it is about is not known here"
    ANOTHERS = "the message that it is about is another sender's"
    FINAL = "a withdrawal is final"
    OTHER_KIND = "what it carries is of another kind than the message that it is about"
    AGAIN = "the message was withdrawn before"
    WITHDRAWN = "it was withdrawn, or the message that it is about was"
    SUPERSEDED = "a later correction holds"


@dataclass(frozen=True, slots=True)
class Effects:
    """By id: the correction or withdrawal that holds for a message, and why one changes nothing."""

    holds: Mapping[str, str]
    void: Mapping[str, Void]


def about(body: Mapping[str, Any]) -> str:
    """The id of the earlier message that a correction's or withdrawal's body names; empty if it is none."""
    try:
        return str(UUID(str(body.get("message"))))
    except ValueError:
        return str(body.get("message") or "")


def carries(body: Mapping[str, Any]) -> str:
    """The kind of what a correction's body carries; empty if it carries nothing."""
    content = body.get("content")
    return str(content.get("kind") or "") if isinstance(content, Mapping) else ""


def effects(said: Iterable[Said]) -> Effects:
    """How messages bear on each other, in whatever order they are given."""
    messages: dict[str, Said] = {}
    for message in said:
        messages.setdefault(message.id, message)
    amending = sorted((one for one in messages.values() if one.amends), key=lambda one: (one.created, one.id))
    void = {one.id: why for one in amending if (why := _misdirected(one, messages.get(one.about))) is not None}
    withdrawn: dict[str, str] = {}
    for one in amending:
        if one.kind == WITHDRAWAL and one.id not in void and withdrawn.setdefault(one.about, one.id) != one.id:
            void[one.id] = Void.AGAIN
    void |= {one.id: Void.WITHDRAWN for one in amending if one.id in withdrawn}
    corrects: dict[str, str] = {}
    roots: dict[str, Said | None] = {}
    for one in amending:
        if one.kind == CORRECTION and one.id not in void:
            root = _root(one, messages, roots)
            why = _no_correction(one, root, withdrawn)
            if root is None or why is not None:
                void[one.id] = why or Void.UNKNOWN
            else:
                corrects[one.id] = root.id
    # Whatever came first: a correction that is corrected itself says nothing any more.
    over = {messages[id].about for id in corrects}
    holds: dict[str, str] = {}
    for id, corrected in corrects.items():
        before = id if id in over else holds.get(corrected)
        if before is not None:
            void[before] = Void.SUPERSEDED
        if id not in over:
            holds[corrected] = id
    return Effects(holds | withdrawn, void)


def _misdirected(one: Said, earlier: Said | None) -> Void | None:
    if earlier is None:
        return Void.UNKNOWN
    if earlier.sender != one.sender:
        return Void.ANOTHERS
    return Void.FINAL if earlier.kind == WITHDRAWAL else None


def _no_correction(one: Said, root: Said | None, withdrawn: Mapping[str, str]) -> Void | None:
    if root is None:
        return Void.UNKNOWN
    if root.kind == WITHDRAWAL:
        return Void.FINAL
    if one.carries != root.kind:
        return Void.OTHER_KIND
    return Void.WITHDRAWN if root.id in withdrawn else None


def _root(correction: Said, messages: Mapping[str, Said], roots: dict[str, Said | None]) -> Said | None:
    """What a correction corrects, by way of the same sender's other corrections if need be."""
    found: Said | None = correction
    way: list[str] = []
    while found is not None and found.kind == CORRECTION:
        if found.id in roots:
            found = roots[found.id]
            break
        # Until it is known: two that name each other correct nothing.
        roots[found.id] = None
        way.append(found.id)
        earlier = messages.get(found.about)
        found = earlier if earlier is not None and earlier.sender == correction.sender else None
    roots.update(dict.fromkeys(way, found))
    return found


# Of these, what the message is about is there, and is not changed by it.
_TOLD: Final = (Void.UNKNOWN, Void.ANOTHERS, Void.FINAL, Void.OTHER_KIND)


def standing(received: Iterable[Received]) -> Amended:
    """The messages that are neither corrections nor withdrawals, as they stand."""
    messages = {message.id: message for message in received}
    found = effects(map(_said, messages.values()))
    others = [message for message in messages.values() if message.kind not in AMENDING]
    by = {one.id: messages[found.holds[one.id]] for one in others if one.id in found.holds}
    withdrawn = {id for id, one in by.items() if one.kind == WITHDRAWAL}
    told = (one for id, one in messages.items() if found.void.get(id) in _TOLD)
    void = ((one, messages.get(about(one.body))) for one in told)
    return Amended(
        tuple(
            Standing(one, by[one.id].body["content"].get("body") or {}, corrected=True)
            if one.id in by
            else Standing(one, one.body)
            for one in others
            if one.id not in withdrawn
        ),
        tuple(one for one in others if one.id in withdrawn),
        tuple((one, earlier) for one, earlier in void if earlier is not None),
    )


def _said(message: Received) -> Said:
    amends = message.kind in AMENDING
    named = about(message.body) if amends else ""
    return Said(
        message.id, message.sender, message.kind, message.created, named, carries(message.body) if amends else ""
    )
