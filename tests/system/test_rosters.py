"""Rosters on a real exchange: a further node, versions that were missed, and a hub that swaps a key.

An exchange of its own: at the end of it a node distrusts its hub.
"""

import asyncio
import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from crypto.keys import EncryptionKey
from crypto.trust import open_roster, sign_roster
from deploy.local.attacker import open_connection
from deploy.local.exchange import Exchange, prepare_tls
from deploy.local.instance import REPOSITORY
from deploy.local.services import running
from hub import database, ledger, registrar
from hub.pen import writing
from hub.settings import Settings
from hub.setup import ledger_of
from hub.topology import inbox_queue
from schemas.control import Entry, Event
from schemas.roster import KeyUse
from tests.system.play import await_delivered, come_back, end, keep_out, lose_keys, post, put_out, until

pytestmark = pytest.mark.system

NODES = ("ro", "bg")


@pytest.fixture(scope="module")
def growing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    """Two nodes and a hub, with the usual settings."""
    folder = tmp_path_factory.mktemp("rosters")
    with running(folder, prepare_tls(folder), erase_after=True) as services:
        exchange = Exchange(folder, services, NODES)
        exchange.set_up()
        exchange.start_hub()
        for node in NODES:
            exchange.start_node(node)
        exchange.await_nodes(NODES)
        yield exchange


def _version(exchange: Exchange, node: str) -> int:
    with exchange.api(node) as api:
        return int(api.get("/v1/status").raise_for_status().json()["roster"]["version"])


def _in_force(exchange: Exchange, node: str) -> list[int]:
    """All versions that are or were in force."""
    with closing(sqlite3.connect(exchange.node_home(node) / "node.db")) as store:
        rows = store.execute("SELECT version FROM roster WHERE size IS NULL ORDER BY version").fetchall()
    return [version for (version,) in rows]


def _await_version(exchange: Exchange, version: int, *nodes: str) -> None:
    for node in nodes:
        until(f"version {version} at {node}", lambda node=node: _version(exchange, node) == version)


def _enrol(exchange: Exchange, node: str, *options: str) -> int:
    request = exchange.node_home(node) / "enrolment.json"
    found = exchange.hub("enrol", str(request), *options, "--out", str(exchange.folder / "welcome"))
    return int(found["roster"])


def _witness(exchange: Exchange, node: str) -> dict[str, Any]:
    found: dict[str, Any] = exchange.node(node, "witness")
    return found


def test_a_node_trusts_a_history_from_its_enrolment_on(growing: Exchange) -> None:
    for node in NODES:
        assert (_witness(growing, node)["followed"] or 0) >= 2
        assert (_version(growing, node), _in_force(growing, node)) == (2, [2])


def _desk(exchange: Exchange) -> str:
    log = exchange.logs / "desk.log"
    log.unlink(missing_ok=True)
    exchange.start_desk()
    until("the join desk is open", lambda: log.exists() and "https://" in log.read_text())
    return str(json.loads(log.read_text().splitlines()[0])["url"])


def _invite(exchange: Exchange, node: str, *options: str) -> Path:
    file = exchange.folder / f"{node}.token"
    exchange.hub("invite", node, "--agency", "police,customs", "--out", str(file), *options)
    return file


def test_a_further_node_is_in_everybody_s_roster_soon_though_the_operator_s_program_dies(growing: Exchange) -> None:
    url, file = _desk(growing), str(_invite(growing, "tr"))
    waits = growing.node("tr", "join", "--hub", url, "--token-file", file, "--wait", "0")
    # Else the desk may be the first to go on.
    end(growing, "desk")
    moment = ["-m", "tests.faults.crash_at", "hub.registrar:publish_roster", "--after", "--", "hub.cli"]
    approve = ["approve", "tr", "--words", waits["words"], "--home", str(growing.hub_home)]
    died = subprocess.run([sys.executable, *moment, *approve], cwd=REPOSITORY, capture_output=True, timeout=120)
    assert died.returncode == -signal.SIGKILL
    # The desk goes on where the program died, and the node, which needs no token any more, is in.
    url = _desk(growing)
    assert growing.node("tr", "join", "--hub", url)["stage"] == "enrolled"
    end(growing, "desk")
    assert growing.hub("invitations", "--all")["invitations"][0]["stage"] == "welcomed"
    growing.start_node("tr")
    growing.await_nodes(["tr"])
    posted = [("tr", post(growing, "tr"))]
    _await_version(growing, 3, *NODES, "tr")
    posted.append(("ro", post(growing, "ro", to=["tr"])))
    await_delivered(growing, posted)
    for node in (*NODES, "tr"):
        assert growing.node(node, "status")["warnings"] == []
        assert all(stage["ok"] for stage in growing.node(node, "doctor")["stages"])


def test_versions_that_were_missed_come_one_after_another(growing: Exchange) -> None:
    end(growing, "hub")
    assert _enrol(growing, "tr", "--task-force", "fraud") == 4
    assert _enrol(growing, "tr", "--task-force", "fraud", "--task-force", "drugs") == 5
    growing.start_hub()
    _await_version(growing, 5, *NODES, "tr")
    for node in NODES:
        assert _in_force(growing, node) == [2, 3, 4, 5]
    await_delivered(growing, [("ro", post(growing, "ro", to=["tr"], task_force="drugs"))])


async def _add_key(exchange: Exchange, node: str) -> bytes:
    """What somebody does who has the hub's key: from now on, messages to the node can be closed to another key too."""
    settings, theirs = Settings.load(exchange.hub_home), EncryptionKey.generate().public
    log, engine = ledger_of(settings), database.engine_of(settings.database_url)
    async with writing(engine, log) as connection:
        current = await registrar.current(connection, log.signer.key.public)
        nodes = {found.node: found for found in current.nodes}
        seal = next(key for key in nodes[node].keys if key.use is KeyUse.SEAL)
        lasts = {"public": theirs.public_bytes(), "kid": theirs.key_id, "not_after": seal.not_after + 1}
        keys = (*nodes[node].keys, seal.model_copy(update=lasts))
        nodes[node] = nodes[node].model_copy(update={"keys": keys})
        await registrar.publish_roster(connection, log, tuple(nodes.values()), log.signer.key)
    await engine.dispose()
    return theirs.key_id


def test_a_hub_that_lists_a_key_of_its_own_is_caught_by_the_node_whose_it_is_to_be(growing: Exchange) -> None:
    kid = asyncio.run(_add_key(growing, "bg"))
    until("bg has caught the hub", lambda: _witness(growing, "bg")["alarm"] is not None)
    found = _witness(growing, "bg")
    assert found["alarm"]["code"] == "roster_key_foreign"
    assert f"seal {kid.hex()}" in found["alarm"]["detail"]
    assert (_version(growing, "bg"), _in_force(growing, "bg")) == (5, [2, 3, 4, 5])
    with growing.api("bg") as api:
        assert "NOT TRUSTED" in api.get("/readyz").json()["detail"]
        assert 'seci_node_hub_distrusted{code="roster_key_foreign"} 1' in api.get("/metrics").text
    assert '"hub_caught"' in (growing.logs / "node-bg.log").read_text()
    # To the others it is a key like any other: it is the node itself that must look.
    _await_version(growing, 6, "ro", "tr")
    assert _witness(growing, "ro")["alarm"] is None


def test_the_operator_may_know_the_key(growing: Exchange) -> None:
    followed, alarm = _witness(growing, "bg")["followed"], _witness(growing, "bg")["alarm"]
    end(growing, "node-bg")
    decision = ("trust", "--accept-alarm", str(alarm["number"]), "--reason", "made for the machine that we had")
    assert growing.node("bg", *decision) == {"alarm": alarm["number"], "accepted": True, "left": None}
    assert _witness(growing, "bg")["followed"] == followed
    growing.start_node("bg")
    growing.await_nodes(["bg"])
    _await_version(growing, 6, "bg")
    assert _witness(growing, "bg")["alarm"] is None


def test_a_node_that_lost_its_keys_comes_back_as_itself(growing: Exchange) -> None:
    end(growing, "node-bg")
    lost, words = lose_keys(growing, "bg")
    assert put_out(lost, lambda: growing.hub("approve", "bg", "--words", words)["roster"]) == 7
    come_back(growing, "bg")
    _await_version(growing, 7, "ro", "bg")
    await_delivered(growing, [("bg", post(growing, "bg", to=["ro"])), ("ro", post(growing, "ro", to=["bg"]))])
    assert _witness(growing, "bg")["alarm"] is None
    assert growing.node("bg", "status")["warnings"] == []
    # What it renews is of the user that it is now, and provisioning lets the other one in no more.
    growing.node("bg", "renew", "--what", "tls", "--wait")
    growing.hub("provision")
    asyncio.run(keep_out(lost))
    asyncio.run(_look_in(growing.node_home("bg")))


async def _look_in(home: Path) -> None:
    await (await open_connection(home)).close()


async def _sign_another(exchange: Exchange) -> None:
    """What a hub does that wants to show others another roster of the newest version; both are in its ledger."""
    settings = Settings.load(exchange.hub_home)
    log, engine = ledger_of(settings), database.engine_of(settings.database_url)
    async with writing(engine, log) as connection:
        first = open_roster(await registrar.newest(connection, 0) or b"", log.signer.key.public)
        signed = sign_roster(first.model_copy(update={"at": first.at + 1}), log.signer.key)
        said = {"evidence": ledger.evidence(signed), "detail": f"version {first.version}"}
        entry = Entry(event=Event.ROSTER, at=first.at + 1, node="seci", **said)
        appended = await ledger.append(connection, log, await ledger.take_turn(connection), [entry])
    await engine.dispose()
    shown = f"signed = '\\x{signed.hex()}', leaf_index = {appended.receipts[0].index}"
    exchange.services.postgres.run_sql(f"UPDATE roster SET {shown} WHERE version = {first.version}")  # noqa: S608 ours


def test_a_hub_that_shows_two_nodes_two_rosters_is_told_by_their_first_message(growing: Exchange) -> None:
    end(growing, "node-bg")
    version = _enrol(growing, "ro", "--task-force", "drugs")
    _await_version(growing, version, "ro")
    # It may have asked for it before it was announced, and the other one must not reach it.
    announced = f'{{"version": {version}, "nodes": 3, "event": "roster_announced"'
    until("it is announced", lambda: announced in (growing.logs / "hub.log").read_text())
    # Of the first one bg is to see nothing.
    vhost = Settings.load(growing.hub_home).vhost
    growing.services.broker.run_ctl(["purge_queue", "-p", vhost, inbox_queue("bg", urgent=False)])
    asyncio.run(_sign_another(growing))
    growing.start_node("bg")
    growing.await_nodes(["bg"])
    _await_version(growing, version, "bg")
    # Each has a roster that is signed and proven, and nothing to find wrong with.
    assert [_witness(growing, node)["roster_hearsay"] for node in ("ro", "bg")] == [[], []]
    await_delivered(growing, [("bg", post(growing, "bg", to=["ro"], task_force="drugs"))])
    for node, other in (("ro", "bg"), ("bg", "ro")):
        [told] = _witness(growing, node)["roster_hearsay"]
        assert (told["code"], told["node"], told["version"]) == ("roster_disputed", other, version)
        assert any("[roster_disputed]" in warning for warning in growing.node(node, "status")["warnings"])
        until("it is logged", lambda node=node: '"roster_disputed"' in (growing.logs / f"node-{node}.log").read_text())
        with growing.api(node) as api:
            assert 'seci_node_roster_hearsay{code="roster_disputed"} 1' in api.get("/metrics").text
