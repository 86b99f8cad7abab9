"""What expires, and how loudly it is to be said: from 30 days before on, and again at 14, at 7 and at 1."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

# In days before the end.
STEPS: Final = (30, 14, 7, 1)
_DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class Ending:
    """What ends, when (ms), and the last of the steps that has come: 0 once it has ended, None while it is far."""

    what: str
    end: int
    step: int | None

    def words(self, now: int) -> str:
        """As it is said to people."""
        day = f"{datetime.fromtimestamp(self.end / 1000, UTC):%Y-%m-%d %H:%M} UTC"
        if self.step == 0:
            return f"{self.what} expired at {day}"
        days = (self.end - now) // _DAY_MS
        return f"{self.what} expires in {f'{days} days' if days > 1 else 'a day or less'}, at {day}"


def step_of(end: int, now: int) -> int | None:
    """The last of the steps that has come for what ends at `end` (ms): 0 once it has ended, None while it is far."""
    left = (end - now) / _DAY_MS
    if left <= 0:
        return 0
    return min((step for step in STEPS if left <= step), default=None)


def endings(ends: Mapping[str, int], now: int) -> list[Ending]:
    """All of them; the first to end is the first."""
    return [Ending(what, end, step_of(end, now)) for what, end in sorted(ends.items(), key=lambda item: item[1])]


def warnings(ends: Mapping[str, int], now: int) -> list[str]:
    """A line for each thing that expires soon or has expired; the first to end is the first."""
    return [found.words(now) for found in endings(ends, now) if found.step is not None]
