"""The file with figures of years before the system: CSV or JSON, with a year, a field and a count for each. Pure.

year,field,count
2003,drugs,44
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from hub.errors import FiguresRefused
from schemas.statistics import FIELDS
from schemas.wording import wanted

_COLUMNS: Final = ("year", "field", "count")
_LONGEST_SHOWN: Final = 40
_CODES: Final = {written.casefold(): one.code for one in FIELDS for written in (one.code, one.name)}
Fault = dict[str, str]


def _code(written: object) -> object:
    if not isinstance(written, str) or written.strip().casefold() not in _CODES:
        raise ValueError(f"must be a field of the table: {', '.join(one.code for one in FIELDS)}")
    return _CODES[written.strip().casefold()]


def _number(written: object) -> object:
    if isinstance(written, bool):
        raise ValueError("must be a whole number")
    return written


class Figure(BaseModel):
    """How many exchanges a field had in a year. `field` is its code, in the file also its name as printed."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    year: Annotated[int, BeforeValidator(_number), Field(ge=1999, le=2999)]
    field: Annotated[str, BeforeValidator(_code)]
    count: Annotated[int, BeforeValidator(_number), Field(ge=0, le=10**9)]


def read(data: bytes, this_year: int) -> tuple[Figure, ...]:
    """The figures in a file, none of a year after this one. Raises FiguresRefused, naming each line that is wrong."""
    found: list[tuple[str, Figure]] = []
    wrong: dict[str, list[Fault]] = {}
    for place, line in _lines(data):
        told = wrong.setdefault(place, [])
        try:
            found.append((place, Figure.model_validate(line)))
        except ValidationError as error:
            told += [_fault(place, item["loc"], line, wanted(item)) for item in error.errors()]
    for place, fault in (*_ahead(found, this_year), *_repeated(found)):
        wrong[place].append(fault)
    # As the lines stand in the file, whatever is wrong with each.
    faults = [fault for told in wrong.values() for fault in told]
    if faults:
        number = "one thing is wrong" if len(faults) == 1 else f"{len(faults)} things are wrong"
        raise _refused(number, faults)
    if not found:
        raise _refused("there is no figure in it")
    return tuple(figure for _, figure in found)


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
    except UnicodeDecodeError as error:
        raise _refused(f"it does not read: it is no text in UTF-8 from byte {error.start} on") from error
    except RecursionError as error:
        raise _refused("it does not read: it is nested too deeply") from error
    except (ValueError, csv.Error) as error:
        raise _refused(f"it does not read: {error}") from error


def _fault(place: str, location: Sequence[int | str], line: Any, wanted: str) -> Fault:
    name = ".".join(map(str, location))
    value = line.get(name, "nothing") if name and isinstance(line, Mapping) else line
    # The file is the operator's own: what is wrong in it may be shown, if it is short.
    found = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    shown = found if found.isprintable() and len(found) <= _LONGEST_SHOWN else repr(found[:_LONGEST_SHOWN])
    return {"field": f"{place}, {name}" if name else place, "found": shown, "wanted": wanted}


def _ahead(found: Sequence[tuple[str, Figure]], this_year: int) -> Iterator[tuple[str, Fault]]:
    for place, figure in found:
        if figure.year > this_year:
            wanted = f"must not be after {this_year}, the year that it is now"
            yield place, {"field": f"{place}, year", "found": str(figure.year), "wanted": wanted}


def _repeated(found: Sequence[tuple[str, Figure]]) -> Iterator[tuple[str, Fault]]:
    known: dict[tuple[int, str], str] = {}
    for place, figure in found:
        first = known.setdefault((figure.year, figure.field), place)
        if first != place:
            told = f"{figure.field} of {figure.year}"
            wanted = f"must stand in the file once, and is in {first} already"
            yield place, {"field": place, "found": told, "wanted": wanted}


def _refused(what: str, faults: Sequence[Fault] = ()) -> FiguresRefused:
    step = "correct it, and repeat the command; nothing was imported"
    return FiguresRefused(f"the file of figures: {what}", step, faults)
