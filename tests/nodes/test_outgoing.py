"""What a kind demands of its routing is refused at the sender: handling, and recipients that are named."""

from typing import Any

import pytest

from nodes.errors import RoutingRefused
from nodes.outgoing import Outgoing, route
from schemas.registry import newest
from tests.crypto.people import NOW, trust

MOVEMENT = dict(newest("witness.movement").examples[0])
CARRIED = {"kind": "witness.movement", "kind_version": 1, "body": MOVEMENT}
FORWARD = {"message": "01a20f97-e270-71d7-88d6-b834d3465199", "provider": "bg", "content": CARRIED}


def routed(**changes: Any) -> tuple[str, ...]:
    fields = {"kind": "witness.movement", "task_force": "drugs", "to": ["bg"], "handling": "H3", "body": MOVEMENT}
    return route(Outgoing.model_validate(fields | changes), "ro", trust(), None, NOW).recipients


@pytest.mark.parametrize("handling", ["H2", "H3"])
def test_a_witness_is_moved_between_named_nodes_under_the_strictest_handling(handling: str) -> None:
    assert routed(handling=handling, to=["bg", "hu"]) == ("bg", "hu")
    assert routed(kind="forward", body=FORWARD, handling=handling) == ("bg",)


@pytest.mark.parametrize("message", [{}, {"kind": "forward", "body": FORWARD}], ids=["itself", "handed on"])
@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"handling": "H0"}, "handling_not_of_kind"),
        ({"handling": "H1"}, "handling_not_of_kind"),
        ({"to": None}, "recipients_not_named"),
    ],
)
def test_less_care_is_refused_with_what_to_do(message: dict[str, Any], change: dict[str, Any], code: str) -> None:
    with pytest.raises(RoutingRefused) as caught:
        routed(**message, **change)
    assert caught.value.code == code
    assert "witness.movement" in str(caught.value)
    assert caught.value.next_step


def test_other_kinds_go_to_all_under_any_handling() -> None:
    body = {"title": "t", "text": "x"}
    assert len(routed(kind="alert", body=body, to=None, handling="H0")) > 2
