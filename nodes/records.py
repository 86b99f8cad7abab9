"""Records of a national system, from the bytes of its export: rows of CSV, elements of XML, values of JSON.

What is read is bounded, and nothing outside it is ever fetched: a document type in XML, which is what entities and
external files come by, is refused at its first byte.
"""

import codecs
import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from nodes.errors import InputRefused
from schemas.names import NameRepeated, once

# Messages take up to a hundred times the memory that their records do.
MAX_INPUT: Final = 8 * 1024 * 1024
MAX_RECORDS: Final = 50_000
MAX_DEPTH: Final = 64
_STEP_OF_SIZE: Final = "export it in parts, and map each by itself"
_STEP_OF_EXPORT: Final = "export it again, or correct it there"


@dataclass(frozen=True, slots=True)
class Record:
    """The record of this number, from 1, and the line that it begins in, where the format has lines.

    `content` is a dict of a row's cells, an Element, or a JSON value.
    """

    number: int
    line: int | None
    content: Any


def check_size(data: bytes) -> None:
    """Raises InputRefused if this is more than is read at once."""
    if len(data) > MAX_INPUT:
        raise InputRefused(f"the input has more than {MAX_INPUT} bytes ({MAX_INPUT // 2**20} MiB)", _STEP_OF_SIZE)


def check_count(records: Sequence[Record]) -> None:
    """Raises InputRefused if these are more than are mapped at once."""
    if len(records) > MAX_RECORDS:
        raise InputRefused(f"the input has more than {MAX_RECORDS} records", _STEP_OF_SIZE)


def rows(
    data: bytes, *, delimiter: str, quote: str, encoding: str, columns: Sequence[str] = ()
) -> tuple[tuple[str, ...], list[Record]]:
    """The columns of a CSV file and its rows; `columns` if its first line does not name them. Raises InputRefused."""
    try:
        text = data.decode(encoding)
    except (UnicodeError, LookupError) as error:
        at = f" from byte {error.start} on" if isinstance(error, UnicodeDecodeError) else ""
        raise InputRefused(
            f"the input is no text in {encoding}{at}", "say in the mapping which encoding it has"
        ) from error
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quotechar=quote, strict=True)
    names: tuple[str, ...] = tuple(columns)
    found: list[Record] = []
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if not names:
                names = tuple(cell.strip() for cell in cells)
                continue
            if len(cells) != len(names):
                detail = f"line {reader.line_num} has {len(cells)} cells, and there are {len(names)} columns"
                raise InputRefused(detail, "look at its delimiter and quotes, and at those that the mapping names")
            cells_by_name = dict(zip(names, cells, strict=True))
            found.append(Record(len(found) + 1, reader.line_num, cells_by_name))
            check_count(found)
    except csv.Error as error:
        raise InputRefused(f"line {reader.line_num} is no CSV: {error}", _STEP_OF_EXPORT) from error
    if len(set(names)) != len(names):
        twice, _ = Counter(names).most_common(1)[0]
        raise InputRefused(f"the column {twice[:60]!r} is there more than once", "name each column once")
    return names, found


def values(data: bytes, path: str) -> list[Record]:
    """The records of a JSON text: an array at `path` (names joined by dots; the top if it is empty), or one object.

    Raises InputRefused.
    """
    try:
        top = json.loads(data, parse_float=_decimal, parse_constant=_no_number, object_pairs_hook=once)
    except NameRepeated as error:
        raise InputRefused(f"the input may be read in two ways: {error}", "name each member once") from error
    except RecursionError as error:
        raise InputRefused("the input is nested too deeply", _STEP_OF_EXPORT) from error
    except ValueError as error:
        raise InputRefused(f"the input is not JSON: {_short(error)}", _STEP_OF_EXPORT) from error
    for name in filter(None, path.split(".")):
        if not isinstance(top, dict) or name not in top:
            raise InputRefused(f"the input has nothing at {path!r}", "correct `records` in the mapping")
        top = top[name]
    records = top if isinstance(top, list) else [top]
    return [Record(number, None, content) for number, content in enumerate(records, 1)]


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError("a number's exponent is too large") from None


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")


def _short(error: Exception) -> str:
    return str(error)[:100]


def elements(data: bytes, path: str) -> list[Record]:
    """The elements of an XML document at `path`: names from the root on, without namespaces, joined by slashes.

    Raises InputRefused.
    """
    reader = _Reader(tuple(path.split("/")))
    # Not expat's own reading of namespaces: it writes one's whole address out anew for each element that is in it.
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.XmlDeclHandler = _check_encoding
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.StartElementHandler = lambda name, attributes: reader.start(name, attributes, parser.CurrentLineNumber)
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise InputRefused(f"the input is not XML: {_short(error)}", _STEP_OF_EXPORT) from error
    if not reader.found:
        raise InputRefused(f"the input has no element {path}", "correct `records` in the mapping")
    return reader.found


def _check_encoding(_version: str, encoding: str | None, _standalone: int) -> None:
    # What expat does not know it asks Python for, and Python has codecs that are for other things than text.
    if encoding is not None:
        codecs.lookup(encoding)
        "".encode(encoding)


def _refuse_doctype(*_: object) -> NoReturn:
    raise InputRefused("the input has a document type (<!DOCTYPE ...>), which is not read", "export it without one")


_DECLARES: Final = re.compile(r"xmlns(:|$)")


class _Reader:
    """Keeps what lies within the records, and forgets the rest."""

    def __init__(self, path: tuple[str, ...]) -> None:
        self.found: list[Record] = []
        self._path = path
        self._way: list[str] = []
        self._building: TreeBuilder | None = None
        self._line = 0

    def start(self, name: str, attributes: dict[str, str], line: int) -> None:
        self._way.append(_local(name))
        if len(self._way) > MAX_DEPTH:
            raise InputRefused(f"line {line}: elements are nested more than {MAX_DEPTH} deep", _STEP_OF_EXPORT)
        if self._building is None and tuple(self._way) == self._path:
            self._building, self._line = TreeBuilder(), line
        if self._building is not None:
            kept = {_local(key): value for key, value in attributes.items() if not _DECLARES.match(key)}
            self._building.start(_local(name), kept)

    def text(self, data: str) -> None:
        if self._building is not None:
            self._building.data(data)

    def end(self, name: str) -> None:
        if self._building is not None:
            self._building.end(_local(name))
            if len(self._way) == len(self._path):
                self.found.append(Record(len(self.found) + 1, self._line, self._building.close()))
                self._building = None
                check_count(self.found)
        self._way.pop()


def _local(name: str) -> str:
    return name.rpartition(":")[2]


def look(content: Any, path: str) -> list[Any]:
    """Everything that a record, or a part of it, has at `path`; blank text and null are nothing.

    The path is a column's name (CSV), names and numbers joined by dots (JSON), or names joined by slashes, `@` before
    that of an attribute (XML); a dot alone is the record or part itself. What has parts of its own is left as it is.
    """
    texts = (_text_of(item) if isinstance(item, Element) and not len(item) else item for item in parts(content, path))
    stripped = (item.strip() if isinstance(item, str) else item for item in texts)
    return [item for item in stripped if item is not None and item != ""]


def parts(content: Any, path: str) -> list[Any]:
    """As `look`, but with elements of XML as elements, and nothing left out."""
    if path == ".":
        return [content]
    return list(_in_element(content, path.split("/")) if isinstance(content, Element) else _in_value(content, path))


def _in_element(element: Element, path: list[str]) -> Iterator[Any]:
    name, *rest = path
    if name.startswith("@"):
        yield element.get(name[1:])
        return
    for child in element:
        if child.tag == name:
            yield from _in_element(child, rest) if rest else (child,)


def _text_of(element: Element) -> str:
    return "".join(element.itertext())


def _in_value(value: Any, path: str) -> Iterator[Any]:
    if isinstance(value, list):
        name, _, rest = path.partition(".")
        if name.isdecimal() and name.isascii():
            chosen, path = value[int(name) : int(name) + 1], rest
        else:
            chosen = value
        for item in chosen:
            yield from _in_value(item, path) if path else _items(item)
    elif isinstance(value, dict):
        # Flat exports have dots in names: the longest name that is there is the one that is meant.
        for name, rest in _splits(path):
            if name in value:
                yield from _in_value(value[name], rest) if rest else _items(value[name])
                return


def _items(value: Any) -> Iterator[Any]:
    yield from value if isinstance(value, list) else (value,)


def _splits(path: str) -> Iterator[tuple[str, str]]:
    names = path.split(".")
    for size in range(len(names), 0, -1):
        yield ".".join(names[:size]), ".".join(names[size:])
