"""`seci-hub ledger tiles` out of a real database: what is served is the log, to us and to a verifier in Go."""

import base64
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncEngine

from crypto import merkle
from crypto.cosignature import Cosigner, cosign
from crypto.keys import SigningKey
from crypto.merkle import CompactRange
from crypto.note import Checkpoint, Note, open_note
from crypto.receipt import commitment_of
from crypto.tiles import bundle, new_tiles, tile_bytes, tiles_of
from hub import erasure, rounds, tables, tiles
from hub.errors import LedgerBroken, LedgerForked
from hub.ledger import head
from hub.pen import writing
from hub.quarantine import Decision
from hub.tilefolder import TileFolder
from hub.tiles import Tiled
from tests.crypto.golang import build, needs_go
from tests.hub.cosigning import WITNESSES, cosign_at, publish_witnesses
from tests.hub.ownhub import OwnHub
from tests.hub.plans import questions, rows_read

pytestmark = pytest.mark.system
# Two full tiles and one of 100 at level 0, and one of 2 at level 1.
FIRST = (1, 255, 256, 100)
SIZE = sum(FIRST)
Content = dict[str, bytes]
Progress = Callable[[int, int], None]


async def _fill(own: OwnHub, engine: AsyncEngine, *batches: int) -> None:
    for count in batches:
        await own.append(engine, count)


async def _tile(own: OwnHub, engine: AsyncEngine, out: Path, progress: Progress = lambda *_: None) -> Tiled:
    """As the command does it."""
    with TileFolder.open(out, own.log.signer.verifier) as folder:
        async with engine.begin() as connection:
            chosen = await tiles.choose(connection, own.log, folder.published)
        async with engine.begin() as connection:
            return await tiles.write(connection, folder, chosen.head, progress)


async def _expected(own: OwnHub, engine: AsyncEngine) -> Content:
    """The folder, computed in memory from salts and entries."""
    async with engine.connect() as connection:
        rows = await connection.execute(text("SELECT salt, entry FROM ledger_content ORDER BY leaf_index"))
        commitments = [commitment_of(row.salt, row.entry) for row in rows]
        note = (await head(connection)).note
    subtrees = CompactRange(0, ()).append([merkle.leaf_hash(item) for item in commitments])[1]
    found = {"log.vkey": f"{own.log.signer.verifier.vkey()}\n".encode(), "checkpoint": note.encode()}
    for tile in tiles_of(len(commitments)):
        found[tile.path()] = tile_bytes(tile, lambda *place: subtrees[place])
        if tile.level == 0:
            found[tile.entries_path()] = bundle(commitments[tile.index * 256 :][: tile.width])
    return found


def _content(folder: Path) -> Content:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def _size(own: OwnHub, out: Path) -> int:
    note = (out / "checkpoint").read_text("utf-8")
    return Checkpoint.parse(open_note(note, own.log.signer.verifier)).size


async def test_the_folder_is_the_log_and_grows_with_it(own: OwnHub, own_engine: AsyncEngine, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert own.type("ledger", "tiles", str(out))[1]["code"] == "ledger_empty"
    await _fill(own, own_engine, *FIRST)
    code, said = own.type("ledger", "tiles", str(out))
    expected = await _expected(own, own_engine)
    assert _content(out) == expected
    assert {"tile/0/001", "tile/0/002.p/100", "tile/1/000.p/2", "tile/entries/002.p/100"} < expected.keys()
    root = Checkpoint.parse(open_note(expected["checkpoint"].decode(), own.log.signer.verifier)).root.hex()
    assert (code, said["size"], said["root"], said["left_out"], said["cosignatures"]) == (0, SIZE, root, 0, 0)
    # All but the log's key, which was there.
    assert said["written"] == len(expected) - 1
    assert own.type("ledger", "tiles", str(out))[1]["written"] == 0
    before = {file: file.stat().st_ino for file in out.rglob("*") if file.is_file()}
    await _fill(own, own_engine, 5)
    told: list[tuple[int, int]] = []
    await _tile(own, own_engine, out, lambda *done: told.append(done))
    # Of the entries, those are read that stand in a tile that is new.
    assert told == [(SIZE + 5, SIZE + 5)]
    assert {file for file, inode in before.items() if file.stat().st_ino != inode} == {out / "checkpoint"}
    await _fill(own, own_engine, 200, 1)
    await _tile(own, own_engine, out)
    # What no full tile replaces is still needed by who has the older checkpoint.
    assert _content(out) == await _expected(own, own_engine) | {"tile/1/000.p/2": expected["tile/1/000.p/2"]}


async def test_a_run_reads_what_is_new_and_no_table_as_a_whole(
    own: OwnHub, own_engine: AsyncEngine, tmp_path: Path
) -> None:
    await _fill(own, own_engine, *[5000] * 4)
    await _tile(own, own_engine, tmp_path / "out")
    await _fill(own, own_engine, 300)
    with questions(own_engine) as asked:
        await _tile(own, own_engine, tmp_path / "out")
    read = [await rows_read(own_engine, question) for question in asked]
    assert 300 < sum(read) < 5000, read


@pytest.mark.long
async def test_killed_at_any_moment_it_is_the_older_log_and_goes_on(
    own: OwnHub, own_engine: AsyncEngine, tmp_path: Path
) -> None:
    out, put, finish = tmp_path / "out", "hub.tilefolder:TileFolder.put", "hub.tilefolder:TileFolder.finish"
    moments = (
        (put,), (put, "--after", "--call", "3"), ("hub.leaves:read", "--call", "2"), (finish,),
        ("hub.tilefolder:TileFolder._sync", "--after"),
    )  # fmt: skip
    await _fill(own, own_engine, *FIRST)
    for moment in moments:
        assert own.type("ledger", "tiles", str(out), crash_at=moment)[0] == -signal.SIGKILL
        assert not (out / "checkpoint").exists()
    assert own.type("ledger", "tiles", str(out), crash_at=(finish, "--after"))[0] == -signal.SIGKILL
    older = await _expected(own, own_engine)
    assert _content(out) == older
    await _fill(own, own_engine, 300)
    for moment in moments:
        assert own.type("ledger", "tiles", str(out), crash_at=moment)[0] == -signal.SIGKILL
        assert older.items() <= _content(out).items()
    await _tile(own, own_engine, out)
    assert _content(out) == await _expected(own, own_engine) | {"tile/1/000.p/2": older["tile/1/000.p/2"]}


async def test_an_erased_entry_stays_in_its_bundle(own: OwnHub, own_engine: AsyncEngine, tmp_path: Path) -> None:
    await _fill(own, own_engine, *FIRST)
    expected = await _expected(own, own_engine)
    async with writing(own_engine, own.log) as connection:
        await erasure.erase(connection, own.log, [7, 300], Decision("Ana", "court order"))
    await _tile(own, own_engine, tmp_path / "out")
    found = _content(tmp_path / "out")
    for name in ("tile/0/000", "tile/0/001", "tile/entries/000", "tile/entries/001"):
        assert found[name] == expected[name]
    # As if it had been erased before commitments were kept.
    own.sql("UPDATE erasure SET commitment = NULL WHERE leaf_index = 300")
    code, said = own.type("ledger", "tiles", str(tmp_path / "fresh"))
    assert (code, said["left_out"]) == (0, 1)
    assert _content(tmp_path / "fresh").keys() == found.keys() - {"tile/entries/001"}
    own.sql("UPDATE erasure SET commitment = sha256('x') WHERE leaf_index = 7")
    with pytest.raises(LedgerBroken, match="leaf and commitment of the erased entry 7 do not fit"):
        await _tile(own, own_engine, tmp_path / "other")


async def test_cosignatures_come_with_the_checkpoint_they_are_of(
    own: OwnHub, own_engine: AsyncEngine, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    await _fill(own, own_engine, *FIRST)
    assert (await _tile(own, own_engine, out)).cosignatures == 0
    await rounds.current(own_engine, own.log, ["bg", "ro"], 0)
    witnesses = [Cosigner(f"{node}.example.org", SigningKey.generate()) for node in ("bg", "ro")]
    async with own_engine.begin() as connection:
        note = (await head(connection)).note
        rows = [{"size": SIZE, "node": who.name[:2], "line": cosign(note, who, 1), "at": 1} for who in witnesses]
        await connection.execute(insert(tables.cosignature), rows)
    assert (await _tile(own, own_engine, out)).cosignatures == 2
    published = Note.parse((out / "checkpoint").read_text("utf-8"))
    assert own.log.second is not None
    for key in (own.log.signer.verifier, own.log.second.verifier, *(who.verifier for who in witnesses)):
        published.check(key)
    await _fill(own, own_engine, 1)
    assert (await _tile(own, own_engine, out)).cosignatures == 0
    assert _size(own, out) == SIZE + 1


async def test_what_a_quorum_has_cosigned_is_published_and_no_folder_goes_back(
    own: OwnHub, own_engine: AsyncEngine, tmp_path: Path
) -> None:
    out, ahead = tmp_path / "out", tmp_path / "ahead"

    def said(folder: Path) -> tuple[int, bool, int, int]:
        code, found = own.type("ledger", "tiles", str(folder))
        assert code == 0
        assert _size(own, folder) == found["size"]
        return found["size"], found["witnessed"], found["cosignatures"], found["newest"]

    await publish_witnesses(own, own_engine)
    await _fill(own, own_engine, 299)
    # One of three is no quorum.
    await cosign_at(own_engine, 300, "bg")
    assert said(out) == (300, False, 1, 300)
    await _fill(own, own_engine, 5)
    assert said(ahead) == (305, False, 0, 305)
    await cosign_at(own_engine, 300, "ro")
    assert said(out) == (300, True, 2, 305)
    assert said(tmp_path / "fresh") == (300, True, 2, 305)
    # What is published already stays published, and nothing more until a quorum has caught up with it.
    await _fill(own, own_engine, 1)
    assert said(ahead) == (305, False, 0, 306)
    await cosign_at(own_engine, 305, "tr")
    assert said(ahead) == (305, False, 1, 306)
    await cosign_at(own_engine, 306, "tr", "ro")
    await _fill(own, own_engine, 1)
    assert said(ahead) == said(out) == (306, True, 2, 307)
    assert _content(ahead).keys() - _content(out).keys() == {f"tile/{at}/001.p/49" for at in ("0", "entries")}
    own.sql("UPDATE ledger_checkpoint SET note = replace(note, 'ledger', 'ledgers') WHERE size = 306")
    with pytest.raises(LedgerBroken, match="the checkpoint of 306 entries is not signed by us"):
        await _tile(own, own_engine, out)


async def test_cosignatures_that_nobody_made_are_no_quorum(
    own: OwnHub, own_engine: AsyncEngine, tmp_path: Path
) -> None:
    await publish_witnesses(own, own_engine)
    await _fill(own, own_engine, 9)
    await cosign_at(own_engine, 10, "bg", "ro")
    await _fill(own, own_engine, 5)
    keys = {node: witness.verifier for node, witness in WITNESSES.items()}
    made_up = (
        "repeat('x', 9)",
        # Another's, and of another checkpoint.
        "(SELECT line FROM cosignature WHERE size = 15 AND node = 'bg')",
        "(SELECT line FROM cosignature WHERE size = 10 AND node = 'ro')",
    )
    await cosign_at(own_engine, 15, "bg")
    for line in made_up:
        own.sql(f"INSERT INTO cosignature VALUES (15, 'ro', {line}, 1), (15, 'tr', {line}, 1)")  # noqa: S608 ours
        async with own_engine.connect() as connection:
            assert (await tiles.choose(connection, own.log, None)).head.range.size == 10
            [told] = await rounds.others(connection, own.log, 16, keys)
        assert Checkpoint.parse(Note.parse(told).text).size == 10
        assert own.type("ledger", "export", str(tmp_path / "out"), "--witnessed")[1]["size"] == 10
        own.sql("DELETE FROM cosignature WHERE size = 15 AND node != 'bg'")
    # Nor is what witnesses cosigned put under another tree.
    await cosign_at(own_engine, 15, "ro", "tr")
    own.sql("UPDATE ledger_checkpoint SET frontier = sha256('x') || substr(frontier, 33) WHERE size = 15")
    async with own_engine.connect() as connection:
        found = await rounds.witnessed(connection, own.log)
        assert found is not None
        assert found.range.size == 10


async def test_another_ledger_than_the_folder_s_is_not_laid_over_it(
    own: OwnHub, own_engine: AsyncEngine, tmp_path: Path
) -> None:
    await _fill(own, own_engine, 300)
    await own_engine.dispose()
    own.back_up()
    store, out = own.log.store.path, tmp_path / "out"
    kept = store.read_bytes()
    await _fill(own, own_engine, 300)
    await _tile(own, own_engine, out)
    before = _content(out)
    await own_engine.dispose()
    own.restore()
    assert own.type("ledger", "tiles", str(out))[1]["code"] == "ledger_behind"
    # Nobody but the folder knows better than a lock store that was restored with the database.
    store.write_bytes(kept)
    code, said = own.type("ledger", "tiles", str(out))
    assert (code, said["code"]) == (3, "ledger_behind")
    await _fill(own, own_engine, 400)
    with pytest.raises(LedgerForked):
        await _tile(own, own_engine, out)
    assert _content(out) == before
    (out / "log.vkey").write_text("another")
    code, said = own.type("ledger", "tiles", str(out))
    assert (code, said["code"]) == (2, "export_foreign")


async def test_rows_that_were_changed_are_not_published(own: OwnHub, own_engine: AsyncEngine, tmp_path: Path) -> None:
    await _fill(own, own_engine, 300)
    await _tile(own, own_engine, tmp_path / "out")
    before = (tmp_path / "out" / "checkpoint").read_bytes()
    await _fill(own, own_engine, 300)
    own.sql("UPDATE ledger_content SET salt = sha256('x') WHERE leaf_index = 500")
    code, said = own.type("ledger", "tiles", str(tmp_path / "out"))
    assert (code, said["code"]) == (6, "ledger_broken")
    own.sql(
        "UPDATE ledger_leaf SET hash = sha256('\\x00' || sha256(salt || entry)) "
        "FROM ledger_content WHERE ledger_content.leaf_index = ledger_leaf.leaf_index"
    )
    with pytest.raises(LedgerBroken, match="one of the entries 300 to 599 was changed"):
        await _tile(own, own_engine, tmp_path / "out")
    assert (tmp_path / "out" / "checkpoint").read_bytes() == before
    for row, words in ((599, "the leaf of entry 599 is missing"), (299, "43 of the 44 hashes of tile/0/001")):
        own.sql(f"DELETE FROM ledger_leaf WHERE leaf_index = {row}")  # noqa: S608 ours
        with pytest.raises(LedgerBroken, match=words):
            await _tile(own, own_engine, tmp_path / "out")


def _ran(program: Path, out: Path) -> tuple[int, str]:
    done = subprocess.run([program, "tiles", out], capture_output=True, text=True)
    assert bool(done.stderr) == bool(done.returncode), done.stderr
    return done.returncode, done.stdout


@needs_go
async def test_go_verifies_the_folder_as_it_grows(own: OwnHub, own_engine: AsyncEngine, tmp_path: Path) -> None:
    (tmp_path / "go").mkdir()
    program, out = build(tmp_path / "go"), tmp_path / "out"
    for batches in (FIRST, (1000,), (3,)):
        await _fill(own, own_engine, *batches)
        done = await _tile(own, own_engine, out)
        root = base64.b64encode(done.root).decode()
        assert _ran(program, out) == (0, f"entries {done.size} root {root}\n")
    (name,) = {tile.path() for tile in new_tiles(done.size - 3, done.size) if tile.level == 0}
    for altered in (name, name.replace("/0/", "/entries/")):
        whole = (out / altered).read_bytes()
        (out / altered).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        assert _ran(program, out) == (1, "")
        (out / altered).write_bytes(whole)
