"""The file with figures of years before the system: CSV or JSON, with a year, a field and a count for each. Pure.

year,field,count
2003,drugs,44
"""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from hub.errors import FiguresRefused
from schemas.statistics import FIELDS
from schemas.wording import wanted

_COLUMNS: Final = ("year", "field", "count")
_SHOWN: Final = 5
_CODES: Final = {written.casefold(): one.code for one in FIELDS for written in (one.code, one.name)}


def _code(written: object) -> object:
    if not isinstance(written, str) or written.strip().casefold() not in _CODES:
        raise ValueError(f"must be a field of the table: {', '.join(one.code for one in FIELDS)}")
    return _CODES[written.strip().casefold()]


class Figure(BaseModel):
    """How many exchanges a field had in a year. `field` is its code, in the file also its name as printed."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    year: Annotated[int, Field(ge=1999, le=2999)]
    field: Annotated[str, BeforeValidator(_code)]
    count: Annotated[int, Field(ge=0, le=10**9)]


def read(data: bytes) -> tuple[Figure, ...]:
    """The figures in a file. Raises FiguresRefused, naming each line that is wrong, or the first few."""
    found: list[Figure] = []
    faults: list[str] = []
    for place, line in _lines(data):
        try:
            found.append(Figure.model_validate(line))
        except ValidationError as error:
            faults += [f"{place}: {'.'.join(map(str, e['loc'])) or 'it'} {wanted(e)}" for e in error.errors()]
    faults += _repeated(found)
    if faults:
        more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise _refused("; ".join(faults[:_SHOWN]) + more)
    if not found:
        raise _refused("there is no figure in it")
    return tuple(found)


def _lines(data: bytes) -> Iterator[tuple[str, Any]]:
    try:
        text = data.decode("utf-8-sig")
        if text.lstrip()[:1] in ("[", "{"):
            read = json.loads(text)
            if not isinstance(read, list):
                raise _refused("its JSON is no list")
            yield from ((f"figure {place}", line) for place, line in enumerate(read, 1))
            return
        table = csv.DictReader(io.StringIO(text), restkey="more", strict=True)
        if tuple(table.fieldnames or ()) != _COLUMNS:
            raise _refused(f"its first line must be {','.join(_COLUMNS)}")
        for line in table:
            # What is missing has None for its value.
            yield f"line {table.line_num}", {name: value for name, value in line.items() if value is not None}
    except (UnicodeDecodeError, ValueError, RecursionError, csv.Error) as error:
        raise _refused(f"it does not read: {type(error).__name__}") from error


def _repeated(found: Sequence[Figure]) -> list[str]:
    known: set[tuple[int, str]] = set()
    twice = []
    for figure in found:
        key = (figure.year, figure.field)
        if key in known:
            twice.append(f"{figure.field} of {figure.year} stands in it more than once")
        known.add(key)
    return twice


def _refused(what: str) -> FiguresRefused:
    return FiguresRefused(f"the file of figures: {what}", "correct it, and repeat the command; nothing was imported")
