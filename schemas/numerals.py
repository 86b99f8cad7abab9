"""Numbers as people write them: `3,3` and `188.9`, `250,000` and `1 574`. A comma may be a decimal mark or not.

Pages 15 to 18 of the customer's document have all of these. So a text has readings, one or two, and whoever knows
the number knows which of them is meant; a sum is then written as its parts were.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

_NUMBER: Final = re.compile(r"[0-9]{1,15}(?:[.,' \u00a0\u202f][0-9]{1,15}){0,5}")
_SEPARATOR: Final = re.compile(r"[.,' \u00a0\u202f]")
_DECIMAL_MARKS: Final = (",", ".")
_GROUP: Final = 3


class NumeralInvalid(ValueError):
    """The text is no number in any way of writing that we know. Code `numeral_invalid`."""

    code = "numeral_invalid"


@dataclass(frozen=True, slots=True)
class Form:
    """How a number is written: its decimal mark, and what stands between groups of three digits.

    None where the number does not show it; an empty `group` says that there is nothing between them.
    """

    mark: str | None = None
    group: str | None = None


def readings(text: str) -> dict[Decimal, Form]:
    """The numbers that the text may stand for, each with how it would be written then. Raises NumeralInvalid."""
    if not _NUMBER.fullmatch(text):
        raise NumeralInvalid("is no number: digits, a decimal comma or dot, and groups of three")
    separators, digits = _SEPARATOR.findall(text), _SEPARATOR.split(text)
    found: dict[Decimal, Form] = {}
    if _is_grouped(separators, digits):
        shown = separators[0] if separators else ""
        found[Decimal("".join(digits))] = Form(None, shown if len("".join(digits)) > _GROUP else None)
    if separators and separators[-1] in _DECIMAL_MARKS and _is_grouped(separators[:-1], digits[:-1]):
        whole, mark = "".join(digits[:-1]), separators[-1]
        if mark not in separators[:-1]:
            group = separators[0] if len(separators) > 1 else "" if len(whole) > _GROUP else None
            found[Decimal(f"{whole}.{digits[-1]}")] = Form(mark, group)
    if not found:
        raise NumeralInvalid("is no number: its groups of digits are not of three")
    return found


def common(forms: Iterable[Form]) -> Form:
    """How a sum is written whose parts are written like this: as most of them are, and the first of as many."""
    parts = list(forms)
    group = _most(part.group for part in parts) or ""
    mark = _most(part.mark for part in parts) or ("," if group == "." else ".")
    return Form(mark, "" if group == mark else group)


def write(number: Decimal, form: Form) -> str:
    """The number in this form; no more digits behind the mark than it has."""
    whole, _, fraction = format(number, "f").partition(".")
    grouped = f"{int(whole):,}".replace(",", form.group or "")
    fraction = fraction.rstrip("0")
    return f"{grouped}{form.mark or '.'}{fraction}" if fraction else grouped


def _is_grouped(separators: list[str], digits: list[str]) -> bool:
    if not separators:
        return True
    return (
        len(set(separators)) == 1
        and len(digits[0]) <= _GROUP
        and not digits[0].startswith("0")
        and all(len(group) == _GROUP for group in digits[1:])
    )


def _most(shown: Iterable[str | None]) -> str | None:
    counted = Counter(item for item in shown if item is not None)
    return counted.most_common(1)[0][0] if counted else None
