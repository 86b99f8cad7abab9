"""What of a valid body its sender should look at again: times that cannot be, or are odd, and unverified identifiers.

Asked at the sender's side only, of a body as `registry.body_bytes` has made it: what a recipient has cannot be mended
there, and what time it is differs between the two. Fields are known by their names, which mean the same in all kinds.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from schemas.dates import earliest, moment
from schemas.registry import BodyInvalid, FieldError, body_bytes

# What comes first of two, and what may not lie before it.
_ORDER: Final = (
    ("begins", "ends"),
    ("began", "ended"),
    ("departs", "arrives"),
    ("issued", "expires"),
    ("born", "died"),
    ("since", "until"),
)
# What has happened when it is told; an event, a plan, or a way may be expected.
_PAST: Final = ("born", "died", "founded", "committed", "stolen_on", "seized_on", "found_on")
# What may be stated so, on a forged paper or an order that runs, and is seldom meant.
_MOSTLY_PAST: Final = ("issued", "on")
_EXPECTED: Final = ("expected",)
_OLDEST_PERSON: Final = 120
# Somewhere it is tomorrow already.
_ZONES: Final = timedelta(days=1)
_TIME: Final = re.compile(r"[0-9]{4}(-[0-9]{2}(-[0-9]{2}(T.+)?)?)?")
UNVERIFIED: Final = "does not pass its check, or none is known; it is sent as stated, and marked unverified"


@dataclass(frozen=True, slots=True)
class Remark:
    """What is to be said of a field, as it goes on behind its name; `sure` if it cannot be as it stands."""

    field: str
    said: str
    sure: bool

    def __str__(self) -> str:
        return f"{self.field}: {self.said}"


def check(kind: str, body: dict[str, Any], now: int) -> list[str]:
    """Warnings of a valid body at `now` (ms), a line each. Raises BodyInvalid for times that cannot be."""
    found = list(remarks(kind, body, now))
    wrong = tuple(FieldError(one.field, one.said, "string") for one in found if one.sure)
    if wrong:
        raise BodyInvalid(kind, wrong)
    return [f"body.{one}" for one in found]


def remarks(kind: str, body: dict[str, Any], now: int) -> Iterator[Remark]:
    """All that is to be said of a body, in its order."""
    today = datetime.fromtimestamp(now / 1000, UTC).date()
    content = body.get("content")
    if not isinstance(content, dict):
        yield from _within(body, "", today)
        return
    yield from _within({name: value for name, value in body.items() if name != "content"}, "", today)
    # What is carried stands as its sender has written it.
    carried = json.loads(body_bytes(content["kind"], int(content.get("kind_version", 1)), content["body"]))
    for one in _within(carried, "content.body", today):
        # Who hands on what another has said does not mend it.
        yield Remark(one.field, one.said, one.sure and kind != "forward")


def _within(value: Any, place: str, today: date) -> Iterator[Remark]:
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield from _within(item, f"{place}.{number}", today)
    elif isinstance(value, dict):
        if value.get("verified") is False and "stated" in value:
            yield Remark(place, UNVERIFIED, sure=False)
            return
        at = f"{place}." if place else ""
        for one in _of_times({name: text for name, text in value.items() if _is_time(text)}, today):
            yield Remark(f"{at}{one.field}", one.said, one.sure)
        for name, item in value.items():
            if isinstance(item, dict | list):
                yield from _within(item, f"{at}{name}", today)


def _is_time(text: object) -> bool:
    return isinstance(text, str) and _TIME.fullmatch(text) is not None


def _of_times(times: dict[str, str], today: date) -> Iterator[Remark]:
    for first, last in _ORDER:
        if first in times and last in times and _before(times[last], times[first]):
            yield Remark(last, f"must not be before {first}", sure=True)
    for name, text in times.items():
        if name in _PAST and earliest(text) > today + _ZONES:
            yield Remark(name, "must not be in the future", sure=True)
        elif name in _MOSTLY_PAST and earliest(text) > today + _ZONES:
            yield Remark(name, "is in the future: is it meant?", sure=False)
        elif name in _EXPECTED and _before(text, (today - _ZONES).isoformat()):
            yield Remark(name, "is past already: is it meant?", sure=False)
        elif name == "born" and earliest(text).year < today.year - _OLDEST_PERSON:
            yield Remark(name, f"is more than {_OLDEST_PERSON} years ago: is it meant?", sure=False)


def _before(one: str, other: str) -> bool:
    """Whether a date or time is sure to be before another one, as far as both are known, in whatever zones."""
    times = moment(one), moment(other)
    if times[0] is not None and times[1] is not None:
        return times[0] < times[1]
    if (times[0] is None) != (times[1] is None) and min(len(one), len(other)) >= len("2004-11-15"):
        # Not added to: there is no day after 9999-12-31.
        return earliest(other) - earliest(one) > _ZONES
    known = min(len(one), len(other), len("2004-11-15"))
    return one[:known] < other[:known]
