"""The folder of an export through kills at any step of its writing: what the next run makes of it is the same."""

import itertools
import os
import shutil
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from crypto.export import Manifest, roster_file
from hub import exportfolder, folder
from hub.errors import ExportBusy, ExportForeign, FileUnwritable
from hub.exportfolder import ExportFolder
from tests.crypto.exported import ROSTERS_AT, Ledger

BEFORE, AFTER = Ledger((1, 3, 7)), Ledger((1, 3, 7, 1, 9))
MOST = 2000


def _export(path: Path, ledger: Ledger) -> None:
    """As `hub.export` writes it, with what it reads from the database at hand."""
    manifest, size = ledger.manifest, sum(ledger.batches)
    with ExportFolder.open(path, manifest) as folder:
        for number in range(manifest.files(size)):
            name, start = manifest.file(number, size), number * manifest.chunk
            if not folder.has(name):
                folder.put(name, ledger.records(start, start + manifest.width(number, size)))
        for version, signed in enumerate(ROSTERS_AT.values(), 1):
            if not folder.has(roster_file(version)):
                folder.put(roster_file(version), signed)
        # What most have cosigned: an older one.
        folder.finish(size, ledger.notes[size], ledger.notes[sum(ledger.batches[:-1])])


def _content(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def _killed_at(step: int, act: Callable[[], None]) -> bool:
    """Does it in another process that is killed before this line of ours; whether it came so far."""
    passed = itertools.count(1)

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename not in (exportfolder.__file__, folder.__file__):
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


@pytest.fixture(autouse=True)
def _no_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill loses nothing that was written: these tests need not wait for the disk."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


def _left(base: Path | None, act: Callable[[Path], None], at: Path, stride: int) -> list[Path]:
    """What kills leave of a copy of `base`, at each `stride` steps, as folders in `at`: but once what several leave."""
    found: dict[frozenset[tuple[Path, bytes | bool]], Path] = {}
    at.mkdir()
    for step in range(1, MOST, stride):
        path = at / f"{step}"
        if base is not None:
            shutil.copytree(base, path)
        killed = _killed_at(step, lambda path=path: act(path))  # type: ignore[misc]
        # A folder without a file is another state than none.
        state = frozenset((file.relative_to(path), file.is_file() and file.read_bytes()) for file in path.rglob("*"))
        if found.setdefault(state, path) is not path:
            shutil.rmtree(path, ignore_errors=True)
        if not killed:
            assert step > 100
            return list(found.values())
    raise AssertionError(f"not done after {MOST} steps")


@pytest.mark.parametrize("stride", [3, pytest.param(1, marks=pytest.mark.long)])
def test_a_kill_at_any_step_of_a_first_export_and_of_one_that_goes_on(tmp_path: Path, stride: int) -> None:
    # In a small process: one that has all tests in it is long in forking.
    with ProcessPoolExecutor(1, get_context("spawn")) as small:
        small.submit(_kill_at_any_step, tmp_path, stride).result()


def _kill_at_any_step(tmp_path: Path, stride: int) -> None:
    os.fsync = lambda _: None
    _export(tmp_path / "whole", BEFORE)
    _export(tmp_path / "grown", AFTER)
    first, grown = _content(tmp_path / "whole"), _content(tmp_path / "grown")
    entries, rosters = ["entries/00000000", "entries/00000001.p3"], ["rosters/00000001", "rosters/00000002"]
    assert sorted(first) == ["checkpoint", *entries, "ledger.json", *rosters, "witnessed"]
    assert "entries/00000001.p3" not in grown
    (tmp_path / "more").mkdir()
    for path in _left(None, lambda path: _export(path, BEFORE), tmp_path / "begun", stride):
        # The ledger may have grown before it is run again.
        more = tmp_path / "more" / path.name
        if path.exists():
            shutil.copytree(path, more)
        _export(path, BEFORE)
        assert _content(path) == first
        _export(more, AFTER)
        assert _content(more) == grown
    for path in _left(tmp_path / "whole", lambda path: _export(path, AFTER), tmp_path / "gone on", stride):
        _export(path, AFTER)
        assert _content(path) == grown


def test_until_all_is_there_the_older_checkpoint_stands_with_its_files(tmp_path: Path) -> None:
    _export(tmp_path, BEFORE)
    before = _content(tmp_path)
    for step in range(1, MOST):
        killed = _killed_at(step, lambda: _export(tmp_path, AFTER))
        found = _content(tmp_path)
        if found["checkpoint"] != before["checkpoint"]:
            break
        assert killed
        assert before.items() <= found.items()
    assert all(found[name] == data for name, data in _content(tmp_path).items())
    assert "entries/00000002.p5" in found


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    ours = BEFORE.manifest
    _export(tmp_path / "ours", BEFORE)
    other = Manifest("other.example.org", ours.vkey.replace("ledger.example.org", "other.example.org"))
    with (
        pytest.raises(ExportForeign, match=r"holds an export of ledger\.example\.org"),
        ExportFolder.open(tmp_path / "ours", other),
    ):
        pass
    (tmp_path / "ours" / "ledger.json").write_text("{}")
    with pytest.raises(ExportForeign, match="damaged"), ExportFolder.open(tmp_path / "ours", ours):
        pass
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "to mother.txt").write_text("")
    with pytest.raises(ExportForeign, match="other things"), ExportFolder.open(tmp_path / "letters", ours):
        pass
    (tmp_path / "file").write_text("")
    with pytest.raises(FileUnwritable), ExportFolder.open(tmp_path / "file", ours):
        pass


def test_two_exports_to_one_folder_do_not_meet(tmp_path: Path) -> None:
    ours = BEFORE.manifest
    with ExportFolder.open(tmp_path, ours), pytest.raises(ExportBusy), ExportFolder.open(tmp_path, ours):
        pass
    _export(tmp_path, BEFORE)


def test_a_disk_that_is_full_is_no_database_that_is_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with ExportFolder.open(tmp_path, BEFORE.manifest) as folder:
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(FileUnwritable, match="No space left"):
            folder.put("entries/00000000", b"x")
        monkeypatch.undo()
        assert not folder.has("entries/00000000")
    _export(tmp_path, BEFORE)
    assert not any(name.endswith(".partial") for name in _content(tmp_path))
