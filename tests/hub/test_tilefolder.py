"""The folder of a tiled log through kills at any step: it is a log at any moment, and the next run goes on with it."""

import itertools
import os
import signal
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from crypto.keys import SigningKey
from crypto.note import Checkpoint, NoteSigner, open_note, sign_note
from crypto.tiles import bundle, new_tiles, tile_bytes, tiles_of
from hub import folder, tilefolder
from hub.errors import ExportBusy, ExportForeign, FileUnwritable
from hub.tilefolder import TileFolder
from tests.crypto.cosigners import LOG, Ledger

BEFORE, AFTER, LATER = 300, 310, 600
MOST = 2000
Content = dict[str, bytes]


@cache
def _files(size: int) -> Content:
    """What a tree of that size is served as, without its checkpoint."""
    ledger, found = Ledger(size), {}
    nodes, commitments = ledger.nodes(), ledger.commitments()
    for tile in tiles_of(size):
        found[tile.path()] = tile_bytes(tile, nodes)
        if tile.level == 0:
            found[tile.entries_path()] = bundle(commitments[tile.index * 256 :][: tile.width])
    return found


@cache
def _note(size: int) -> str:
    return sign_note(Ledger(size).text().text(), LOG)


def _publish(path: Path, size: int) -> None:
    """As `hub.tiles` writes it, with what it reads from the database at hand."""
    with TileFolder.open(path, LOG.verifier) as opened:
        for tile in new_tiles(0 if opened.published is None else opened.published.size, size):
            names = (tile.path(), tile.entries_path()) if tile.level == 0 else (tile.path(),)
            for name in names:
                opened.put(name, _files(size)[name])
        opened.finish(size, _note(size))


def _content(path: Path) -> Content:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def _published(path: Path) -> int:
    """The size of the log that the folder is, of which nothing is missing or other than it should be; 0 for none."""
    found = _content(path)
    if "checkpoint" not in found:
        return 0
    size = Checkpoint.parse(open_note(found["checkpoint"].decode(), LOG.verifier)).size
    assert _files(size).items() <= found.items()
    return size


def _killed_at(step: int, act: Callable[[], None]) -> bool:
    """Does it in another process that is killed before this line of ours; whether it came so far."""
    passed = itertools.count(1)

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename not in (tilefolder.__file__, folder.__file__):
            return None
        if event in ("line", "return") and next(passed) == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    pid = os.fork()
    if not pid:
        try:
            sys.settrace(trace)
            act()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


@pytest.fixture
def _no_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill loses nothing that was written: these tests need not wait for the disk."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.mark.usefixtures("_no_disk")
@pytest.mark.parametrize("stride", [7, pytest.param(1, marks=pytest.mark.long)])
def test_a_kill_at_any_step_leaves_a_log_that_is_gone_on_with(tmp_path: Path, stride: int) -> None:
    for size in (BEFORE, LATER):
        _publish(tmp_path / f"{size}", size)
    fresh = {size: _content(tmp_path / f"{size}") for size in (BEFORE, LATER)}
    assert fresh[BEFORE].keys() == {"log.vkey", "checkpoint", *_files(BEFORE)}
    seen = set()
    for step in range(1, MOST, stride):
        path = tmp_path / f"step {step}"
        killed = _killed_at(step, lambda path=path: _publish(path, BEFORE))  # type: ignore[misc]
        assert _published(path) in (0, BEFORE)
        _publish(path, BEFORE)
        assert _content(path) == fresh[BEFORE]
        again = _killed_at(step, lambda path=path: _publish(path, LATER))  # type: ignore[misc]
        seen.add(_published(path))
        _publish(path, LATER)
        # A kill between the checkpoint and the clearing up leaves tiles that nobody needs any more.
        assert fresh[LATER].items() <= _content(path).items() <= (fresh[BEFORE] | fresh[LATER]).items()
        # The ledger may have grown before it is run again.
        path = tmp_path / f"step {step} and more"
        _killed_at(step, lambda path=path: _publish(path, BEFORE))  # type: ignore[misc]
        _publish(path, LATER)
        assert _published(path) == LATER
        if not killed and not again:
            break
    assert 100 < step < MOST - stride
    assert seen == {BEFORE, LATER}


@pytest.mark.usefixtures("_no_disk")
def test_a_partial_tile_goes_when_the_full_one_is_there_and_not_before(tmp_path: Path) -> None:
    for size in (BEFORE, AFTER):
        _publish(tmp_path, size)
    partial = {"tile/0/001.p/44", "tile/0/001.p/54", "tile/entries/001.p/44", "tile/entries/001.p/54"}
    assert partial < _content(tmp_path).keys()
    _publish(tmp_path, LATER)
    assert _content(tmp_path).keys() == {"log.vkey", "checkpoint", "tile/1/000.p/1", *_files(LATER)}


def test_all_that_a_checkpoint_is_about_is_on_the_disk_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    _publish(tmp_path, BEFORE)
    before = {file.stat().st_ino for file in tmp_path.rglob("*")}
    # What a run that was killed has left was not synced by it.
    with TileFolder.open(tmp_path, LOG.verifier) as opened:
        opened.put("tile/0/001", _files(LATER)["tile/0/001"])
    del synced[:]
    _publish(tmp_path, LATER)
    moment = synced.index((tmp_path / "checkpoint").stat().st_ino)
    # In each of the folders there is something new.
    new = {file.stat().st_ino for file in tmp_path.rglob("*") if file.name != "checkpoint"} - before
    folders = {found.stat().st_ino for found in (tmp_path, *tmp_path.rglob("*")) if found.is_dir()}
    assert new | folders <= set(synced[:moment])
    assert synced[moment + 1 :] == [tmp_path.stat().st_ino]


@pytest.mark.usefixtures("_no_disk")
def test_what_is_there_is_not_written_again_unless_it_is_damaged(tmp_path: Path) -> None:
    _publish(tmp_path, BEFORE)
    (tmp_path / "tile/0/001").write_bytes(bytes(8192))
    with TileFolder.open(tmp_path, LOG.verifier) as opened:
        for name in ("tile/0/000", "tile/0/001", "tile/entries/001"):
            opened.put(name, _files(LATER)[name])
        assert opened.written == 2
    _publish(tmp_path, LATER)
    assert _published(tmp_path) == LATER


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    def refused(name: str, words: str, log: NoteSigner = LOG) -> None:
        with pytest.raises(ExportForeign, match=words), TileFolder.open(tmp_path / name, log.verifier):
            pass

    _publish(tmp_path / "ours", BEFORE)
    other = NoteSigner(LOG.name, SigningKey.generate())
    refused("ours", "the tiles of another log", other)
    foreign = Checkpoint("other.example.org", 3, bytes(32)).text()
    for note in (sign_note(Ledger(3).text().text(), other), "", "\N{EM DASH}", sign_note(foreign, LOG)):
        (tmp_path / "ours" / "checkpoint").write_text(note, "utf-8")
        refused("ours", "damaged, or not signed|of the log other")
    (tmp_path / "ours" / "checkpoint").write_bytes(b"\xff")
    refused("ours", "damaged")
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "to mother.txt").write_text("")
    refused("letters", "other things")
    (tmp_path / "file").write_text("")
    with pytest.raises(FileUnwritable), TileFolder.open(tmp_path / "file", LOG.verifier):
        pass


def test_two_do_not_write_to_one_folder(tmp_path: Path) -> None:
    with (
        TileFolder.open(tmp_path, LOG.verifier),
        pytest.raises(ExportBusy),
        TileFolder.open(tmp_path, LOG.verifier),
    ):
        pass
    _publish(tmp_path, BEFORE)
