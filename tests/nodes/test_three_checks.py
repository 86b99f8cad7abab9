"""The sending node, the hub and the receiving node judge a message alike, by whatever roster, and by two of them.

Rosters and messages are drawn; each has a number, which a failure names.
"""

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

from crypto.trust import Earlier, Trust, sign_roster
from hub.judge import Refused, check_policy
from nodes import inbox
from nodes.errors import RoutingRefused
from nodes.outgoing import Outgoing, route
from schemas import registry
from schemas.codes import Agency, Handling
from schemas.header import Header
from schemas.participants import PARTICIPANTS
from schemas.policy import Effect, Only, Opening, Policy, PolicyRule, Suspension, default_rules
from schemas.roster import Cause, NodeState, Roster, RosterNode, Standing
from tests.crypto.people import HOUR, HUB, NOW, person, roster_key, roster_node, routing

NODES = ("at", "ba", "bg", "hu", "interpol", "iom", "ro", "seci", "wco")
MEMBERS = ("ba", "bg", "hu", "ro", "seci")
FORCES = ("terrorism", "salw", "drugs")
KINDS = ("alert", "operation.plan", "permission", "witness.movement", "drugs.seizure", "firearm.trace")

KEYS = {name: roster_key(person(name).encryption) for name in NODES}
ROSTERS, EACH = 40, 12


def _some(draw: Random, of: Sequence[Any], least: int = 0, most: int = 3) -> tuple[Any, ...]:
    return tuple(draw.sample(list(of), draw.randint(least, most)))


def _pairs(draw: Random) -> set[tuple[str, str]]:
    return {(draw.choice(FORCES), draw.choice(NODES)) for _ in range(draw.randint(0, 4))}


def roster(draw: Random, version: int = 1, at: int = NOW) -> Roster:
    """Any roster of these nodes, with what coordinators and operators may have made of it."""
    nodes = list[RosterNode]()
    for name in NODES:
        away = draw.random() < 0.05
        changes: dict[str, Any] = {
            "category": PARTICIPANTS[name].category,
            "agencies": _some(draw, Agency, 2),
            "standing": Standing(state=NodeState.SUSPENDED, since=NOW, cause=Cause.UNSPECIFIED) if away else None,
        }
        forces = _some(draw, FORCES, draw.choice((0, 3, 3)))
        nodes.append(roster_node(name, KEYS[name], task_forces=forces).model_copy(update=changes))
    rule = PolicyRule(
        id="extra",
        effect=draw.choice(tuple(Effect)),
        words="so",
        kinds=draw.choice((None, _some(draw, KINDS, 1))),
        recipients=draw.choice((None, _some(draw, NODES, 1))),
        only=draw.choice((None, *Only)),
    )
    opened = tuple(Opening(task_force=code, node=node, kinds=_some(draw, KINDS, 1)) for code, node in _pairs(draw))
    suspended = tuple(Suspension(task_force=code, node=node) for code, node in _pairs(draw))
    rules = draw.choice((None, None, (rule, *default_rules()), (*default_rules(), rule)))
    policy = Policy(rules=rules, opened=opened or None, suspended=suspended or None)
    return Roster(version=version, at=at, nodes=tuple(nodes), policy=policy)


def message(draw: Random) -> dict[str, Any]:
    # Mostly what members send to few, or most of it would be refused.
    among = draw.choice((NODES, MEMBERS, MEMBERS))
    sender, *recipients = draw.sample(among, draw.choice((2, 2, 2, 3, len(among))))
    return {
        "sender": sender,
        "recipients": recipients,
        "agency": draw.choice(tuple(Agency)),
        "task_force": draw.choice(FORCES),
        "kind": draw.choice(("alert", *KINDS)),
        "handling": draw.choice(tuple(Handling)),
    }


def header(said: dict[str, Any], created: int = NOW) -> Header:
    fields = said | {"recipients": tuple(sorted(said["recipients"])), "created": created, "expires": created + HOUR}
    made = routing(**fields).model_dump()
    return Header(**made, suite="SECI1-EdDSA", digest=bytes(32), size=64)


def hub_takes(found: Header, trust: Trust) -> bool:
    if found.sender not in trust.then(found.created).nodes or not trust.nodes[found.sender].active:
        return False
    try:
        check_policy(found, trust, NOW)
    except Refused:
        return False
    return True


def takes(found: Header, trust: Trust, node: str) -> bool:
    try:
        inbox._check_policy(found, node, trust)
    except inbox._Declined:
        return False
    return True


def test_of_one_roster_all_three_say_the_same() -> None:
    taken = 0
    for number in range(ROSTERS):
        draw = Random(number)
        trust = Trust.of(roster(draw))
        for _ in range(EACH):
            said = message(draw)
            found = header(said)
            hub = hub_takes(found, trust)
            assert hub == all(takes(found, trust, node) for node in found.recipients), (number, said)
            assert _sends(said, trust, hub=hub) == hub, (number, said)
            taken += hub
    assert 50 < taken < ROSTERS * EACH - 50


def _sends(said: dict[str, Any], trust: Trust, *, hub: bool) -> bool:
    fields = {name: said[name] for name in ("agency", "task_force", "kind", "handling")}
    body = registry.newest(said["kind"]).examples[0] | {"restrictions": "none"}
    posted = Outgoing.model_validate(fields | {"to": said["recipients"], "body": body})
    try:
        route(posted, said["sender"], trust, None, NOW)
    except RoutingRefused as error:
        # What a kind asks of care holds whatever a roster's rules allow: the recipient declines it, too.
        return hub and error.code in ("handling_not_of_kind", "recipients_not_named")
    return True


def test_what_the_hub_takes_by_the_roster_of_then_or_now_no_recipient_declines() -> None:
    by_one = 0
    for number in range(ROSTERS):
        draw = Random(number)
        earlier = Earlier(sign_roster(roster(draw, 1, NOW - 2 * HOUR), HUB.signing), HUB.signing.public)
        trust = replace(Trust.of(roster(draw, 2, NOW - 1000)), earlier=(earlier,))
        for _ in range(EACH):
            said = message(draw)
            then, now = header(said, NOW - HOUR // 2), header(said)
            hub = hub_takes(then, trust)
            if hub:
                assert all(takes(then, trust, node) for node in then.recipients), (number, said)
                # However it is dated, it gets to nobody who takes no part now.
                assert all(trust.access.takes_part(node, then.task_force) for node in then.recipients), (number, said)
            # What is allowed now is taken, however it is dated.
            assert hub or not hub_takes(now, trust), (number, said)
            by_one += hub != hub_takes(now, trust)
    assert by_one > 10
