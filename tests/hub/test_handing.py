"""Another key takes the place of the one that signs the ledger: once, whenever anybody is killed, for all workers."""

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from crypto.errors import HubKeyForeign
from crypto.handover import open_handover_news
from crypto.hubkeys import open_checkpoint
from crypto.policy import Policy
from crypto.timestamp import read_roots
from deploy.local.instance import REPOSITORY
from hub import handing, ledger, registrar, rosternews, rounds
from hub.dispatch import Dispatcher
from hub.errors import HandedOver
from hub.foreword import Foreword
from hub.held import hold
from hub.ledger import Ledger
from hub.pen import writing
from hub.publication import Publication, Untaken
from hub.retrying import retry_held
from hub.stamping import stamp_if_due
from nodes.verify_ledger import verify_ledger
from schemas.control import MessageType
from schemas.handover import HandoverNews
from tests.crypto.people import BG, RO, roster_key, roster_node
from tests.crypto.softhsm import PIN, make_token, needs_softhsm
from tests.crypto.tsa import Tsa
from tests.hub.ownhub import OwnHub, entries
from tests.hub.tsaserver import serving, signs

pytestmark = pytest.mark.system

NODES = (roster_node("bg", roster_key(BG.signing)), roster_node("ro", roster_key(RO.signing)))


async def _begin(own: OwnHub, engine: AsyncEngine) -> Ledger:
    """A first roster, some entries, and the key that is to sign next. The ledger as a worker of the old key has it."""
    log = own.log
    async with writing(engine, log) as connection:
        await registrar.publish_roster(connection, log, NODES, log.signer.key)
    await own.append(engine, 5)
    assert (await asyncio.to_thread(own.type, "hub-key", "prepare"))[0] == 0
    return log


async def _append(engine: AsyncEngine, log: Ledger, count: int = 1) -> str:
    async with writing(engine, log) as connection:
        return (await ledger.append(connection, log, await ledger.take_turn(connection), entries(count))).note


async def test_the_new_key_signs_from_the_handover_on_and_the_old_one_no_more(
    own: OwnHub, own_engine: AsyncEngine, tmp_path: Path
) -> None:
    old = await _begin(own, own_engine)
    earlier = await _append(own_engine, old)
    code, rolled = await asyncio.to_thread(own.type, "hub-key", "roll")
    assert code == 0
    new = own.log
    assert new.signer.key.public.key_id.hex() == rolled["key"] != old.signer.key.public.key_id.hex()
    assert not (own.home / handing.NEXT).exists()
    # A worker that still has the old one signs nothing, and shows nothing of what the new one signed.
    with pytest.raises(HandedOver):
        await _append(own_engine, old)
    async with own_engine.begin() as connection:
        with pytest.raises(HandedOver):
            await rosternews.of(connection, old, 2)
    async with own_engine.begin() as connection:
        item = Publication("ro", MessageType.RECEIPTS, False, "one", b"signed by the new key")
        await hold(connection, [Untaken(item, "full")], 0, pause=0)
    with pytest.raises(HandedOver):
        await retry_held(own_engine, None, old)  # type: ignore[arg-type]  it never comes to that
    later = await _append(own_engine, new, 3)
    # Each is opened by the key of its time.
    boundary = new.keys.boundaries[0]
    assert open_checkpoint(earlier, new.keys).size == boundary - 2
    assert open_checkpoint(later, new.keys).size == boundary + 4
    with pytest.raises(HubKeyForeign):
        open_checkpoint(later, old.keys)
    async with own_engine.connect() as connection:
        roster = await registrar.current(connection, new.keys)
        assert (roster.version, roster.nodes) == (2, NODES)
        assert await registrar.trust(connection, new.keys)
        # Who has followed less than the handover is led through it, with what both keys have signed.
        behind = await rounds.boundary(connection, new, boundary - 1)
        assert behind is not None
        assert open_checkpoint(behind.note, old.keys) == open_checkpoint(behind.note, new.keys)
        assert await rounds.boundary(connection, new, boundary) is None
    news = HandoverNews.from_bytes(new.handovers[0])
    assert open_handover_news(news, new.origin).checkpoint.size == boundary
    assert (await asyncio.to_thread(own.type, "ledger", "verify"))[0] == 0
    folder = tmp_path / "export"
    assert (await asyncio.to_thread(own.type, "ledger", "export", str(folder)))[0] == 0
    for log in (None, old, new):
        policy = None if log is None else Policy.of([log.signer.verifier], [], 0)
        assert verify_ledger(folder, policy, (), lambda *_: None).handovers[0].size == boundary - 1


def test_nobody_is_told_anything_before_the_handovers(own: OwnHub) -> None:
    log = own.log
    told = Ledger(log.origin, log.signer, log.store, None, (b"first", b"second"))
    receipts, sealed = (
        Publication("ro", kind, False, str(kind), b"") for kind in (MessageType.RECEIPTS, MessageType.ENVELOPE)
    )
    foreword, other = Foreword(told), Foreword(told)
    assert foreword.owed([sealed]) == []
    assert [item.body for item in foreword.owed([sealed, receipts])] == [b"first", b"second"]
    foreword.told(["ro"])
    assert other.owed([receipts]) == []
    assert Foreword(log).owed([receipts]) == []


async def test_who_cannot_be_told_first_is_told_nothing(own: OwnHub, monkeypatch: pytest.MonkeyPatch) -> None:
    log = own.log
    told = Ledger(log.origin, log.signer, log.store, None, (b"handover",))
    dispatcher, sent, refusing = Dispatcher(None, foreword=Foreword(told)), list[tuple[str, str]](), {"ro"}  # type: ignore[arg-type]

    async def publish(items: list[Publication], then: list[Publication]) -> list[Untaken]:
        sent.extend((item.node, item.type) for item in (*items, *then) if item.node not in refusing)
        return [Untaken(item, "full") for item in (*items, *then) if item.node in refusing]

    monkeypatch.setattr(dispatcher, "_publish", publish)
    items = [Publication(node, MessageType.RECEIPTS, False, node, b"") for node in ("bg", "ro")]
    assert [item.publication.node for item in await dispatcher.publish(items)] == ["ro"]
    assert sent == [("bg", "handover"), ("bg", "receipts")]
    refusing.clear()
    assert not await dispatcher.publish(items)
    assert sent[2:] == [("ro", "handover"), ("bg", "receipts"), ("ro", "receipts")]


# Behind the commit, and between the files that are put in place; at last there is nothing left.
@pytest.mark.parametrize(
    ("moment", "again"),
    [
        (("hub.ledger:settle",), 0),
        (("hub.handing:write_private", "--after"), 0),
        (("hub.handing:sync_folder",), 4),
    ],
)
async def test_killed_anywhere_it_is_done_once_or_not_at_all(
    own: OwnHub, own_engine: AsyncEngine, moment: tuple[str, ...], again: int
) -> None:
    old = await _begin(own, own_engine)
    assert (await asyncio.to_thread(own.type, "hub-key", "roll", crash_at=moment))[0] == -signal.SIGKILL
    # Typed again it is carried to its end, and only then.
    assert (await asyncio.to_thread(own.type, "hub-key", "roll"))[0] == again
    code, shown = await asyncio.to_thread(own.type, "hub-key", "show")
    assert (code, len(shown["handovers"]), shown["prepared"]) == (0, 1, None)
    assert shown["key"] == shown["handovers"][0]["new"] != old.signer.key.public.key_id.hex()
    with pytest.raises(HandedOver):
        await _append(own_engine, old)
    await _append(own_engine, own.log)
    assert (await asyncio.to_thread(own.type, "ledger", "verify"))[0] == 0


async def test_a_command_of_the_old_key_carries_a_handover_to_its_end(own: OwnHub, own_engine: AsyncEngine) -> None:
    await _begin(own, own_engine)
    await asyncio.to_thread(own.type, "hub-key", "roll", crash_at=("hub.ledger:settle",))
    assert (own.home / handing.NEXT).exists()
    code, told = await asyncio.to_thread(own.type, "roster", "history")
    assert (code, told["code"]) == (4, "key_handed_over")
    assert not (own.home / handing.NEXT).exists()
    code, told = await asyncio.to_thread(own.type, "roster", "history")
    assert [item["version"] for item in told["versions"]] == [2, 1]


async def test_without_its_key_nobody_signs(own: OwnHub, own_engine: AsyncEngine, tmp_path: Path) -> None:
    copytree(own.home, tmp_path / "backup")
    await _begin(own, own_engine)
    assert (await asyncio.to_thread(own.type, "hub-key", "roll"))[0] == 0
    (own.home / handing.KEY).write_bytes((tmp_path / "backup" / handing.KEY).read_bytes())
    code, told = await asyncio.to_thread(own.type, "hub-key", "show")
    assert (code, told["error"] if "error" in told else told["code"]) == (2, "hub_key_missing")


@needs_softhsm
@pytest.mark.long
async def test_a_key_in_a_token_takes_over_and_hands_over_to_another_there(
    own: OwnHub, own_engine: AsyncEngine, tmp_path: Path
) -> None:
    async with writing(own_engine, own.log) as connection:
        await registrar.publish_roster(connection, own.log, NODES, own.log.signer.key)
    token, pin = make_token(tmp_path / "softhsm", "seci-hub"), tmp_path / "pin"
    pin.touch(0o600)
    pin.write_text(PIN)
    where = ["--pkcs11-module", str(token.module), "--pkcs11-token", token.label, "--pkcs11-pin-file", str(pin)]
    keys = []
    # The second time nobody names the token: where today's key is, the next one is made, too.
    for named in (where, []):
        assert (await asyncio.to_thread(_typed_afresh, own, "hub-key", "prepare", *named))["in_token"]
        pin.unlink(missing_ok=True)
        keys.append((await asyncio.to_thread(_typed_afresh, own, "hub-key", "roll"))["key"])
    assert len(set(keys)) == 2
    assert await asyncio.to_thread(_typed_afresh, own, "ledger", "verify")
    shown = await asyncio.to_thread(_typed_afresh, own, "hub-key", "show")
    assert [item["new"] for item in shown["handovers"]] == keys
    for file in own.home.iterdir():
        assert not file.is_file() or PIN.encode() not in file.read_bytes(), file.name


def _typed_afresh(own: OwnHub, *words: str) -> Any:
    """In a process of its own: the library of a token reads once where that is."""
    argv = [sys.executable, "-m", "hub.cli", *words, "--home", str(own.home), "--json"]
    done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout
    return json.loads(done.stdout)


async def test_timestamps_before_at_and_after_a_handover_hold(
    own: OwnHub, own_engine: AsyncEngine, tmp_path: Path
) -> None:
    old, tsa = await _begin(own, own_engine), Tsa.create(tmp_path / "tsa")
    with serving(signs(tsa)) as server:
        # Each is asked for at once.
        settings = server.settings(tsa.roots, 0.0)
        assert await stamp_if_due(own_engine, settings)
        assert (await asyncio.to_thread(own.type, "hub-key", "roll"))[0] == 0
        assert await stamp_if_due(own_engine, settings)
        await _append(own_engine, own.log)
        assert await stamp_if_due(own_engine, settings)
    folder = tmp_path / "export"
    assert (await asyncio.to_thread(own.type, "ledger", "export", str(folder)))[0] == 0
    for log in (old, own.log):
        policy = Policy.of([log.signer.verifier], [], 0)
        assert (
            len(
                verify_ledger(folder, policy, (), lambda *_: None, roots=read_roots(tsa.roots.read_bytes())).stamps.held
            )
            == 3
        )
