"""Who is signed in at the console: in memory only, so a restart signs all out."""

import hashlib
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

IDLE_S: Final = 900
LONGEST_S: Final = 8 * 3600
# Of more than so many the one that was used longest ago ends.
MOST: Final = 32
MOST_WRONG: Final = 10
WRONG_S: Final = 60


@dataclass(slots=True)
class _Session:
    begun: float
    used: float

    def left(self, now: float) -> float:
        return min(self.used + IDLE_S, self.begun + LONGEST_S) - now


@dataclass(slots=True)
class Sessions:
    """Of one agent. What is kept of a session's id is its SHA-256; `clock` gives seconds that only grow."""

    clock: Callable[[], float] = time.monotonic
    _kept: dict[bytes, _Session] = field(default_factory=dict)

    def begin(self) -> str:
        """A new session's id, which nobody can guess."""
        now, id = self.clock(), secrets.token_urlsafe(32)
        self._kept = {key: one for key, one in self._kept.items() if one.left(now) > 0}
        while len(self._kept) >= MOST:
            del self._kept[min(self._kept, key=lambda key: self._kept[key].used)]
        self._kept[_digest(id)] = _Session(now, now)
        return id

    def left(self, id: str, *, used: bool) -> float | None:
        """In how many seconds the session ends by itself, None if there is none; `used` says that somebody is there."""
        now, key = self.clock(), _digest(id)
        found = self._kept.get(key)
        if found is None or found.left(now) <= 0:
            self._kept.pop(key, None)
            return None
        if used:
            found.used = now
        return found.left(now)

    def end(self, id: str) -> None:
        """Signs out."""
        self._kept.pop(_digest(id), None)


@dataclass(slots=True)
class Attempts:
    """So many wrong tokens a minute are looked at, and then none at all for a while."""

    clock: Callable[[], float] = time.monotonic
    _wrong: deque[float] = field(default_factory=deque)

    def are_too_many(self) -> bool:
        """Whether there is a pause now."""
        while self._wrong and self._wrong[0] <= self.clock() - WRONG_S:
            self._wrong.popleft()
        return len(self._wrong) >= MOST_WRONG

    def failed(self) -> None:
        """Counts one."""
        self._wrong.append(self.clock())


def _digest(id: str) -> bytes:
    return hashlib.sha256(id.encode(errors="surrogateescape")).digest()
