"""A roster, and what changed from one to another, in words for people and in fields for programs."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from schemas import policywords
from schemas.policy import Policy
from schemas.roster import Roster, RosterKey, RosterNode

ACTIVE = "active"


def lines(roster: Roster) -> list[str]:
    """One line or more for each node, and the policy."""
    found = [f"version {roster.version} of {_iso(roster.at)}, {len(roster.nodes)} nodes"]
    for node in roster.nodes:
        found.append(f"{node.node:8} {node.name}, {node.category}: {_state(node)}")
        agencies, task_forces = ", ".join(node.agencies) or "none", ", ".join(node.task_forces) or "none"
        found.append(f"{'':8} agencies {agencies}; task forces {task_forces}")
        found += [f"{'':8} {_key(key)}" for key in node.keys]
    return [*found, "the rules, of which the first that fits decides:", *policywords.lines(roster.policy or Policy())]


def fields(roster: Roster) -> dict[str, Any]:
    """Times in ISO 8601, ids of keys in hexadecimal."""
    nodes = [
        {
            "node": node.node,
            "name": node.name,
            "category": str(node.category),
            "state": state(node),
            "since": None if node.standing is None else _iso(node.standing.since),
            "cause": None if node.standing is None else str(node.standing.cause),
            "agencies": [str(agency) for agency in node.agencies],
            "task_forces": list(node.task_forces),
            "keys": [
                {
                    "kid": key.kid.hex(),
                    "use": str(key.use),
                    "not_before": _iso(key.not_before),
                    "not_after": _iso(key.not_after),
                    "revoked": None if key.revoked is None else _iso(key.revoked),
                }
                for key in node.keys
            ],
        }
        for node in roster.nodes
    ]
    policy = (roster.policy or Policy()).written_out().model_dump(mode="json", exclude_none=True)
    return {"version": roster.version, "at": _iso(roster.at), "nodes": nodes, "policy": policy}


def state(node: RosterNode) -> str:
    """Its state in one word: `active` or that of its standing."""
    return ACTIVE if node.standing is None else str(node.standing.state)


def differences(before: Roster | None, after: Roster) -> list[str]:
    """What is another in `after`, a line for each; without `before` all that there is."""
    old = {node.node: node for node in before.nodes} if before is not None else {}
    new = {node.node: node for node in after.nodes}
    found = [f"{name}: is not listed any more" for name in old if name not in new]
    for name, node in new.items():
        found += [f"{name}: {words}" for words in _changes(old.get(name), node)]
    found += policywords.differences(None if before is None else before.policy, after.policy)
    if not found and before is not None and before.crl != after.crl:
        # Whoever is shut out, or comes back, is on it, or not any more: that was said.
        found.append("nothing but the revocation list of TLS certificates")
    return found


def _changes(old: RosterNode | None, new: RosterNode) -> Iterator[str]:
    if old is None:
        yield f"joins as {new.category}, in {', '.join(new.task_forces) or 'no task force'}"
        old = new.model_copy(update={"keys": (), "standing": None})
    if old.standing != new.standing:
        yield _state(new) if new.standing is not None else f"{ACTIVE} again"
    for what in ("name", "category"):
        if getattr(old, what) != getattr(new, what):
            yield f"{what} {getattr(old, what)} becomes {getattr(new, what)}"
    for one, were, are in (("agency", old.agencies, new.agencies), ("task force", old.task_forces, new.task_forces)):
        yield from (f"is given {one} {item}" for item in are if item not in were)
        yield from (f"loses {one} {item}" for item in were if item not in are)
    keys = {(key.use, key.kid): key for key in old.keys}
    for key in new.keys:
        known = keys.pop((key.use, key.kid), None)
        if known != key:
            yield f"{'new' if known is None else 'changed'} key: {_key(key)}"
    yield from (f"key is not listed any more: {_key(key)}" for key in keys.values())


def _state(node: RosterNode) -> str:
    standing = node.standing
    return ACTIVE if standing is None else f"{standing.state} since {_iso(standing.since)} ({standing.cause})"


def _key(key: RosterKey) -> str:
    end = f"until {_iso(key.not_after)}" if key.revoked is None else f"REVOKED since {_iso(key.revoked)}"
    return f"{key.use:8} {key.kid.hex()} from {_iso(key.not_before)} {end}"


def _iso(millis: int) -> str:
    return datetime.fromtimestamp(millis / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
