"""`seci-hub ledger export` out of a real database, and what `seci-verify` makes of it."""

import asyncio
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncEngine

from crypto.cosignature import Cosigner, cosign
from crypto.errors import LedgerFault, LedgerUnproven
from crypto.export import CHUNK, Manifest
from crypto.keys import SigningKey
from crypto.note import Checkpoint, Note, sign_note
from crypto.policy import Policy
from crypto.timestamp import ask, read_roots, verify_timestamp
from deploy.local.instance import REPOSITORY
from hub import erasure, registrar, rounds, stamping, tables, timestamps
from hub.errors import LedgerBroken
from hub.export import Exported, export
from hub.exportfolder import ExportFolder
from hub.ledger import head
from hub.pen import writing
from hub.quarantine import Decision
from hub.tsa import Stamp
from nodes.verify import main
from nodes.verify_ledger import Audit, verify_ledger
from tests.crypto.tsa import Tsa
from tests.hub.cosigning import WITNESSES, cosign_at, publish_witnesses
from tests.hub.ownhub import OwnHub
from tests.typed import type_in

pytestmark = pytest.mark.system
# Three files, the last of which is not full.
FIRST = (1, 300, CHUNK - 1, CHUNK)


async def _fill(own: OwnHub, engine: AsyncEngine, batches: Sequence[int]) -> None:
    for count in batches:
        await own.append(engine, count)


async def _publish(own: OwnHub, engine: AsyncEngine) -> None:
    async with writing(engine, own.log) as connection:
        await registrar.publish_roster(connection, own.log, (), own.log.signer.key)


async def _export(own: OwnHub, engine: AsyncEngine, out: Path, first: int = 0) -> Exported:
    """As the command does it."""
    manifest = Manifest(own.log.origin, own.log.signer.verifier.vkey())
    with ExportFolder.open(out, manifest) as folder:
        async with engine.connect() as connection:
            return await export(connection, folder, first, lambda *_: None, own.log)


def _verify(out: Path, *known: Path) -> Audit:
    return verify_ledger(out, None, known, lambda *_: None)


def _fault(out: Path) -> tuple[LedgerFault, int | None]:
    with pytest.raises(LedgerUnproven) as found:
        _verify(out)
    return found.value.fault, found.value.index


def _typed(out: Path, policy: Path) -> Any:
    code, said, _ = type_in(main, out, "--policy", policy, "--json")
    assert code == 0, said
    return json.loads(said)


def _content(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


async def test_an_export_proves_the_ledger_and_goes_on_as_it_grows(
    own: OwnHub, own_engine: AsyncEngine, tmp_path: Path
) -> None:
    out, policy = tmp_path / "out", tmp_path / "policy"
    policy.write_bytes(Policy.of([own.log.signer.verifier], [], 0).to_bytes())
    assert own.type("ledger", "export", str(out))[1]["code"] == "ledger_empty"
    await _publish(own, own_engine)
    await _fill(own, own_engine, FIRST)
    code, said = own.type("ledger", "export", str(out))
    size = 1 + sum(FIRST)
    assert (code, said["size"], said["files"], said["kept"], said["rosters"]) == (0, size, 3, 0, 1)
    found = _typed(out, policy)
    assert (found["size"], found["root"], found["checkpoints"]) == (size, said["root"], 1 + len(FIRST))
    assert found["events"] == {"refused": size - 1, "roster": 1}
    before = _content(out)
    assert (await _export(own, own_engine, out)).kept == 3
    assert _content(out) == before
    await _fill(own, own_engine, (5, CHUNK))
    await _publish(own, own_engine)
    done = await _export(own, own_engine, out)
    assert (done.files, done.kept, done.rosters) == (4, 2, 2)
    await _export(own, own_engine, tmp_path / "fresh")
    assert _content(out) == _content(tmp_path / "fresh")
    (tmp_path / "held").write_bytes(before["checkpoint"])
    audit = _verify(out, tmp_path / "held")
    assert (audit.cosigned.checkpoint.size, audit.known[0].cosigned.checkpoint.size) == (done.size, size)


async def test_only_what_is_new_can_be_laid_over_an_older_export(
    own: OwnHub, own_engine: AsyncEngine, tmp_path: Path
) -> None:
    await _fill(own, own_engine, FIRST)
    await _export(own, own_engine, tmp_path / "old")
    await _fill(own, own_engine, (CHUNK,))
    done = await _export(own, own_engine, tmp_path / "new", 2 * CHUNK + 1)
    assert sorted(item.name for item in (tmp_path / "new" / "entries").iterdir()) == ["00000002", "00000003.p300"]
    assert _fault(tmp_path / "new") == (LedgerFault.FILE_MISSING, 0)
    shutil.copytree(tmp_path / "new", tmp_path / "old", dirs_exist_ok=True)
    # The older one's last file, which was not full, is in the way.
    assert _fault(tmp_path / "old") == (LedgerFault.UNFINISHED, done.size)
    await _export(own, own_engine, tmp_path / "old")
    assert _verify(tmp_path / "old").cosigned.checkpoint.size == done.size


async def test_what_a_folder_has_is_kept_up_whatever_is_left_out(
    own: OwnHub, own_engine: AsyncEngine, tmp_path: Path
) -> None:
    out, late = tmp_path / "out", ("--from", str(3 * CHUNK))
    await _fill(own, own_engine, FIRST)
    await _export(own, own_engine, out)
    await _fill(own, own_engine, (CHUNK, CHUNK))
    async with writing(own_engine, own.log) as connection:
        await erasure.erase(connection, own.log, [7], Decision("Ana", "court order"))
    code, said = own.type("ledger", "export", str(out), *late)
    assert (code, said["files"], said["kept"], said["left_out"]) == (0, 5, 1, 0)
    # Two that grew, the one with the erased entry, a new one, and the checkpoint.
    assert said["written"] == 5 - 1 + 1
    assert _verify(out).tally.erased == [7]
    code, said = own.type("ledger", "export", str(tmp_path / "new"), *late)
    assert (code, said["files"], said["kept"], said["left_out"]) == (0, 2, 0, 3)


async def test_an_export_can_end_where_a_quorum_has_cosigned(
    own: OwnHub, own_engine: AsyncEngine, tmp_path: Path
) -> None:
    def said(folder: str) -> Any:
        return own.type("ledger", "export", str(tmp_path / folder), "--witnessed")

    await publish_witnesses(own, own_engine)
    await _fill(own, own_engine, (CHUNK,))
    assert said("out")[1]["code"] == "nothing_witnessed"
    await rounds.current(own_engine, own.log, tuple(WITNESSES), 0)
    await cosign_at(own_engine, CHUNK + 1, "bg", "ro", "tr")
    await _fill(own, own_engine, (5,))
    await rounds.current(own_engine, own.log, tuple(WITNESSES), 0)
    await cosign_at(own_engine, CHUNK + 6, "tr", "ro")
    await _fill(own, own_engine, (CHUNK, CHUNK))
    # An export to the newest checkpoint that was interrupted leaves files behind the one that is witnessed.
    moment = ("hub.exportfolder:ExportFolder.finish",)
    assert own.type("ledger", "export", str(tmp_path / "out"), crash_at=moment)[0] == -signal.SIGKILL
    code, done = said("out")
    assert (code, done["size"], done["witnessed"]) == (0, CHUNK + 6, CHUNK + 6)
    assert own.log.second is not None
    keys, two = [own.log.signer.verifier, own.log.second.verifier], [WITNESSES[node].verifier for node in ("ro", "tr")]
    found = verify_ledger(tmp_path / "out", Policy.of(keys, two, 2), (), lambda *_: None)
    assert found.witnessed.checkpoint.size == found.cosigned.checkpoint.size == CHUNK + 6
    # The first one has more cosignatures, which is what an export to the newest checkpoint goes by.
    done = await _export(own, own_engine, tmp_path / "all")
    assert (done.size, done.witnessed) == (3 * CHUNK + 6, CHUNK + 1)
    code, refused = said("all")
    assert (code, refused["code"]) == (4, "nothing_witnessed")
    assert f"has {done.size} entries already" in refused["detail"]
    assert _verify(tmp_path / "all").cosigned.checkpoint.size == done.size


async def test_an_export_does_not_end_before_what_says_that_an_entry_of_it_is_erased(
    own: OwnHub, own_engine: AsyncEngine, tmp_path: Path
) -> None:
    await publish_witnesses(own, own_engine)
    await _fill(own, own_engine, (9,))
    await cosign_at(own_engine, 10, "bg", "ro")
    async with writing(own_engine, own.log) as connection:
        assert await erasure.erase(connection, own.log, [7], Decision("Ana", "court order")) == 10
    code, said = own.type("ledger", "export", str(tmp_path / "out"), "--witnessed")
    assert (code, said["code"]) == (4, "nothing_witnessed")
    assert "the erasure that entry 10 tells of" in said["detail"]
    await cosign_at(own_engine, 11, "bg", "ro")
    code, said = own.type("ledger", "export", str(tmp_path / "out"), "--witnessed")
    assert (code, said["size"]) == (0, 11)
    assert _verify(tmp_path / "out").tally.erased == [7]


async def test_timestamps_of_what_is_exported_go_with_it(own: OwnHub, own_engine: AsyncEngine, tmp_path: Path) -> None:
    tsa, out = Tsa.create(tmp_path / "tsa"), tmp_path / "out"
    roots = read_roots(tsa.roots.read_bytes())

    async def stamp() -> None:
        async with own_engine.begin() as connection:
            newest = await timestamps.newest(connection)
            assert newest is not None
            response = tsa.reply(ask(newest.note.encode()).request)
            said = verify_timestamp(response, newest.note.encode(), roots)
            await stamping.keep(connection, newest, Stamp(response, said))

    await publish_witnesses(own, own_engine)
    for count in (3, 4):
        await _fill(own, own_engine, (count,))
        await stamp()
    await stamp()
    await cosign_at(own_engine, 8, "bg", "ro")
    await _fill(own, own_engine, (5,))
    await stamp()
    # One that was interrupted leaves the last one, which is not of what is witnessed.
    moment = ("hub.exportfolder:ExportFolder.finish",)
    assert own.type("ledger", "export", str(out), crash_at=moment)[0] == -signal.SIGKILL
    code, said = own.type("ledger", "export", str(out), "--witnessed")
    assert (code, said["size"], said["timestamps"]) == (0, 8, 3)
    assert sorted(item.name for item in (out / "timestamps").iterdir() if item.suffix != ".tsr") == [
        "checkpoint-4",
        "checkpoint-8",
    ]
    found = verify_ledger(out, None, (), lambda *_: None, roots=roots)
    assert [item.size for item in found.stamps.held] == [4, 8, 8]
    code, said = own.type("ledger", "export", str(out))
    assert (code, said["size"], said["timestamps"]) == (0, 13, 4)
    assert _verify(out).stamps.count == 4


@pytest.mark.long
async def test_killed_again_and_again_it_comes_to_the_same_bytes(
    own: OwnHub, own_engine: AsyncEngine, tmp_path: Path
) -> None:
    await _publish(own, own_engine)
    await _fill(own, own_engine, FIRST)
    await _export(own, own_engine, tmp_path / "whole")
    whole = _content(tmp_path / "whole")
    out, put = tmp_path / "out", "hub.exportfolder:ExportFolder.put"
    moments = ((put,), (put, "--after"), ("hub.leaves:read", "--call", "2"), ("hub.exportfolder:ExportFolder.finish",))
    for moment in moments:
        assert own.type("ledger", "export", str(out), crash_at=moment)[0] == -signal.SIGKILL
        assert not (out / "checkpoint").exists()
    assert (await _export(own, own_engine, out)).kept == 3
    assert _content(out) == whole


async def test_what_is_erased_leaves_an_older_export_too(own: OwnHub, own_engine: AsyncEngine, tmp_path: Path) -> None:
    await _fill(own, own_engine, FIRST)
    out = tmp_path / "out"
    size = (await _export(own, own_engine, out)).size
    async with own_engine.connect() as connection:
        salt = await connection.scalar(text("SELECT salt FROM ledger_content WHERE leaf_index = 7"))
    assert salt in (out / "entries" / "00000000").read_bytes()
    async with writing(own_engine, own.log) as connection:
        await erasure.erase(connection, own.log, [7], Decision("Ana", "court order"))
    done = await _export(own, own_engine, out)
    assert (done.kept, done.erased, done.size) == (1, 1, size + 1)
    assert salt not in (out / "entries" / "00000000").read_bytes()
    assert _verify(out).tally.erased == [7]
    await _export(own, own_engine, tmp_path / "fresh")
    assert _content(out) == _content(tmp_path / "fresh")


async def test_the_checkpoint_that_most_have_cosigned_goes_with_it(
    own: OwnHub, own_engine: AsyncEngine, tmp_path: Path
) -> None:
    witnesses = [Cosigner(f"{node}.example.org", SigningKey.generate()) for node in ("bg", "ro")]
    for count, signers in ((3, witnesses), (4, witnesses), (5, witnesses[:1]), (6, ())):
        await own.append(own_engine, count)
        async with own_engine.begin() as connection:
            newest = await head(connection)
            rows = [
                {"size": newest.range.size, "node": who.name[:2], "line": cosign(newest.note, who, 1), "at": 1}
                for who in signers
            ]
            if rows:
                await connection.execute(insert(tables.cosignature), rows)
    await _export(own, own_engine, tmp_path / "out")
    policy = Policy.of([own.log.signer.verifier], [who.verifier for who in witnesses], 2)
    found = verify_ledger(tmp_path / "out", policy, (), lambda *_: None)
    assert (found.cosigned.checkpoint.size, found.witnessed.checkpoint.size) == (18, 7)
    assert [name for name, _ in found.witnessed.witnesses] == ["bg.example.org", "ro.example.org"]


async def test_a_checkpoint_that_more_have_cosigned_stays_until_a_quorum_has_cosigned_more(
    own: OwnHub, own_engine: AsyncEngine, tmp_path: Path
) -> None:
    out = tmp_path / "out"

    async def exported() -> tuple[int, list[str]]:
        done = await _export(own, own_engine, out)
        cosigned = Note.parse((out / "witnessed").read_text("utf-8"))
        assert Checkpoint.parse(cosigned.text).size == done.witnessed
        return done.witnessed, [signature.name[-2:] for signature in cosigned.signatures[1:]]

    await publish_witnesses(own, own_engine)
    await _fill(own, own_engine, (3,))
    await cosign_at(own_engine, 4, "bg", "ro", "tr")
    assert await exported() == (4, ["bg", "ro", "tr"])
    # As after a hundred rounds.
    own.sql("DELETE FROM cosignature")
    assert await exported() == (4, ["bg", "ro", "tr"])
    await _fill(own, own_engine, (3,))
    await cosign_at(own_engine, 7, "bg")
    assert await exported() == (4, ["bg", "ro", "tr"])
    assert (await _export(own, own_engine, tmp_path / "fresh")).witnessed == 7
    await cosign_at(own_engine, 7, "ro")
    assert await exported() == (7, ["bg", "ro"])
    # What is of another ledger, or no checkpoint of the log, does not stay.
    for other in (Checkpoint(own.log.origin, 4, bytes(32)).text(), Checkpoint("another.example", 4, bytes(32)).text()):
        note = sign_note(other, own.log.signer)
        lines = "".join(cosign(note, WITNESSES[node], 1) for node in ("bg", "ro", "tr"))
        (out / "witnessed").write_text(note + lines, "utf-8")
        own.sql("DELETE FROM cosignature WHERE node = 'ro'")
        assert await exported() == (7, ["bg"])


async def test_a_ledger_that_was_changed_is_not_passed_on_as_a_sound_one(
    own: OwnHub, own_engine: AsyncEngine, tmp_path: Path
) -> None:
    await _fill(own, own_engine, (3, 4))
    own.sql("UPDATE ledger_content SET salt = sha256('x') WHERE leaf_index = 5")
    code, said = own.type("ledger", "export", str(tmp_path / "out"))
    assert (code, said["code"]) == (6, "ledger_broken")
    own.sql(
        "UPDATE ledger_leaf SET hash = sha256('\\x00' || sha256(salt || entry)) "
        "FROM ledger_content WHERE ledger_content.leaf_index = ledger_leaf.leaf_index"
    )
    await _export(own, own_engine, tmp_path / "out")
    assert _fault(tmp_path / "out") == (LedgerFault.ENTRIES_CHANGED, 3)
    own.sql("DELETE FROM ledger_content WHERE leaf_index = 4")
    with pytest.raises(LedgerBroken, match="the content of entry 4 is missing, and no erasure names it"):
        await _export(own, own_engine, tmp_path / "third")
    own.sql("DELETE FROM ledger_leaf WHERE leaf_index = 2")
    with pytest.raises(LedgerBroken, match="the leaf of entry 2 is missing"):
        await _export(own, own_engine, tmp_path / "other")


# On one processor it is all done by one process, whose greatest size the kernel knows.
_MEASURED = """
import os, re, runpy, sys
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
sys.argv = sys.argv[1:]
try:
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
finally:
    print(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
"""


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the kernel does not tell a process's greatest size")
async def test_memory_does_not_grow_with_the_ledger(own: OwnHub, own_engine: AsyncEngine, tmp_path: Path) -> None:
    await _fill(own, own_engine, [2000] * 5)
    small = await asyncio.to_thread(_peaks, own, tmp_path / "small")
    await _fill(own, own_engine, [5000] * 18)
    large = await asyncio.to_thread(_peaks, own, tmp_path / "large")
    # Of ninety thousand rows more than a hundred bytes each would be held, were they held.
    for ours, theirs in zip(large, small, strict=True):
        assert ours < theirs + 4 * 1024


def _peaks(own: OwnHub, out: Path) -> list[int]:
    """The most memory (KiB) of an export, of verifying it, and of writing tiles."""
    commands = (
        ["hub.cli", "ledger", "export", str(out), "--home", str(own.home)],
        ["nodes.verify", str(out)],
        ["hub.cli", "ledger", "tiles", f"{out} tiles", "--home", str(own.home)],
    )
    return [_peak(command) for command in commands]


def _peak(command: Sequence[str]) -> int:
    argv = [sys.executable, "-c", _MEASURED, *command]
    done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=120)
    return int(done.stdout.splitlines()[-1])
