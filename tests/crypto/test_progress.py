"""Progress of a long command: a bar that is drawn over on a terminal, else lines now and then."""

import sys

import pytest

from crypto import progress
from crypto.progress import Progress


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_gets_a_bar_and_a_file_gets_lines(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 100.0
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    told = Progress("entries", now, now)
    for done in (1000, 2000, 4000):
        now += 6
        told(done, 4000)
    told.end()
    out, said = capsys.readouterr()
    assert out == ""
    if terminal:
        assert said.count("\r[") == 3
        assert said.count("\n") == 1
        assert "[#######.......................] 1000 of 4000 entries, 167/s" in said
    else:
        assert said == "1000 of 4000 entries, 167/s\n2000 of 4000 entries, 167/s\n4000 of 4000 entries, 222/s\n"


def test_what_is_done_at_once_is_not_worth_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    told = Progress("entries")
    told(5, 5)
    told.end()
    assert capsys.readouterr() == ("", "")


def test_a_bar_that_is_broken_off_leaves_the_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    told = Progress("entries", _told=0.0)
    told(1, 5)
    told.end()
    assert capsys.readouterr().err.endswith("\n")
