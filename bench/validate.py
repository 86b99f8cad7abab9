"""What validating a body costs: of each kind one of 4 KB, at the sender and at a recipient, beside 200 us of CPU.

The body is the kind's example, made up to 4 KB by entities where it carries such, and else by its text. A recipient has
to read it as JSON first, and that counts; what a sender takes to write it is told beside, in `writing`. The kind that
takes longest is the figure: CPU of this process, the least of some rounds.
"""

import json
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from bench.busy import look, others_between
from bench.figure import Figure, Target
from bench.place import Place
from schemas import registry
from schemas.kinds.kind import Kind
from schemas.registry import KINDS

SIZE: Final = 4096
BOUND_US: Final = 200.0
ROUNDS: Final = 7
TIMES: Final = 100
TARGET: Final = Target(1, at_most=True)
_MORE: Final = {
    "type": "person",
    "names": [{"family": "Петков", "given": "Георги"}, {"full": "Γεώργιος Πέτκοφ", "use": "alias"}],
    "born": "1971-03",
    "nationalities": ["BG"],
    "documents": [{"document_type": "passport", "number": "BG 4711", "country": "BG"}],
}


def body_of(kind: Kind) -> bytes:
    """A body of at least SIZE bytes, as it travels, and of not many more."""
    body: dict[str, Any] = dict(kind.examples[0])
    fields = kind.model.model_fields
    while "entities" in fields and len(_sent(kind, body)) < SIZE - 400:
        body["entities"] = [*body.get("entities", ()), _MORE]
    missing = SIZE - len(_sent(kind, body))
    if missing > 0:
        name = next(name for name in ("text", "question") if name in fields)
        body[name] = body.get(name, "") + "x" * missing
    return _sent(kind, body)


def _sent(kind: Kind, body: dict[str, Any]) -> bytes:
    return registry.body_bytes(kind.name, kind.version, body)


def micros(work: Callable[[], object]) -> float:
    """CPU of this process for one time, in microseconds."""
    found = []
    for _ in range(ROUNDS):
        begin = time.process_time_ns()
        for _ in range(TIMES):
            work()
        found.append((time.process_time_ns() - begin) / TIMES / 1000)
    return min(found)


def measure(place: Place) -> list[Figure]:
    """The dearest kind at the sender and at a recipient, each beside what it may cost."""
    before = look(place.exchange.folder)
    sending, writing, reading = {}, {}, {}
    for kind in KINDS.values():
        data = body_of(kind)
        body = json.loads(data)
        sending[kind.name] = micros(partial(kind.model.model_validate, body))
        writing[kind.name] = micros(partial(_sent, kind, body)) - sending[kind.name]
        reading[kind.name] = micros(partial(registry.read_body, kind.name, kind.version, data))
    others = others_between(before, look(place.exchange.folder))
    return [_figure("validate_send", sending, others, writing=writing), _figure("validate_read", reading, others)]


def _figure(name: str, found: dict[str, float], others: float | None, **more: dict[str, float]) -> Figure:
    dearest = max(found, key=lambda kind: found[kind])
    ours = found[dearest]
    told = {
        name: {kind: round(us, 1) for kind, us in sorted(each.items())}
        for name, each in (("kinds", found), *more.items())
    }
    return Figure(name, "us CPU", ours, BOUND_US, ours / BOUND_US, TARGET, dearest, others, told)
