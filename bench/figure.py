"""One measured figure: ours, what stands beside it in the same run, their ratio, and the ratio that is wanted."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.busy import DISTURBED


@dataclass(frozen=True, slots=True)
class Target:
    """The ratio wanted: at least `bound`, or at most."""

    bound: float
    at_most: bool = False

    def met_by(self, ratio: float) -> bool:
        """Whether a ratio is good enough."""
        return ratio <= self.bound if self.at_most else ratio >= self.bound

    def __str__(self) -> str:
        return f"{'<=' if self.at_most else '>='} {self.bound:g}"


@dataclass(frozen=True, slots=True)
class Figure:
    """A row of the table. `ours` and `beside` are in `unit`; `name` names the ratio, in JSON too.

    `note` is a few words for people, `details` is for programs. `others` is how many cores others kept
    busy meanwhile (None: not known).
    """

    name: str
    unit: str
    ours: float
    beside: float
    ratio: float
    target: Target | None = None
    note: str = ""
    others: float | None = None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def missed(self) -> bool:
        """Whether there is a target and the ratio does not meet it."""
        return self.target is not None and not self.target.met_by(self.ratio)

    @property
    def disturbed(self) -> bool:
        """Whether others kept so much of the machine busy that the row is not to be read."""
        return self.others is not None and self.others > DISTURBED


def percentile(values: Iterable[float], percent: float) -> float:
    """The smallest of the values that `percent` in a hundred do not exceed (nearest rank). Of at least one value."""
    ordered = sorted(values)
    return ordered[max(1, math.ceil(len(ordered) * percent / 100)) - 1]


def most(values: Sequence[float | None]) -> float | None:
    """The greatest of those known."""
    return max((value for value in values if value is not None), default=None)
