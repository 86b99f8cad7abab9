"""The default policy by the Centre's document, what a rule fits, and what a roster's own table changes."""

from itertools import product
from typing import Any

import pytest

from schemas.access import Access
from schemas.codes import TASK_FORCES, Agency, Handling, Priority
from schemas.control import ControlRefused
from schemas.header import Routing
from schemas.kinds.drugs import DrugsSeizure
from schemas.kinds.operations import OperationReport
from schemas.participants import PARTICIPANTS, Category, category_of, in_category
from schemas.personal import PERSONAL_KINDS, holds_persons
from schemas.policy import (
    PERSONAL,
    Coordinator,
    Effect,
    Only,
    Opening,
    Policy,
    PolicyRule,
    Suspension,
    default_rules,
)
from schemas.registry import RULES
from schemas.roster import Cause, NodeState, Roster, RosterNode, Standing
from schemas.usage import USED_BY
from tests.crypto.people import routing

OUTSIDERS = ("at", "us", "iom", "spoc", "cei", "seesac")


def access(policy: Policy | None = None, **memberships: tuple[str, ...]) -> Access:
    """All participants, in all task forces but where `memberships` says otherwise."""
    nodes = tuple(
        RosterNode(
            node=node,
            name=found.name,
            category=found.category,
            agencies=(Agency.POLICE, Agency.CUSTOMS),
            task_forces=memberships.get(node, tuple(sorted(TASK_FORCES))),
            keys=(),
        )
        for node, found in sorted(PARTICIPANTS.items())
    )
    return Access.of(Roster(version=1, at=1, nodes=nodes, policy=policy))


DEFAULT = access()


def asked(found: Access = DEFAULT, sender: str = "bg", *recipients: str, **changes: Any) -> str:
    """The code of the refusal, or nothing."""
    denied = found.denial(message(sender, *recipients, **changes))
    return "" if denied is None else str(denied.code)


def message(sender: str = "bg", *recipients: str, **changes: Any) -> Routing:
    return routing(sender, tuple(sorted(recipients or ("ro",))), priority=Priority.NORMAL, **changes)


def test_members_and_the_centre_exchange_every_kind_that_a_task_force_uses() -> None:
    for code, kinds in USED_BY.items():
        for kind, (sender, recipient) in product(kinds, (("bg", "ro"), ("seci", "tr"), ("si", "seci"))):
            assert asked(DEFAULT, sender, recipient, task_force=code, kind=kind, handling=Handling.H2) == ""


def test_a_kind_goes_only_in_the_task_forces_that_use_it_and_those_are_named() -> None:
    denied = DEFAULT.denial(message(task_force="vehicles", kind="drugs.seizure"))
    assert denied is not None
    assert denied.code == "kind_not_of_task_force"
    assert "used by drugs" in denied.detail
    # A sub-project uses what its parent does.
    assert asked(task_force="salw", kind="terrorism.alert") == ""
    assert asked(task_force="terrorism", kind="firearm.trace") == "kind_not_of_task_force"


@pytest.mark.parametrize("adviser", in_category(Category.ADVISER), ids=lambda found: found.node)
def test_an_adviser_takes_part_in_its_matters(adviser: Any) -> None:
    other = ({Agency.POLICE, Agency.CUSTOMS} - {adviser.matters}).pop()
    for pair in (("bg", adviser.node), (adviser.node, "bg"), ("seci", adviser.node)):
        assert asked(DEFAULT, *pair, agency=adviser.matters, kind="request") == ""
        assert asked(DEFAULT, *pair, agency=other, kind="request") == "policy_refused"
    assert asked(DEFAULT, "us", adviser.node, agency=adviser.matters) == "policy_refused"


@pytest.mark.parametrize("outsider", OUTSIDERS)
def test_who_is_no_member_gets_what_a_coordinator_opened_and_no_data_of_persons(outsider: str) -> None:
    kinds = ("operation.plan", "alert")
    opened = access(Policy(opened=(Opening(task_force="trafficking", node=outsider, kinds=kinds),)))
    for pair in (("bg", outsider), (outsider, "bg")):
        given: dict[str, Any] = {"task_force": "trafficking"}
        assert asked(DEFAULT, *pair, kind="operation.plan", **given) == "policy_refused"
        assert asked(opened, *pair, kind="operation.plan", **given) == ""
        assert asked(opened, *pair, kind="alert", **given) == "policy_refused"
        assert asked(opened, *pair, kind="operation.plan", task_force="drugs") == "policy_refused"
    assert asked(opened, "at" if outsider != "at" else "us", outsider, kind="operation.plan", **given) != ""


def test_a_rule_of_the_operators_may_let_data_of_persons_through() -> None:
    rule = PolicyRule(
        id="iom-victims",
        effect=Effect.ALLOW,
        words="victims are referred to IOM (page 11)",
        senders=(Category.MEMBER,),
        recipients=("iom",),
        task_forces=("trafficking",),
        kinds=("trafficking.victim_*",),
        handling=(Handling.H0, Handling.H1),
    )
    found = access(Policy(rules=(rule, *default_rules())))
    given: dict[str, Any] = {"task_force": "trafficking", "kind": "trafficking.victim_referral"}
    assert asked(found, "ro", "iom", handling=Handling.H1, **given) == ""
    assert asked(found, "ro", "iom", handling=Handling.H2, **given) == "policy_refused"
    assert asked(found, "iom", "ro", handling=Handling.H1, **given) == "policy_refused"
    assert asked(found, "ro", "icmpd", handling=Handling.H1, **given) == "policy_refused"


def test_a_witness_s_movement_stays_with_members_who_are_named_under_a_strict_handling() -> None:
    given: dict[str, Any] = {"task_force": "trafficking", "kind": "witness.movement"}
    assert asked(DEFAULT, "ro", "ba", "seci", handling=Handling.H3, **given) == ""
    assert asked(DEFAULT, "ro", "ba", handling=Handling.H1, **given) == "policy_refused"
    assert asked(DEFAULT, "ro", "interpol", handling=Handling.H3, **given) == "policy_refused"
    # All but the observers, who are members by name and would not get it.
    everybody = [*{found.node for found in in_category(Category.MEMBER)} - {"ro"}, "seci"]
    assert asked(DEFAULT, "ro", *everybody, handling=Handling.H3, **given) == "policy_refused"
    # Of a small task force all may be named.
    few = access(None, **dict.fromkeys(PARTICIPANTS, ()) | dict.fromkeys(("ro", "ba"), ("drugs",)))
    assert asked(few, "ro", "ba", **given | {"task_force": "drugs", "handling": Handling.H3}) == ""


def test_a_sub_project_inherits_members_until_its_coordinator_says_otherwise() -> None:
    found = access(bg=("terrorism",), ro=("salw",), tr=())
    assert [found.is_member("bg", code) for code in ("terrorism", "salw", "wmd", "drugs")] == [True, True, True, False]
    assert [found.is_member("ro", code) for code in ("terrorism", "salw")] == [False, True]
    out = access(Policy(suspended=(Suspension(task_force="salw", node="bg"),)), bg=("terrorism",))
    assert [out.is_member("bg", code) for code in ("terrorism", "salw", "wmd")] == [True, False, True]
    assert asked(out, "bg", "ro", task_force="salw") == "not_a_member"
    assert asked(out, "ro", "bg", task_force="salw") == "recipient_not_a_member"
    assert "suspended from salw" in out.outside("bg", "salw")
    # Suspended from the parent, it is out of what stands under it, but where it was admitted by name.
    out = access(Policy(suspended=(Suspension(task_force="terrorism", node="bg"),)), bg=("terrorism", "wmd"))
    assert [out.is_member("bg", code) for code in ("terrorism", "salw", "wmd")] == [False, False, True]


def test_a_node_that_is_shut_out_takes_no_part_though_it_is_a_member() -> None:
    found = access(bg=("drugs",), ro=("drugs",))
    since = Standing(state=NodeState.SUSPENDED, since=0, cause=Cause.UNSPECIFIED)
    nodes = [
        node.model_copy(update={"standing": since}) if node.node == "bg" else node for node in found.nodes.values()
    ]
    out = Access.of(Roster(version=1, at=0, nodes=tuple(nodes)))
    assert set(found.members("drugs")) - set(out.members("drugs")) == {"bg"}
    # So a recipient refuses what a hub lets through all the same.
    assert asked(found, "bg", "ro", task_force="drugs") == ""
    assert asked(out, "bg", "ro", task_force="drugs") == "not_a_member"
    assert asked(out, "ro", "bg", task_force="drugs") == "recipient_not_a_member"


def test_a_suspended_outsider_gets_nothing_even_if_it_is_opened() -> None:
    opening = Opening(task_force="trafficking", node="iom", kinds=("operation.plan",))
    given: dict[str, Any] = {"task_force": "trafficking", "kind": "operation.plan"}
    assert asked(access(Policy(opened=(opening,)), iom=()), "ro", "iom", **given) == ""
    out = Policy(opened=(opening,), suspended=(Suspension(task_force="trafficking", node="iom"),))
    assert asked(access(out, iom=()), "ro", "iom", **given) == "recipient_not_a_member"


def test_coordinators_are_those_of_the_document_or_the_roster_s() -> None:
    document = {"trafficking": "ro", "salw": "al", "wmd": "ro", "terrorist-groups": "tr", "drugs": None}
    assert {code: DEFAULT.coordinator(code) for code in document} == document
    found = access(Policy(coordinators=(Coordinator(task_force="terrorism", node="tr"),)))
    assert [found.coordinator(code) for code in ("terrorism", "salw", "trafficking")] == ["tr", "tr", None]


def test_a_message_that_names_nobody_reaches_whoever_may_have_it() -> None:
    given: tuple[Any, ...] = ("bg", Agency.POLICE, "trafficking")
    members = {*(found.node for found in in_category(Category.MEMBER)), "seci"} - {"bg"}
    assert set(DEFAULT.reached(*given, "alert", Handling.H1)) == members | {"interpol"}
    opened = access(Policy(opened=(Opening(task_force="trafficking", node="iom", kinds=("operation.plan",)),)))
    assert set(opened.reached(*given, "operation.plan", Handling.H1)) == members | {"interpol", "iom"}


def test_every_rule_of_the_table_decides_something() -> None:
    # One that never does is one that somebody believes in for nothing.
    opened = access(Policy(opened=(Opening(task_force="drugs", node="iom", kinds=("operation.plan",)),)))
    decided = set()
    kinds = ("alert", "drugs.seizure", "operation.plan", "witness.movement")
    everyone = ("bg", "iom", "at", "interpol", "wco")
    every = product(
        ("bg", "iom"), everyone, Agency, ("drugs", "salw"), kinds, (Handling.H1, Handling.H3), (True, False)
    )
    for sender, recipient, agency, task_force, kind, handling, whole in every:
        found = opened.decide(sender, recipient, agency, task_force, kind, handling, whole=whole)
        decided.add(found.rule and found.rule.id)
    assert decided == {None, *(rule.id for rule in default_rules())}


def test_rules_name_what_there_is() -> None:
    for rule in default_rules():
        for name in (*(rule.senders or ()), *(rule.recipients or ())):
            assert name in {*Category, *PARTICIPANTS}
        assert set(rule.kinds or ()) <= {*RULES, PERSONAL}
    assert PERSONAL not in RULES


def test_kinds_with_data_of_persons_are_read_off_their_models() -> None:
    free = {"administrative.notice", "operation.plan", "operation.report", "permission", "permission.request"}
    assert set(RULES) - PERSONAL_KINDS == free
    # No rule says that it is about persons, but its entities may be.
    assert not RULES["drugs.seizure"].personal
    assert holds_persons(DrugsSeizure)
    assert not holds_persons(OperationReport)


def test_a_member_s_successor_is_a_member() -> None:
    assert [category_of(node) for node in ("ro", "rs", "me", "iom", "zz")] == [
        *(Category.MEMBER, Category.MEMBER, Category.MEMBER, Category.OBSERVER_INSTITUTION, Category.PARTNER)
    ]


def test_a_policy_comes_back_as_it_was_in_its_roster_and_a_roster_without_one_too() -> None:
    whole = Policy(
        rules=default_rules(),
        coordinators=(Coordinator(task_force="drugs", node="bg"),),
        opened=(Opening(task_force="drugs", node="iom", kinds=("alert",)),),
        suspended=(Suspension(task_force="drugs", node="ro"),),
    )
    for policy in (whole, Policy(), None):
        roster = Roster(version=1, at=1, nodes=(), policy=policy)
        assert Roster.from_bytes(roster.to_bytes()) == roster
    assert b"policy" not in Roster(version=1, at=1, nodes=()).to_bytes()


@pytest.mark.parametrize("field", ["rules", "coordinators", "opened", "suspended"])
def test_nothing_stands_in_a_policy_twice(field: str) -> None:
    rule = PolicyRule(id="a", effect=Effect.REFUSE, words="no", only=Only.WHOLE)
    one: dict[str, Any] = {
        "rules": rule,
        "coordinators": Coordinator(task_force="drugs", node="bg"),
        "opened": Opening(task_force="drugs", node="iom", kinds=("alert",)),
        "suspended": Suspension(task_force="drugs", node="ro"),
    }
    twice = Policy.model_construct(**{field: (one[field], one[field])})
    with pytest.raises(ControlRefused, match="twice"):
        Policy.from_bytes(twice.to_bytes())
