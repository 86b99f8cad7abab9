"""Timestamps over a real ledger's checkpoints: when a TSA is asked and by whom, what is kept, what an auditor gets."""

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine

from crypto.timestamp import read_roots, verify_timestamp
from hub import reading, timestamps
from hub.stamping import FIRST_PAUSE_S, LONGEST_PAUSE_S, pause_s, stamp_if_due
from hub.timestamps import LATE
from hub.tsa import ANSWER_S
from nodes.verify import main
from tests.crypto.tsa import Tsa, openssl_verifies
from tests.hub.ownhub import OwnHub
from tests.hub.tsaserver import TsaServer, gives, serving, signs
from tests.typed import type_in

pytestmark = pytest.mark.system
INTERVAL_S = 600.0


@pytest.fixture(scope="module")
def tsa(tmp_path_factory: pytest.TempPathFactory) -> Tsa:
    """The one that is trusted."""
    return Tsa.create(tmp_path_factory.mktemp("tsa") / "good")


@pytest.fixture
def server(tsa: Tsa) -> Iterator[TsaServer]:
    """It answers as it should, until a test says otherwise."""
    with serving(signs(tsa)) as found:
        yield found


async def _ask(engine: AsyncEngine, server: TsaServer, tsa: Tsa) -> bool:
    return await stamp_if_due(engine, server.settings(tsa.roots, INTERVAL_S))


async def _standing(engine: AsyncEngine) -> dict[str, Any]:
    async with engine.connect() as connection:
        return await timestamps.standing(connection)


async def _rows(engine: AsyncEngine, entry: int | None = None) -> Any:
    async with engine.connect() as connection:
        return await timestamps.listing(connection, 100, entry)


def _pass(own: OwnHub, seconds: float) -> None:
    """Lets so much time pass since the last attempt, and since each checkpoint."""
    millis = int(seconds * 1000)
    own.sql(f"UPDATE timestamp_progress SET tried = tried - {millis}")  # noqa: S608 ours
    own.sql(f"UPDATE ledger_checkpoint SET at = at - {millis}")  # noqa: S608 ours


async def test_the_newest_checkpoint_is_stamped_once_an_interval_and_only_once(
    own: OwnHub, own_engine: AsyncEngine, server: TsaServer, tsa: Tsa
) -> None:
    assert not await _ask(own_engine, server, tsa), "there is no checkpoint"
    await own.append(own_engine, 2)
    await own.append(own_engine, 3)
    assert await _ask(own_engine, server, tsa)
    await own.append(own_engine)
    assert not await _ask(own_engine, server, tsa), "the interval is not over"
    _pass(own, INTERVAL_S)
    assert await _ask(own_engine, server, tsa)
    _pass(own, INTERVAL_S)
    assert not await _ask(own_engine, server, tsa), "there is nothing new"
    assert len(server.asked) == 2
    rows = await _rows(own_engine)
    assert [row.size for row in rows] == [6, 5]
    for row in rows:
        said = verify_timestamp(row.response, row.note.encode(), read_roots(tsa.roots.read_bytes()))
        assert (row.said, row.tsa) == (said.at, said.tsa)
    assert (await _standing(own_engine))["code"] is None


async def test_of_many_workers_one_asks(own: OwnHub, own_engine: AsyncEngine, server: TsaServer, tsa: Tsa) -> None:
    await own.append(own_engine)
    done = await asyncio.gather(*(_ask(own_engine, server, tsa) for _ in range(6)))
    assert sorted(done) == [False] * 5 + [True]
    assert len(server.asked) == 1


async def test_a_failure_is_told_and_tried_again_with_growing_pauses(
    own: OwnHub, own_engine: AsyncEngine, server: TsaServer, tsa: Tsa
) -> None:
    await own.append(own_engine)
    server.answer = gives(b"busy", 503)
    for failures in (1, 2, 3):
        assert not await _ask(own_engine, server, tsa)
        found = await _standing(own_engine)
        assert (found["failures"], found["code"], found["newest"]) == (failures, "tsa_answer_unfit", None)
        _pass(own, pause_s(failures, INTERVAL_S) - 5)
        assert not await _ask(own_engine, server, tsa)
        assert len(server.asked) == failures, "the pause is not over"
        _pass(own, 10)
    server.answer = signs(tsa)
    assert await _ask(own_engine, server, tsa)
    found = await _standing(own_engine)
    assert (found["failures"], found["code"], found["newest"]["size"]) == (0, None, 1)


async def test_who_is_killed_while_asking_leaves_it_to_another(
    own: OwnHub, own_engine: AsyncEngine, server: TsaServer, tsa: Tsa
) -> None:
    await own.append(own_engine)
    asked, let_go = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def keeps_waiting(_: BaseHTTPRequestHandler, __: bytes) -> None:
        loop.call_soon_threadsafe(asked.set)
        let_go.wait(30)

    server.answer = keeps_waiting
    killed = asyncio.create_task(_ask(own_engine, server, tsa))
    try:
        await asyncio.wait_for(asked.wait(), 30)
        assert not await _ask(own_engine, server, tsa), "somebody is at it"
    finally:
        killed.cancel()
        await asyncio.gather(killed, return_exceptions=True)
        let_go.set()
    server.answer = signs(tsa)
    _pass(own, FIRST_PAUSE_S)
    assert await _ask(own_engine, server, tsa)


async def test_a_clock_that_was_ahead_does_not_stop_it(
    own: OwnHub, own_engine: AsyncEngine, server: TsaServer, tsa: Tsa
) -> None:
    await own.append(own_engine)
    assert await _ask(own_engine, server, tsa)
    await own.append(own_engine)
    _pass(own, -1_000_000)
    assert await _ask(own_engine, server, tsa)


async def test_how_long_a_checkpoint_has_had_no_timestamp_is_known(
    own: OwnHub, own_engine: AsyncEngine, server: TsaServer, tsa: Tsa
) -> None:
    async def waits() -> float:
        async with own_engine.connect() as connection:
            found = (await reading.read(connection, stamped=True)).unstamped_s
            assert found is not None
            return found

    async with own_engine.connect() as connection:
        assert (await reading.read(connection)).unstamped_s is None
    assert await waits() == 0
    await own.append(own_engine)
    _pass(own, 500)
    await own.append(own_engine)
    assert 500 <= await waits() < 1000, "the oldest counts"
    assert await _ask(own_engine, server, tsa)
    assert await waits() == 0


async def test_the_hub_cannot_change_or_remove_a_timestamp(
    own: OwnHub, own_engine: AsyncEngine, server: TsaServer, tsa: Tsa
) -> None:
    await own.append(own_engine)
    assert await _ask(own_engine, server, tsa)
    for statement in ("UPDATE timestamps SET said = 0", "DELETE FROM timestamps"):
        with pytest.raises(ProgrammingError, match="permission denied"):
            async with own_engine.begin() as connection:
                await connection.execute(text(statement))


@pytest.mark.parametrize("interval_s", [1.0, INTERVAL_S, 10 * LONGEST_PAUSE_S])
def test_pauses_grow_but_not_without_end_and_are_longer_than_an_attempt(interval_s: float) -> None:
    pauses = [pause_s(failures, interval_s) for failures in range(1, 100)]
    assert pauses == sorted(pauses)
    assert pauses[0] >= FIRST_PAUSE_S > ANSWER_S
    assert pauses[-1] <= max(min(interval_s, LONGEST_PAUSE_S), FIRST_PAUSE_S)
    assert pause_s(0, interval_s) == interval_s


def _set(own: OwnHub, **fields: Any) -> None:
    file = own.home / "hub.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def _auditor_verifies(checkpoint: Path, response: Path, roots: Path, policy: Path) -> dict[str, Any]:
    words = [checkpoint, "--policy", policy, "--timestamp", response, "--tsa-roots", roots, "--json"]
    code, said, _ = type_in(main, *words)
    assert code == 0, said
    found: dict[str, Any] = json.loads(said)
    return found


@pytest.mark.long
async def test_what_an_operator_types(
    own: OwnHub, own_engine: AsyncEngine, server: TsaServer, tsa: Tsa, tmp_path: Path
) -> None:
    code, said = own.type("ledger", "timestamp")
    assert (code, said["code"]) == (2, "tsa_unset")
    assert own.type("status")[1]["timestamps"]["on"] is False
    _set(own, tsa_url=server.url)
    assert own.type("status")[1]["code"] == "settings_invalid", "nothing would be verified"
    _set(own, tsa_roots=str(tsa.roots))
    assert own.type("ledger", "timestamp")[1]["code"] == "nothing_to_stamp"
    for _ in range(2):
        await own.append(own_engine, 3)
        code, said = own.type("ledger", "timestamp")
        assert (code, said["tsa"]) == (0, "CN=TSA of good")
    await own.append(own_engine)

    code, said = own.type("ledger", "timestamps")
    assert (code, [item["size"] for item in said["timestamps"]]) == (0, [6, 3])
    assert [item["size"] for item in own.type("ledger", "timestamps", "--entry", "3")[1]["timestamps"]] == [6]
    assert [item["size"] for item in own.type("ledger", "timestamps", "--entry", "2")[1]["timestamps"]] == [3, 6]
    assert own.type("ledger", "timestamps", "--entry", "6")[1]["timestamps"] == []

    code, said = own.type("ledger", "timestamps", "--out", str(tmp_path / "auditor"))
    files = {Path(file).name: Path(file) for file in said["files"]}
    assert len(files) == 4
    for name, file in files.items():
        if name.endswith(".tsr"):
            assert openssl_verifies(files[name.split(".")[0]], file, tsa.roots)
    assert not openssl_verifies(files["checkpoint-3"], next(f for n, f in files.items() if "6." in n), tsa.roots)
    (tmp_path / "policy").write_text(f"log {own.log.signer.verifier.vkey()}\nquorum none\n")
    answer = next(file for name, file in files.items() if "-6." in name)
    proven = _auditor_verifies(files["checkpoint-6"], answer, tsa.roots, tmp_path / "policy")
    assert (proven["checkpoint"]["size"], proven["tsa"]) == (6, "CN=TSA of good")
    (tmp_path / "file").write_text("")
    assert own.type("ledger", "timestamps", "--out", str(tmp_path / "file"))[1]["code"] == "file_unwritable"


async def test_a_tsa_that_fails_is_told_to_who_asks_and_in_the_status(
    own: OwnHub, own_engine: AsyncEngine, server: TsaServer, tsa: Tsa, tmp_path: Path
) -> None:
    _set(own, tsa_url=server.url, tsa_roots=str(tsa.roots), tsa_interval_s=INTERVAL_S)
    await own.append(own_engine)
    _set(own, tsa_roots="none.pem")
    code, said = own.type("ledger", "timestamp")
    assert (code, said["code"]) == (2, "tsa_roots_unusable")
    _set(own, tsa_roots=str(tsa.roots))
    server.answer = signs(Tsa.create(tmp_path / "other"))
    code, said = own.type("ledger", "timestamp")
    assert (code, said["code"]) == (1, "timestamp_untrusted")
    assert not await _ask(own_engine, server, tsa)
    found = own.type("status")[1]["timestamps"]
    assert (found["on"], found["code"], found["failures"], found["late"]) == (True, "timestamp_untrusted", 1, False)
    _pass(own, LATE * INTERVAL_S)
    assert own.type("status")[1]["timestamps"]["late"] is True
    assert await _rows(own_engine) == []


def test_to_repeat_init_does_not_turn_timestamps_off(own: OwnHub, tsa: Tsa) -> None:
    _set(own, tsa_url="http://tsa.example/", tsa_roots=str(tsa.roots), tsa_interval_s=77)
    before = json.loads((own.home / "hub.json").read_text())
    assert own.type("init", *own.options)[0] == 0
    assert json.loads((own.home / "hub.json").read_text()) == before
