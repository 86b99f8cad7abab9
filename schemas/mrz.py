"""Check digits of machine readable zones (ICAO Doc 9303, parts 3 to 7): passports, identity cards, visas.

By hand: docs/decisions/0008 has the libraries that there are, and why none will do.
"""

import re
from dataclasses import dataclass
from string import ascii_uppercase, digits
from typing import Final

_LINE: Final = re.compile(r"[A-Z0-9<]+")
_FILLER: Final = "<"
_VALUES: Final = {_FILLER: 0} | {character: int(character, 36) for character in digits + ascii_uppercase}


class MrzInvalid(ValueError):
    """The text is no machine readable zone, or a check digit is wrong. Code `mrz_invalid`."""

    code = "mrz_invalid"


@dataclass(frozen=True, slots=True)
class Layout:
    """Where what stands in a zone whose lines are joined: places of first and last character, end excluded.

    A check digit follows the number, the date of birth and the date of expiry at once. `personal` has one that may be
    a filler where the field is empty; `composite` are the parts under the last character's digit. `long_number` is
    where a number of more than nine characters goes on, its check digit its last (part 5, 4.2.2.2).
    """

    name: str
    number: tuple[int, int]
    dates: tuple[tuple[int, int], ...]
    personal: tuple[int, int] | None = None
    composite: tuple[tuple[int, int], ...] = ()
    composite_digit: int = -1
    long_number: tuple[int, int] | None = None


_TD1: Final = Layout(
    "TD1",
    number=(5, 14),
    dates=((30, 36), (38, 44)),
    composite=((5, 30), (30, 37), (38, 45), (48, 59)),
    composite_digit=59,
    long_number=(15, 30),
)
_TD2: Final = Layout(
    "TD2",
    number=(36, 45),
    dates=((49, 55), (57, 63)),
    composite=((36, 46), (49, 56), (57, 71)),
    composite_digit=71,
    long_number=(64, 71),
)
_TD3: Final = Layout(
    "TD3",
    number=(44, 53),
    dates=((57, 63), (65, 71)),
    personal=(72, 86),
    composite=((44, 54), (57, 64), (65, 87)),
    composite_digit=87,
)
_MRV_A: Final = Layout("MRV-A", number=(44, 53), dates=((57, 63), (65, 71)))
_MRV_B: Final = Layout("MRV-B", number=(36, 45), dates=((49, 55), (57, 63)))


def check_digit(text: str) -> str:
    """The check digit of a field: weights 7, 3, 1, modulo 10; letters count from 10, the filler 0 (part 3, 4.9)."""
    values = [_VALUES[character] for character in text]
    return str((7 * sum(values[::3]) + 3 * sum(values[1::3]) + sum(values[2::3])) % 10)


def validate(text: str) -> str:
    """The zone as two or three lines, if all its check digits are right; spaces do not count. Raises MrzInvalid."""
    lines = ["".join(line.split()).upper() for line in text.strip().splitlines()]
    layout = _layout(lines)
    zone = "".join(lines)
    if not _LINE.fullmatch(zone):
        raise MrzInvalid("a zone has the letters A to Z, digits and <")
    wrong = [name for name, held in _checks(layout, zone) if not held]
    if wrong:
        raise MrzInvalid(f"{layout.name}: the check digit of the {wrong[0]} is wrong")
    return "\n".join(lines)


def _layout(lines: list[str]) -> Layout:
    shape = [len(line) for line in lines]
    visa = bool(lines) and lines[0].startswith("V")
    if shape == [44, 44]:
        return _MRV_A if visa else _TD3
    if shape == [36, 36]:
        return _MRV_B if visa else _TD2
    if shape == [30, 30, 30]:
        return _TD1
    raise MrzInvalid("a zone has two lines of 44 or of 36 characters, or three of 30")


def _checks(layout: Layout, zone: str) -> list[tuple[str, bool]]:
    begin, end = layout.number
    number, digit = zone[begin:end], zone[end]
    if digit == _FILLER and layout.long_number is not None:
        rest = zone[slice(*layout.long_number)].split(_FILLER)[0]
        number, digit = number + rest[:-1], rest[-1:]
    first, last = layout.dates
    checks = [
        ("number", check_digit(number) == digit),
        ("date of birth", check_digit(zone[slice(*first)]) == zone[first[1]]),
        ("date of expiry", check_digit(zone[slice(*last)]) == zone[last[1]]),
    ]
    if layout.personal is not None:
        personal, digit = zone[slice(*layout.personal)], zone[layout.personal[1]]
        empty = digit == _FILLER and not personal.strip(_FILLER)
        checks.append(("personal number", empty or check_digit(personal) == digit))
    if layout.composite:
        whole = "".join(zone[slice(*part)] for part in layout.composite)
        checks.append(("whole", check_digit(whole) == zone[layout.composite_digit]))
    return checks
