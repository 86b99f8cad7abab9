"""What of received messages still stands: corrections put in place of what they correct, withdrawals carried out.

Only a message's own sender can correct it or take it back. What is sent out of turn counts all the same: a correction
may arrive before what it corrects. A correction that is taken back leaves what it corrected as it was before.
"""

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any, Final

from schemas.codes import Agency

CORRECTION: Final = "correction"
WITHDRAWAL: Final = "withdrawal"


@dataclass(frozen=True, slots=True)
class Received:
    """A message as it arrived: from whom, of which kind, of which operation by its header, and its body as JSON."""

    id: str
    sender: str
    agency: Agency
    kind: str
    operation: str | None
    body: Mapping[str, Any]
    task_force: str | None = None


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

    `void` are corrections and withdrawals that change nothing, each with what it is about: another sender's message, or
    one of another kind than the correction's content.
    """

    standing: tuple[Standing, ...]
    withdrawn: tuple[Received, ...]
    void: tuple[tuple[Received, Received], ...] = ()


def standing(received: Iterable[Received]) -> Amended:
    """The messages that are neither corrections nor withdrawals, as they stand."""
    messages = {message.id: message for message in received}
    corrections = {id: message for id, message in messages.items() if message.kind == CORRECTION}
    withdrawn = {
        about.id
        for message in messages.values()
        if message.kind == WITHDRAWAL and (about := _about(message, messages)) is not None
    }
    said: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for id, correction in corrections.items():
        corrected = _root(correction, messages)
        content = correction.body.get("content") or {}
        if id not in withdrawn and corrected is not None and content.get("kind") == corrected.kind:
            said[id] = corrected.id, content.get("body") or {}
    # Whatever came first: a correction that is corrected itself says nothing any more.
    over = {about.id for id in said if (about := _about(corrections[id], messages)) is not None}
    bodies = dict(what for id, what in said.items() if id not in over)
    others = [message for message in messages.values() if message.kind not in (CORRECTION, WITHDRAWAL)]
    return Amended(
        tuple(
            Standing(message, bodies.get(message.id, message.body), message.id in bodies)
            for message in others
            if message.id not in withdrawn
        ),
        tuple(message for message in others if message.id in withdrawn),
        tuple(_void(messages, said.keys(), withdrawn)),
    )


def _void(messages: Mapping[str, Received], said: Set[str], withdrawn: Set[str]) -> Iterator[tuple[Received, Received]]:
    for message in messages.values():
        earlier = messages.get(str(message.body.get("message")))
        if message.kind not in (CORRECTION, WITHDRAWAL) or earlier is None or message.id in withdrawn:
            continue
        if message.sender != earlier.sender or (message.kind == CORRECTION and message.id not in said):
            yield message, earlier


def _about(message: Received, messages: Mapping[str, Received]) -> Received | None:
    """The earlier message that this one is about, if it is the same sender's."""
    found = messages.get(str(message.body.get("message")))
    return found if found is not None and found.sender == message.sender else None


def _root(correction: Received, messages: Mapping[str, Received]) -> Received | None:
    """What a correction corrects, by way of other corrections if need be."""
    found: Received | None = correction
    seen: set[str] = set()
    while found is not None and found.kind == CORRECTION:
        # Two that name each other correct nothing.
        if found.id in seen:
            return None
        seen.add(found.id)
        found = _about(found, messages)
    return found
