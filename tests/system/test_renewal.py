"""A node renews its keys and certificate while messages go both ways, and none is lost."""

import time
from typing import Any

import pytest

from crypto.certificates import read_certificate
from crypto.keyfile import NodeKeys, load_node_keys
from deploy.local.exchange import Exchange
from nodes.settings import Settings
from tests.system.play import await_delivered, check_nothing_lost, kill, post, talking, until

pytestmark = pytest.mark.system


def _keys(exchange: Exchange, node: str) -> NodeKeys:
    home = exchange.node_home(node)
    return load_node_keys(home / "node.key", Settings.load(home).secret())


def _serial(exchange: Exchange, node: str) -> int:
    return read_certificate((exchange.node_home(node) / "tls.pem").read_bytes()).serial_number


def _state(exchange: Exchange, node: str) -> dict[str, Any]:
    with exchange.api(node) as api:
        found: dict[str, Any] = api.get("/v1/renewal").raise_for_status().json()
    return found


def test_all_keys_are_renewed_under_load_and_nothing_is_lost(exchange: Exchange) -> None:
    before, serial, ends = _keys(exchange, "hr"), _serial(exchange, "hr"), _state(exchange, "hr")["ends"]
    with talking(exchange, ("bg", "hr"), ("hr", "bg")) as sent:
        state = exchange.node("hr", "renew", "--wait")
        assert (state["pending"], state["wanted"]) == ([], [])
        # Some more with the new keys, and through a connection with the new certificate.
        kill(exchange, "node-hr")
        exchange.start_node("hr")
        exchange.await_nodes(["hr"])
        time.sleep(1)
    after = _keys(exchange, "hr")
    assert after.signing.public != before.signing.public
    assert after.encryption[1:] == before.encryption and after.storage == before.storage
    assert _serial(exchange, "hr") != serial
    assert all(end > ends[what] for what, end in _state(exchange, "hr")["ends"].items())
    await_delivered(exchange, sent)
    check_nothing_lost(exchange, sent, ("bg", "hr"))
    witness = exchange.node("hr", "witness")
    assert (witness["alarm"], witness["listed"]) == (None, "own")


def test_a_renewal_that_is_killed_goes_on(exchange: Exchange) -> None:
    before, home = _keys(exchange, "hr"), exchange.node_home("hr")
    kill(exchange, "hub")
    exchange.node("hr", "renew", "--what", "encryption")
    until("new keys beside the old", lambda: (home / "node.next.key").exists())
    kill(exchange, "node-hr")
    assert _keys(exchange, "hr").to_bytes() == before.to_bytes()
    exchange.start_hub()
    exchange.start_node("hr")
    exchange.await_nodes(["hr"])
    until("the new key in use", lambda: not (home / "node.next.key").exists())
    after = _keys(exchange, "hr")
    assert (after.signing.public, after.encryption[1:]) == (before.signing.public, before.encryption)
    await_delivered(exchange, [("bg", post(exchange, "bg", to=["hr"]))])
