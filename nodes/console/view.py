"""What the node's console shows for a status: pure functions, which the template only lays out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from crypto import expiry
from crypto.pages import Alert, Expiry, Moment, expiry_of, moment, moment_of
from nodes import breaches, hearsay, histories, witness
from nodes.status import Status
from schemas.refusals import NEXT_STEP, RefusalCode
from schemas.roster import RosterNode

_CAUGHT: Final = 'see docs/node.md, "When the hub is caught"'
_KEEP: Final = (
    "keep the evidence (seci-node witness --json > alarm.json); telephone the hub's operators and two other focal "
    f"points, not through the exchange; {_CAUGHT}"
)
ALARMS: Final[Mapping[str, tuple[str, str]]] = {
    histories.ROLLED_BACK: ("the hub has gone back behind a ledger that it had signed", _KEEP),
    histories.FORKED: ("the hub has signed two ledgers of one size, or handed over to two keys", _KEEP),
    histories.REWRITTEN: ("the hub has changed what it had signed", _KEEP),
    histories.KEY_CHANGED: ("the hub's key has changed, and the old one did not hand over to it", _KEEP),
    histories.ROSTER_FORKED: ("the hub has signed two rosters of one version", _KEEP),
    histories.KEY_FOREIGN: (
        "the roster has a key in this node's name that this node did not make",
        f"telephone the other focal points first: they close messages to that key; {_CAUGHT}",
    ),
}
_STOPPED: Final = "nothing is sent and no receipt is taken until it is settled"
_RENEW: Final = (
    "the node renews by itself, so the hub does not answer it: run seci-node doctor, then seci-node renew --wait, and "
    "telephone the hub's operators"
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A message that was refused, or that the hub let through although it should not have."""

    id: str
    code: str
    at: Moment | None
    next: str


@dataclass(frozen=True, slots=True)
class View:
    """The page: what is loud first, then the facts."""

    node: str
    name: str
    at: Moment
    alerts: tuple[Alert, ...]
    facts: tuple[tuple[str, str, Moment | None], ...]
    expiries: tuple[Expiry, ...]
    outbox: tuple[tuple[str, int], ...]
    inbox: tuple[tuple[str, int], ...]
    refusals: tuple[Refusal, ...]


def view(status: Status, own: RosterNode | None, refused: Sequence[Mapping[str, Any]]) -> View:
    """The page of a node; `own` is its entry in the roster."""
    counts = status.counts
    return View(
        node=status.node,
        name=own.name if own is not None else "not in the roster",
        at=moment(status.at, status.at),
        alerts=tuple(alerts(status)),
        facts=tuple(_facts(status, own)),
        expiries=tuple(expiry_of(ending, status.at) for ending in expiry.endings(status.ends, status.at)),
        outbox=tuple((state, counts.get(state, 0)) for state in _SENT),
        inbox=tuple((state, counts.get(state, 0)) for state in ("inbox", "quarantine")),
        refusals=tuple(_refusals(status, refused)),
    )


_SENT: Final = ("queued", "sent", "accepted", "refused", "expired")


def alerts(status: Status) -> Iterator[Alert]:
    """Alarms of the ledger by name, then what ends soon, then all else that `seci-node status` warns of."""
    known = status.witness
    if (alarm := known["alarm"]) is not None:
        what, step = ALARMS.get(alarm["code"], ("the hub contradicts what it has signed", _KEEP))
        text = f"THE HUB IS NOT TRUSTED since {alarm['at']}: {what} ({alarm['detail']}); {_STOPPED}"
        yield Alert(alarm["code"], text, step, loud=True)
    for item in known["roster_hearsay"]:
        [text] = hearsay.warnings([item])
        yield Alert(item["code"], text, 'see docs/node.md, "Who has which keys"', loud=True)
    for ending in expiry.endings(status.ends, status.at):
        if ending.step is not None:
            name = "expires_soon" if ending.step else "expired"
            yield Alert(name, ending.words(status.at), _RENEW, loud=ending.step <= 1)
    rest = witness.warnings({**known, "alarm": None, "roster_hearsay": []})
    for text in (*rest, *status.troubles(), *breaches.warnings(list(status.let_through))):
        yield Alert("warning", text, "run seci-node doctor")


def _facts(status: Status, own: RosterNode | None) -> Iterator[tuple[str, str, Moment | None]]:
    now, known, link = status.at, status.witness, status.link
    if own is not None:
        yield "Participant", f"{own.name} ({own.category})", None
        yield "Agencies", ", ".join(own.agencies) or "none", None
        yield "Task forces", ", ".join(own.task_forces) or "none", None
    said = "connected" if link.connected else f"DOWN: {link.reason or 'no connection yet'}"
    yield "Link to the hub", said, moment(link.since, now)
    yield "Answers of the hub", *_answers(status)
    yield "Roster in force", f"version {status.roster['version']}", None
    size = known["followed"]
    yield "Last checkpoint followed", "none yet" if size is None else f"{size} entries", None
    yield "Witnessed", _witnessed(known), None
    if known["unwitnessed_receipts"]:
        waits = moment_of(known["unwitnessed_since"], now)
        yield "Receipts not witnessed yet", str(known["unwitnessed_receipts"]), waits
    if status.oldest_waiting is not None:
        yield "Oldest message without a receipt", "queued", moment(status.oldest_waiting, now)


def _answers(status: Status) -> tuple[str, Moment | None]:
    newest, since = status.hub.newest, status.hub.since(status.at)
    if status.hub.late and since is not None:
        return "NONE", moment(since, status.at)
    return "none yet" if newest is None else f"the newest came {moment(newest, status.at).words}", None


def _witnessed(known: Mapping[str, Any]) -> str:
    newest, followed = known["witnessed"], known["followed"]
    if newest is None:
        return "no checkpoint yet"
    if newest == followed:
        return f"yes, by a quorum, to all {newest} entries"
    return f"by a quorum to {newest} entries, the newer ones not yet"


def _refusals(status: Status, refused: Sequence[Mapping[str, Any]]) -> Iterator[Refusal]:
    for item in refused:
        at = None if item["at"] is None else moment(item["at"], status.at)
        yield Refusal(item["id"], item["code"] or "", at, _next_step(item["code"]))
    for item in status.let_through:
        at = moment_of(item["at"], status.at)
        code = f"{item['code']} (from {item['sender']}, declined here)"
        yield Refusal(item["id"], code, at, "tell the hub's operators: it should not have let it through")


def _next_step(code: str | None) -> str:
    # An older or newer program may have stored one that this one does not know.
    return NEXT_STEP.get(RefusalCode(code), "") if code in set(RefusalCode) else ""
