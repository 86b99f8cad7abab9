"""How far a long command has come, on stderr: a bar on a terminal, else a line now and then."""

import sys
import time
from dataclasses import dataclass, field
from typing import Final

_BAR: Final = 30
_REDRAW_S: Final = 0.1
_LINE_S: Final = 5.0


@dataclass(slots=True)
class Progress:
    """Of so many `things`, as in `entries`. Call it with how many are done, and of how many."""

    things: str
    _begin: float = field(default_factory=time.monotonic)
    _told: float = field(default_factory=time.monotonic)
    _drawn: bool = False

    def __call__(self, done: int, size: int) -> None:
        """Says so, if it is time to."""
        now, terminal = time.monotonic(), sys.stderr.isatty()
        if now - self._told < (_REDRAW_S if terminal else _LINE_S) and not (self._drawn and done == size):
            return
        self._told = now
        rate = done / max(now - self._begin, 1e-9)
        words = f"{done} of {size} {self.things}, {rate:.0f}/s"
        if terminal:
            filled = _BAR * done // max(size, 1)
            # What is left of a longer line before it goes, too.
            sys.stderr.write(f"\r[{'#' * filled}{'.' * (_BAR - filled)}] {words}\x1b[K{chr(10) * (done == size)}")
            sys.stderr.flush()
            self._drawn = done < size
        else:
            sys.stderr.write(f"{words}\n")

    def end(self) -> None:
        """What comes next on stderr begins on a line of its own."""
        if self._drawn:
            sys.stderr.write("\n")
            self._drawn = False
