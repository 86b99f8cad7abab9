"""What expires, and how loudly it is to be said: from 30 days before on, and again at 14, at 7 and at 1."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

# In days before the end.
STEPS: Final = (30, 14, 7, 1)
_DAY_MS: Final = 86_400_000


def step_of(end: int, now: int) -> int | None:
    """The last of the steps that has come for what ends at `end` (ms): 0 once it has ended, None while it is far."""
    left = (end - now) / _DAY_MS
    if left <= 0:
        return 0
    return min((step for step in STEPS if left <= step), default=None)


def warnings(ends: Mapping[str, int], now: int) -> list[str]:
    """A line for each thing that expires soon or has expired; the first to end is the first."""
    found = []
    for what, end in sorted(ends.items(), key=lambda item: item[1]):
        step, day = step_of(end, now), f"{datetime.fromtimestamp(end / 1000, UTC):%Y-%m-%d %H:%M} UTC"
        if step == 0:
            found.append(f"{what} expired at {day}")
        elif step is not None:
            days = (end - now) // _DAY_MS
            found.append(f"{what} expires in {f'{days} days' if days > 1 else 'a day or less'}, at {day}")
    return found
