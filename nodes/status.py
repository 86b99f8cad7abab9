"""How the node is: asked in one way, and shown in `seci-node status`, `/readyz` and on the console.

Counts, ages, names and codes; no word of what messages say.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.engine import Connection

from crypto import expiry
from nodes import breaches, clock, rosters, store, witness
from nodes.agent import Agent
from nodes.canary import Answers
from nodes.link import LinkState
from nodes.times import iso

LATE_S: Final = 60


@dataclass(frozen=True, slots=True)
class Status:
    """One look, at `at` (ms). `oldest_waiting` is when a message without a receipt was queued, `ends` when what the
    node has ends (ms); `ahead` is by how much the clock is ahead (ms).
    """

    at: int
    node: str
    link: LinkState
    hub: Answers
    counts: Mapping[str, int]
    oldest_waiting: int | None
    ends: Mapping[str, int]
    ahead: int
    witness: dict[str, Any]
    roster: dict[str, Any]
    let_through: Sequence[dict[str, Any]]

    def warnings(self) -> list[str]:
        """What a person should know or do something about; empty if all is well."""
        return self.shortcomings() + breaches.warnings(list(self.let_through))

    def shortcomings(self) -> list[str]:
        """Why messages may not leave or arrive now, or soon."""
        return witness.warnings(self.witness) + expiry.warnings(self.ends, self.at) + self.troubles()

    def troubles(self) -> list[str]:
        """With the link, the hub, and the clock."""
        found = []
        if not self.link.connected:
            found.append(f"no connection to the broker since {iso(self.link.since)}: messages are kept and sent later")
        found += self.hub.warnings()
        waited = 0.0 if self.oldest_waiting is None else (self.at - self.oldest_waiting) / 1000
        if waited > LATE_S:
            found.append(f"a message waits {int(waited)} s for the hub's receipt: the hub may be down")
        if self.ahead:
            found.append(f"{clock.describe(self.ahead)}: {clock.NEXT_STEP}")
        return found

    def described(self) -> dict[str, Any]:
        """For the API."""
        return {
            "node": self.node,
            "link": {"connected": self.link.connected, "since": iso(self.link.since), "reason": self.link.reason},
            "hub": self.hub.described(self.at),
            "counts": dict(self.counts),
            "oldest_waiting": iso(self.oldest_waiting),
            "warnings": self.warnings(),
            "let_through": list(self.let_through),
            "witness": self.witness,
            "roster": self.roster,
        }


async def status(agent: Agent) -> Status:
    """How an agent at work is now."""
    now = time.time_ns() // 1_000_000
    return Status(
        at=now,
        node=agent.settings.node,
        link=agent.link.state,
        hub=agent.witness.answers(agent.link.state),
        counts=await agent.box.run(store.counts),
        oldest_waiting=await agent.box.run(store.oldest_waiting),
        ends=agent.renewing.ends(),
        ahead=await agent.box.run(clock.milliseconds_ahead, agent.trust.roster.at, now),
        witness=await witness_of(agent),
        roster=await agent.box.run(rosters.describe, agent.trust),
        let_through=await agent.box.run(breaches.recent, now),
    )


async def witness_of(agent: Agent) -> dict[str, Any]:
    """What its witness stands at."""
    cosigner, now = agent.witness.cosigner, time.time_ns() // 1_000_000
    own = None if cosigner is None else cosigner.verifier
    listed = agent.trust.witnesses(now).get(agent.settings.node)
    origin, asking = agent.settings.log_origin, agent.witness.asking
    return await agent.box.run(witness.describe, origin, own, listed, now, asking)


def refused(connection: Connection, limit: int) -> list[dict[str, Any]]:
    """The messages of this node that the hub refused last: by id, code and time (ms)."""
    table = store.outbox.c
    query = select(table.id, table.code, table.settled_at).where(table.state == "refused")
    rows = connection.execute(query.order_by(table.settled_at.desc(), table.seq.desc()).limit(limit))
    return [{"id": row.id, "code": row.code, "at": row.settled_at} for row in rows]
