"""Another certification authority takes the place of the exchange's while messages go on, and none is lost."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

from crypto.certificates import issuer_of, read_authorities, read_certificate
from crypto.keyfile import tls_password
from crypto.tls import client_context
from deploy.local.errors import CommandFailed
from deploy.local.exchange import Exchange
from nodes.errors import BrokerUnreachable
from nodes.link import connect
from nodes.settings import Settings
from tests.system.conftest import NODES
from tests.system.play import await_delivered, check_nothing_lost, kill, talking, until

pytestmark = pytest.mark.system

AWAY = "hr"


def _nodes(exchange: Exchange, field: str) -> dict[str, Any]:
    return {node["node"]: node[field] for node in exchange.hub("ca", "show")["nodes"]}


def _have(exchange: Exchange, field: str, value: str, without: tuple[str, ...] = ()) -> bool:
    """Whether the hub knows that of all nodes but some; it is asked once the nodes' folders say so."""
    there = set(NODES) - set(without)
    if not all(_has(exchange.node_home(node), field, value) for node in there):
        return False
    return {node for node, found in _nodes(exchange, field).items() if found == value} == there


def _has(home: Path, field: str, value: str) -> bool:
    trusted = read_authorities((home / "ca.pem").read_bytes())
    if field == "trusts":
        return len(trusted) == (2 if value == "both" else 1)
    return issuer_of(read_certificate((home / "tls.pem").read_bytes()), trusted[:1]) is not None


async def _logs_in(home: Path, settings: Settings) -> None:
    context = client_context(
        home / "ca.pem", home / "tls.pem", home / "tls.key", tls_password(home / "tls.key", settings.secret())
    )
    await (await connect(settings, context, "test")).close()


@pytest.mark.long
def test_another_authority_takes_over_under_load_with_a_node_away(exchange: Exchange, tmp_path: Path) -> None:
    old, settings = tmp_path / "old", Settings.load(exchange.node_home("ro"))
    old.mkdir()
    for name in ("ca.pem", "tls.pem", "tls.key", "tls.key.password"):
        shutil.copy(exchange.node_home("ro") / name, old / name)
    with talking(exchange, ("bg", "ro"), ("ro", "bg"), ("bg", AWAY), pause_s=0.4) as sent:
        kill(exchange, f"node-{AWAY}")
        assert exchange.hub("ca", "roll")["stage"] == "rolled"
        until("both trusted by who is there", lambda: _have(exchange, "trusts", "both", (AWAY,)))
        switched = exchange.hub("ca", "switch")
        assert (switched["stage"], switched["broker"]) == ("switched", "old")
        until("certificates of the new one", lambda: _have(exchange, "certificate", "new", (AWAY,)))
        with pytest.raises(CommandFailed, match="ca ended with 4"):
            exchange.hub("ca", "finish")
        # With what it knew before: the broker's certificate is of the old authority still.
        assert len(read_authorities((exchange.node_home(AWAY) / "ca.pem").read_bytes())) == 1
        exchange.start_node(AWAY)
        exchange.await_nodes([AWAY])
        until("the last certificate", lambda: _have(exchange, "certificate", "new"))
        asyncio.run(_logs_in(old, settings))
        finished = exchange.hub("ca", "finish")
        assert (finished["stage"], finished["broker"]) == ("settled", "new")
        with pytest.raises(BrokerUnreachable):
            asyncio.run(_logs_in(old, settings))
        until("the old one dropped", lambda: _have(exchange, "trusts", "new"))
        # All connections anew, with what is in the folders now.
        for name in ("node-bg", "node-ro", "hub"):
            kill(exchange, name)
        exchange.start_hub()
        for node in ("bg", "ro"):
            exchange.start_node(node)
        exchange.await_nodes(["bg", "ro"])
    await_delivered(exchange, sent)
    check_nothing_lost(exchange, sent, ("bg", "ro", AWAY))
    acts = [entry["detail"] for entry in exchange.hub("ledger", "search", "--event", "operator")["entries"]]
    assert all(any(f"ca={step}" in str(act) for act in acts) for step in ("roll", "switch", "finish"))
