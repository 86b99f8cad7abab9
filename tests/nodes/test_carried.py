"""What is carried in another message goes to nobody who may not have it by itself; the hub cannot see that."""

import pytest

from crypto.keyfile import NodeKeys
from crypto.trust import Trust
from nodes import inbox
from nodes.errors import RoutingRefused
from nodes.outgoing import Outgoing, route
from schemas import registry
from schemas.codes import Handling
from schemas.participants import Category
from schemas.policy import Effect, Policy, PolicyRule, default_rules
from tests.crypto.people import NAMES, NOW, person, roster_key, roster_node, roster_of, sealed

MOVEMENT = dict(registry.newest("witness.movement").examples[0])
ALERT = {"title": "Trucks", "text": "By Giurgiu."}
OTHERS = {"interpol": Category.ADVISER, "iom": Category.OBSERVER_INSTITUTION}


def trust(*rules: PolicyRule) -> Trust:
    nodes = [
        roster_node(name, roster_key(person(name).signing), roster_key(person(name).encryption)).model_copy(
            update={"category": OTHERS.get(name, Category.MEMBER)}
        )
        for name in sorted({*NAMES, "ro", *OTHERS})
    ]
    policy = Policy(rules=(*rules, *default_rules()))
    return Trust.of(roster_of(*nodes).model_copy(update={"policy": policy}))


def forward(kind: str, body: dict[str, object]) -> dict[str, object]:
    return {
        "message": "01a20f97-e270-71d7-88d6-b834d3465199",
        "provider": "ro",
        "content": {"kind": kind, "body": body},
    }


def sends(trust: Trust, kind: str, body: dict[str, object], *to: str) -> tuple[str, ...]:
    fields = {"kind": "forward", "task_force": "drugs", "to": to or None, "handling": "H2"}
    return route(Outgoing.model_validate(fields | {"body": forward(kind, body)}), "ro", trust, None, NOW).recipients


def takes(trust: Trust, kind: str, body: dict[str, object], node: str, *to: str) -> inbox.Received:
    who, data = person(node), registry.body_bytes("forward", 1, forward(kind, body))
    envelope = sealed(data, "ro", tuple(sorted(to or (node,))), kind="forward", handling=Handling.H2)
    return inbox.receive(envelope, node, NodeKeys(who.signing, (who.encryption,), bytes(32)), trust, NOW)


def test_who_may_not_have_a_witness_s_movement_gets_none_handed_on() -> None:
    known = trust()
    with pytest.raises(RoutingRefused, match=r"witness.movement in forward to interpol.*witness-outsiders"):
        sends(known, "witness.movement", MOVEMENT, "interpol")
    assert sends(known, "alert", ALERT, "interpol") == ("interpol",)
    found = takes(known, "witness.movement", MOVEMENT, "interpol")
    # The hub could not see it, and is not blamed.
    assert (found.code, found.let_through) == ("policy_refused", False)
    assert takes(known, "alert", ALERT, "interpol").code is None


def test_an_observer_among_the_members_does_not_make_all_the_others_a_few() -> None:
    known, all_members = trust(), tuple(sorted({*NAMES, "ro"} - {"ro"}))
    with pytest.raises(RoutingRefused, match="witness-named"):
        sends(known, "witness.movement", MOVEMENT, *all_members)
    assert takes(known, "witness.movement", MOVEMENT, "bg", *all_members).code == "policy_refused"


def test_a_message_to_all_goes_to_who_may_have_what_it_carries() -> None:
    rule = PolicyRule(id="no-cash", effect=Effect.REFUSE, words="no", recipients=("hu",), kinds=("alert",))
    assert set(sends(trust(rule), "alert", ALERT)) == {*NAMES, "interpol"} - {"hu"}
    known = trust(rule)
    assert takes(known, "alert", ALERT, "hu").code == "policy_refused"
    # A task force may be told of what only others use.
    assert sends(known, "vehicle.stolen", dict(registry.newest("vehicle.stolen").examples[0]), "hu") == ("hu",)
