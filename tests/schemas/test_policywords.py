"""What a new roster changes in the policy is said, whatever it is: an unseen rule opens what it likes."""

from typing import Any

import pytest

from schemas import policywords, rosterwords
from schemas.policy import Policy, PolicyRule, default_rules
from schemas.roster import Roster

RULE = {"id": "iom-victims", "effect": "allow", "words": "victims are referred to IOM", "recipients": ["iom"]}
ADDED = PolicyRule.model_validate(RULE)
SAFE = default_rules()


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({}, {"rules": (ADDED, *SAFE)}, ["rule iom-victims is new, the 1. to be asked: allow to iom"]),
        ({"rules": (ADDED, *SAFE)}, {}, ["rule iom-victims is taken away"]),
        (
            {"rules": (ADDED, *SAFE)},
            {"rules": (ADDED.model_copy(update={"recipients": None}), *SAFE)},
            ["rule iom-victims is changed, the 1. to be asked: allow anything"],
        ),
        (
            {"rules": SAFE[:2]},
            {"rules": SAFE[1::-1]},
            [f"the rules are asked in another order: {SAFE[1].id}, {SAFE[0].id}"],
        ),
        ({}, {"coordinators": ()}, None),
        (
            {"opened": ({"task_force": "drugs", "node": "iom", "kinds": ("operation.plan", "request")},)},
            {"opened": ({"task_force": "drugs", "node": "iom", "kinds": ("request", "vehicle.stolen")},)},
            ["vehicle.stolen is opened to iom in drugs", "operation.plan is closed to iom in drugs"],
        ),
        ({}, {"suspended": ({"task_force": "wmd", "node": "hr"},)}, ["hr is suspended from wmd by its coordinator"]),
        ({"suspended": ({"task_force": "wmd", "node": "hr"},)}, {}, ["hr is suspended from wmd no more"]),
    ],
)
def test_each_change_of_the_policy_is_said(
    before: dict[str, Any], after: dict[str, Any], said: list[str] | None
) -> None:
    old, new = Policy.model_validate(before), Policy.model_validate(after)
    found = policywords.differences(old, new)
    if said is None:
        said = [f"coordinator of {code}: {node} becomes nobody" for code, node in sorted(Policy().leaders.items())]
    assert found == said
    # So it is in the history of rosters, of which nothing else differs.
    rosters = [Roster(version=number, at=1, nodes=(), policy=one) for number, one in enumerate((old, new), 1)]
    assert rosterwords.differences(*rosters) == said
    assert rosterwords.differences(rosters[0], rosters[0]) == []
    assert policywords.differences(None, Policy()) == []


def test_a_revocation_list_alone_is_said_too() -> None:
    first, second = (Roster(version=number, at=1, nodes=(), crl=crl) for number, crl in ((1, None), (2, b"x")))
    assert rosterwords.differences(first, second) == ["nothing but the revocation list of TLS certificates"]
