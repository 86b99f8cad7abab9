"""The policy at the hub: what operators ask and change, in a real database, and what the rosters and the ledger say."""

from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from crypto.trust import open_roster
from hub import policies, registrar, tables
from hub.errors import PolicyRefused
from hub.pen import writing
from hub.policies import Asked, explain, imagined
from schemas.access import Access
from schemas.codes import Handling
from schemas.participants import Category
from schemas.policy import Effect, Policy, PolicyRule, default_rules
from schemas.refusals import RefusalCode
from schemas.roster import Cause, NodeState, Roster, Standing
from tests.crypto.people import BG, RO, roster_key, roster_node
from tests.hub.ownhub import OwnHub

NODES = (roster_node("bg", roster_key(BG.signing)), roster_node("ro", roster_key(RO.signing)))
RULE = PolicyRule(id="iom", effect=Effect.ALLOW, words="w", senders=(Category.MEMBER,), recipients=("iom",))
ASKED = Asked("bg", "iom", "drugs", "drugs.seizure", Handling.H2)


def access(policy: Policy | None = None) -> Access:
    nodes = (*NODES, *imagined(NODES, ("iom", "interpol")))
    return Access.of(Roster(version=1, at=1, nodes=nodes, policy=policy))


def test_the_question_of_the_issue_is_answered_with_the_rule() -> None:
    found = explain(access(), ASKED)
    assert (found.allowed, found.rule and found.rule.id) == (False, "personal")
    found = explain(access(policies.with_rule(Policy(), RULE, None, NODES)), ASKED)
    assert (found.allowed, found.rule, found.number) == (True, RULE, 1)


def test_what_comes_before_the_rules_is_told() -> None:
    vehicles = Asked("bg", "ro", "vehicles", "alert", Handling.H1)
    assert explain(access(), vehicles).words == "before any rule: bg is not a member of vehicles"


def test_who_is_shut_out_is_not_taken_for_somebody_outside_the_task_force() -> None:
    standing = Standing(state=NodeState.SUSPENDED, since=1, cause=Cause.UNSPECIFIED)
    bg, ro = NODES
    for nodes, code in (
        ((bg.model_copy(update={"standing": standing}), ro), RefusalCode.SENDER_SUSPENDED),
        ((bg, ro.model_copy(update={"standing": standing})), RefusalCode.RECIPIENT_SUSPENDED),
    ):
        found = explain(
            Access.of(Roster(version=1, at=1, nodes=nodes)), Asked("bg", "ro", "drugs", "alert", Handling.H1)
        )
        assert found.code == code and "is suspended" in found.words


def test_a_rule_stands_where_it_was_put_and_goes_again() -> None:
    policy = policies.with_rule(Policy(), RULE, "opened", NODES)
    assert [rule.id for rule in policy.table][-2:] == ["iom", "opened"]
    assert list(policies.differences(policy.table)) == [("added", RULE)]
    assert policies.without_rule(policy, "iom").table == default_rules()
    gone = policies.without_rule(policy, "personal")
    assert [what for what, _ in policies.differences(gone.table)] == ["removed", "added"]


def test_a_table_in_another_order_differs() -> None:
    first, second, *rest = default_rules()
    assert [(what, rule.id) for what, rule in policies.differences((second, first, *rest))] == [
        ("moved", second.id),
        ("moved", first.id),
    ]


@pytest.mark.parametrize(
    "fields", [{"id": "opened"}, {"senders": ("bulgaria",)}, {"kinds": ("drug.*",)}, {"task_forces": ("piracy",)}]
)
def test_a_rule_that_names_what_there_is_not_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(PolicyRefused):
        policies.with_rule(Policy(), RULE.model_copy(update=fields), None, NODES)


@pytest.mark.system
def test_what_an_operator_changes_is_in_the_roster_the_ledger_and_the_tables(own: OwnHub) -> None:
    assert own.type("provision")[0] == 0
    question = ["--from", "BG", "--to", "IOM", "--kind", "drugs.seizure", "--task-force", "drugs", "--handling", "H2"]
    code, found = own.type("policy", "explain", *question)
    assert (code, found["allowed"], found["rule"], found["assumed"]) == (4, False, "personal", ["bg", "iom"])
    rule = ["--effect", "allow", "--words", "seizures are told to IOM", "--from", "member", "--to", "iom"]
    code, done = own.type("policy", "add", "iom", *rule, "--kind", "drugs.*", "--reason", "JCC 19")
    assert (code, done["roster"]) == (0, 2)
    assert own.type("policy", "explain", *question)[0] == 0
    assert own.type("policy", "diff")[0] == 3
    pairs = ["--kind", "drugs.seizure", "--task-force", "drugs", "--node", "bg", "--node", "iom"]
    found = own.type("policy", "matrix", *pairs)[1]["pairs"]
    assert [(pair["from"], pair["to"], pair["rule"]) for pair in found] == [
        ("bg", "iom", "iom"),
        ("iom", "bg", "personal"),
    ]
    assert own.type("policy", "reset", "--reason", "JCC 20")[1]["roster"] == 3
    assert own.type("policy", "diff")[0] == 0
    code, refused = own.type("coordinator", "set", "drugs", "bg", "--reason", "JCC 20")
    assert (code, refused["code"]) == (2, "policy_change_refused")
    listed = own.type("policy", "list")[1]
    assert [(change["reason"], change["change"]) for change in listed["changes"]][1] == ("JCC 19", "rule iom added")
    assert {item["task_force"]: item["node"] for item in listed["coordinators"]}["salw"] == "al"
    [reset, added, *_] = own.type("ledger", "search", "--event", "operator")[1]["entries"]
    assert ["JCC 20" in reset["detail"], "rule iom added" in added["detail"]] == [True, True]
    assert own.type("ledger", "verify")[0] == 0


@pytest.mark.system
async def test_a_roster_for_another_reason_keeps_the_policy(own: OwnHub, own_engine: AsyncEngine) -> None:
    log = own.log
    async with writing(own_engine, log) as connection:
        policy = policies.with_rule(Policy(), RULE, None, NODES)
        await registrar.publish_roster(connection, log, NODES, log.signer.key)
        await registrar.publish(connection, log, NODES, log.signer.key, registrar.Change(policy))
        await registrar.publish_roster(connection, log, NODES[:1], log.signer.key)
        signed = await registrar.newest(connection, 0) or b""
        versions = (await connection.execute(select(tables.policy_rule.c.version).distinct())).scalars()
        assert sorted(versions) == [1, 2]
        first = select(tables.policy_rule).where(tables.policy_rule.c.version == 2, tables.policy_rule.c.number == 1)
        row = (await connection.execute(first)).one()
    assert (row.id, row.senders, row.recipients, row.mutual, row.kinds) == ("iom", ["member"], ["iom"], False, None)
    found = open_roster(signed, log.signer.key.public)
    assert found.policy is not None
    assert (found.version, found.policy.table[0]) == (3, RULE)
