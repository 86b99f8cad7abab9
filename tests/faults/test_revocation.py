"""A node whose broker user is taken away: out at once and for as long, told so, and nothing of it lost."""

import time

import pytest

from deploy.local.exchange import Exchange
from tests.faults.conftest import Scenario
from tests.faults.steps import is_linked, states, status
from tests.system.play import until

pytestmark = pytest.mark.system
# It takes a second or two; a machine that is busy with other tests may take longer.
DROPPED_S = 20.0


def test_broker_user_deleted(exchange: Exchange, scenario: Scenario) -> None:
    broker = exchange.services.broker
    others = [node for node in exchange.nodes if node != "hr"]
    with scenario() as load:
        links = {node: status(exchange, node)["link"] for node in others}
        began = time.monotonic()
        try:
            broker.run_ctl(["delete_user", "node-hr"])
            until("link of hr down", lambda: not is_linked(exchange, "hr"))
            assert time.monotonic() - began < DROPPED_S
            until("refused when it comes back", lambda: "ACCESS_REFUSED" in status(exchange, "hr")["link"]["reason"])
            began = len(load.posts)
            load.go_on(20)
            meanwhile = load.posts[began:]
            assert "node-hr" not in broker.run_ctl(["list_connections", "user"]).split()
            assert states(exchange, [post for post in meanwhile if post.sender == "hr"]) == {"queued"}
            from_others = [post for post in meanwhile if post.sender != "hr"]
            until("others go on", lambda: states(exchange, from_others) == {"accepted"})
            assert {node: status(exchange, node)["link"] for node in others} == links
        finally:
            exchange.hub("provision")
