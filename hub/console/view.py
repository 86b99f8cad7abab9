"""What the hub's console shows for a situation: pure functions, which the template only lays out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from crypto import expiry
from crypto.pages import Alert, Expiry, Moment, expiry_of, moment, moment_of
from hub.glance import idle
from hub.reading import Waiting
from hub.situation import REACHABLE, Situation

# Of what ends, the page has so many lines; the others end later.
MOST_ENDS: Final = 12
_GUIDE: Final = "see docs/operations.md"
_OF_NODE: Final = (
    "the node renews by itself, so it is away or its requests are not answered: telephone its administrator "
    "(seci-node doctor, then seci-node renew --wait)"
)
_OF_CA: Final = f'let another authority take its place: seci-hub ca roll; {_GUIDE}, "Another certification authority"'


@dataclass(frozen=True, slots=True)
class Seen:
    """One look: the situation, the broker's state, its queues or why they are not known, and what is undelivered."""

    situation: Situation
    broker: str
    queues: Sequence[Mapping[str, Any]] | None
    queues_trouble: str | None
    undelivered: Sequence[Waiting]


@dataclass(frozen=True, slots=True)
class Node:
    """A line of the table of nodes: its standing, its agent, and what it has not acknowledged."""

    node: str
    standing: str
    agent: str
    undelivered: int
    oldest: str
    marked: bool


@dataclass(frozen=True, slots=True)
class Queue:
    """A line of the table of queues."""

    name: str
    ready: int
    unacked: int
    consumers: int
    idle: str | None


@dataclass(frozen=True, slots=True)
class View:
    """The page: what is loud first, then the facts."""

    at: Moment
    alerts: tuple[Alert, ...]
    facts: tuple[tuple[str, str, Moment | None], ...]
    expiries: tuple[Expiry, ...]
    later: int
    nodes: tuple[Node, ...]
    queues: tuple[Queue, ...]
    quiet: int


def view(seen: Seen) -> View:
    """The page of the hub."""
    now, queues = seen.situation.at, seen.queues or ()
    ends = expiry.endings({**seen.situation.ends, **seen.situation.node_ends}, now)
    shown = [ending for number, ending in enumerate(ends) if ending.step is not None or number < MOST_ENDS]
    # An empty queue that somebody takes from is only counted.
    busy = [queue for queue in queues if queue["ready"] or queue["unacked"] or not queue["consumers"]]
    return View(
        at=moment(now, now),
        alerts=tuple(sorted(alerts(seen), key=lambda alert: not alert.loud)),
        facts=tuple(_facts(seen)),
        expiries=tuple(expiry_of(ending, now) for ending in shown),
        later=len(ends) - len(shown),
        nodes=tuple(_nodes(seen)),
        queues=tuple(Queue(q["name"], q["ready"], q["unacked"], q["consumers"], idle(q)) for q in busy),
        quiet=len(queues) - len(busy),
    )


def alerts(seen: Seen) -> Iterator[Alert]:
    """All that `seci-hub status` says is wrong, and what `queues` does."""
    told = seen.situation.told
    if told["contradictions"]:
        text = f"this hub has signed two histories: cosigned checkpoints of another ledger, {told['contradictions']}"
        yield Alert("witness_contradicts", text, f'{_GUIDE}, "A witness contradicts"', loud=True)
    if not told["workers"]:
        yield Alert("no_worker", "NOBODY takes messages in", "start a worker: seci-hub run", loud=True)
    if seen.broker != REACHABLE:
        step = f'see that RabbitMQ runs; {_GUIDE}, "When something breaks"'
        yield Alert("broker_unreachable", f"the broker is {seen.broker}", step, loud=True)
    if told["roster"] is None:
        yield Alert("no_roster", "there is no roster yet", "run seci-hub provision")
    yield from _expiring(seen.situation)
    yield from _waiting(told)
    yield from _people(told["operators"])
    if told["ledger"]["vkey_mldsa"] is None:
        step = "run seci-hub init again, restart the workers"
        yield Alert("no_second_key", "checkpoints have an Ed25519 signature alone", step)
    if seen.queues_trouble is not None:
        yield Alert("queues_unknown", f"the queues are not known: {seen.queues_trouble}", "try seci-hub queues")
    silent = [node.node for node in _nodes(seen) if node.agent == SILENT]
    if silent:
        step = "telephone their administrators; what is sent to them waits"
        yield Alert("nodes_silent", f"no agent takes from the inbox of {', '.join(silent)}", step)


def _expiring(found: Situation) -> Iterator[Alert]:
    for ends, step in ((found.ends, "seci-hub renew"), (found.node_ends, _OF_NODE)):
        for ending in expiry.endings(ends, found.at):
            if ending.step is not None:
                name = "expires_soon" if ending.step else "expired"
                todo = _OF_CA if ending.what == "the CA" else step
                yield Alert(name, ending.words(found.at), todo, loud=ending.step <= 1)


def _waiting(told: Mapping[str, Any]) -> Iterator[Alert]:
    if told["overdue"]:
        text = f"answers that are overdue and escalated: {told['overdue']}"
        yield Alert("overdue", text, "telephone who owes them: seci-hub deadlines")
    if told["quarantined"]:
        text = f"what waits in quarantine for a decision: {told['quarantined']}"
        yield Alert("quarantined", text, "seci-hub quarantine list")
    if told["held"]:
        text = f"deliveries that the broker would not take yet: {told['held']}"
        yield Alert("held", text, f'seci-hub queues shows which inbox is full; {_GUIDE}, "When something breaks"')
    if told["timestamps"]["late"]:
        text = f"the oldest checkpoint without a timestamp is {told['timestamps']['unstamped_s']:.0f} s old"
        yield Alert("timestamps_late", text, f'{_GUIDE}, "External time"')
    if told["joining"]:
        yield Alert("joining", f"nodes that ask to join: {told['joining']}", "seci-hub requests")


def _people(found: Mapping[str, int]) -> Iterator[Alert]:
    if found["officers"] < 2:
        text = f"nobody can confirm what takes two: security officers, {found['officers']}"
        yield Alert("officers_lacking", text, "add another: seci-hub operator add")
    if found["failed_logins"]:
        step = (
            "seci-hub operator show NAME, for each of seci-hub operator list; what they do not have was tried under "
            "names of nobody: see syslog (auth)"
        )
        yield Alert("failed_logins", f"logins that failed of late: {found['failed_logins']}", step)


def _facts(seen: Seen) -> Iterator[tuple[str, str, Moment | None]]:
    now, told = seen.situation.at, seen.situation.told
    ledger, stamped = told["ledger"], told["timestamps"]["newest"]
    yield "Ledger", f"{ledger['size']} entries, root {ledger['root'][:16]}", None
    yield "Newest checkpoint", f"{ledger['size']} entries", moment_of(ledger["at"], now)
    yield "Witnessed", _witnessed(ledger), None
    yield "Timestamp by a TSA", "none" if stamped is None else f"over {stamped['size']} entries", _at(stamped, now)
    roster = told["roster"]
    if roster is not None:
        yield "Roster", f"version {roster['version']}, {len(roster['nodes'])} nodes", None
    yield "Workers", str(told["workers"]), None
    yield "Broker", seen.broker, None
    yield (
        "Accepted, acknowledged",
        f"{told['messages']}, {told['acknowledged']}",
        moment_of(told["last_message_at"], now),
    )
    codes = ", ".join(f"{code} {number}" for code, number in sorted(told["refused"].items()))
    yield "Refused", f"{sum(told['refused'].values())}{f' ({codes})' if codes else ''}", None
    yield "In quarantine", str(told["quarantined"]), None
    yield "Deadlines escalated", str(told["overdue"]), None
    yield "Held back by the broker", str(told["held"]), None
    people = told["operators"]
    yield "Operators", f"{people['enabled']}, security officers {people['officers']}", None


def _witnessed(ledger: Mapping[str, Any]) -> str:
    size = ledger["witnessed"]
    if size is None:
        return "no checkpoint yet"
    if size == ledger["size"]:
        return f"yes, to all {size} entries"
    return f"to {size} entries, the newer {ledger['size'] - size} not yet"


def _at(stamped: Mapping[str, Any] | None, now: int) -> Moment | None:
    return None if stamped is None else moment_of(stamped["at"], now)


ACTIVE: Final = "active"
SILENT: Final = "SILENT"


def _nodes(seen: Seen) -> Iterator[Node]:
    roster = seen.situation.told["roster"]
    owed = {waiting.node: waiting for waiting in seen.undelivered}
    for node in [] if roster is None else roster["nodes"]:
        standing, waits = roster["absent"].get(node, ACTIVE), owed.get(node)
        agent = _agent(node, seen.queues) if standing == ACTIVE else "shut out"
        number, oldest = (0, "") if waits is None else (waits.number, f"for {waits.oldest_s:.0f} s")
        yield Node(node, standing, agent, number, oldest, standing != ACTIVE or agent == SILENT)


def _agent(node: str, queues: Sequence[Mapping[str, Any]] | None) -> str:
    own = [queue for queue in queues or () if queue["name"] in (f"q.inbox.{node}", f"q.inbox.{node}.urgent")]
    if not own:
        return "not known"
    return SILENT if any(idle(queue) for queue in own) else "at work"
