"""From records to messages by a mapping: pure. Of a record it names everything that is wrong, not the first only."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from nodes.errors import InputRefused
from nodes.mapping import MANY, Group, Mapping, Rule, Tree, shown
from nodes.records import Record, check_count, check_size, elements, look, parts, rows, values
from nodes.requests import header_faults
from schemas import numerals, plausible, registry
from schemas.header import MAX_BODY

_NOTHING: Final = object()


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a field of a record: where it goes, where it comes from, what was found, what is wanted."""

    target: str
    source: str
    found: str
    wanted: str


@dataclass(frozen=True, slots=True)
class Mapped:
    """A record and the message made of it, as POST /v1/messages takes it; or what is wrong with it, and no message.

    `key` is what the record is known by in the national system, a text for each part of it; `read` are the sources
    that the record has. `warnings` tell what of the message is odd or unverified.
    """

    record: Record
    key: tuple[str, ...]
    message: dict[str, Any] | None
    faults: tuple[Fault, ...]
    read: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = ()

    def named(self) -> str:
        """Which record it is, as people find it again."""
        line = "" if self.record.line is None else f", line {self.record.line}"
        known = f", {_shown('/'.join(self.key))}" if self.key else ""
        return f"record {self.record.number}{line}{known}"

    def told(self) -> list[dict[str, Any]]:
        """Each fault for people and for programs."""
        return [
            {
                "field": f"{self.named()}: {fault.target}" + (f" from {fault.source}" if fault.source else ""),
                "found": fault.found,
                "wanted": fault.wanted,
                "record": self.record.number,
                "line": self.record.line,
                "key": list(self.key),
                "target": fault.target,
                "source": fault.source,
            }
            for fault in self.faults
        ]


def read_records(mapping: Mapping, data: bytes) -> list[Record]:
    """The records of an export in the mapping's format. Raises InputRefused."""
    check_size(data)
    if mapping.format == "xml":
        found = elements(data, mapping.records)
    elif mapping.format == "json":
        found = values(data, mapping.records)
    else:
        found = _read_rows(mapping, data)
    check_count(found)
    return found


def _read_rows(mapping: Mapping, data: bytes) -> list[Record]:
    form = mapping.csv
    columns, found = rows(
        data, delimiter=form.delimiter, quote=form.quote, encoding=form.encoding, columns=form.columns
    )
    missing = sorted({*mapping.key, *mapping.sources()} - set(columns))
    if missing:
        detail = f"the mapping reads columns that the input has not: {', '.join(missing)}"
        # As Python writes them: a name in a file may hold what a terminal would obey.
        raise InputRefused(detail, f"correct the mapping; the input has {', '.join(map(repr, columns)) or 'none'}")
    return found


def map_all(mapping: Mapping, records: Sequence[Record], now: int | None = None) -> Iterator[Mapped]:
    """Every record with its message or its faults, in their order. At `now` (ms) its times are looked at, if given."""
    message, body = mapping.trees()
    seen: dict[tuple[str, ...], int] = {}
    for record in records:
        mapped = _map(mapping, message, body, record, now)
        first = seen.setdefault(mapped.key, record.number) if mapped.key else record.number
        if first != record.number:
            fault = Fault("key", " ".join(mapping.key), "the same", f"must not be that of record {first}")
            mapped = replace(mapped, message=None, faults=(*mapped.faults, fault))
        yield mapped


@dataclass(slots=True)
class _Draft:
    """What has been found so far about one record: where each target comes from, what was there, what is wrong."""

    mapping: Mapping
    record: Record
    sources: dict[str, str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    read: set[str] = field(default_factory=set)

    def look(self, content: Any, path: str) -> list[Any]:
        """What is at a path of the record or of a part of it: there, a slash at the beginning leads back."""
        inner = content is not self.record.content and path.startswith("/")
        found = look(self.record.content, path[1:]) if inner else look(content, path)
        if found:
            self.read.add(path)
        return found

    def fault(self, target: str, found: str, wanted: str) -> None:
        steps = target.split(".")
        above = (".".join(steps[:size]) for size in range(len(steps), 0, -1))
        source = next((self.sources[place] for place in above if place in self.sources), "")
        self.faults.append(Fault(target, source, found, wanted))


def _map(mapping: Mapping, message: Tree, body: Tree, record: Record, now: int | None) -> Mapped:
    draft = _Draft(mapping, record)
    key = _key(draft)
    fields, _ = _object(draft, message, "message", record.content)
    content, _ = _object(draft, body, "body", record.content)
    posted = {"kind": mapping.kind, "kind_version": mapping.version, **fields, "body": content}
    unread = tuple(draft.faults)
    _check_header(draft, posted)
    posted["body"], warnings = _check_body(draft, content, now)
    faults = (*unread, *(fault for fault in draft.faults[len(unread) :] if not _follows(fault, unread)))
    return Mapped(record, key, None if faults else posted, faults, frozenset(draft.read), tuple(warnings))


def _follows(fault: Fault, unread: Sequence[Fault]) -> bool:
    # What could not be read has no value, and is found missing, or a list too short for it.
    return any(fault.found == "nothing" or one.target.startswith(fault.target) for one in unread)


def _key(draft: _Draft) -> tuple[str, ...]:
    found = [draft.look(draft.record.content, path) for path in draft.mapping.key]
    if all(len(one) == 1 and _plain(one[0]) for one in found):
        return tuple(_text(one[0]) for one in found)
    draft.sources["key"] = " ".join(draft.mapping.key)
    draft.fault("key", "several" if all(found) else "nothing", "must be there once, so that the record is known again")
    return ()


def _object(draft: _Draft, tree: Tree, place: str, content: Any) -> tuple[dict[str, Any], bool]:
    """The object that a tree makes of a record or a part of it, and whether anything in it is not constant."""
    made: dict[str, Any] = {}
    read = False
    for name, inner in tree.items():
        value, found = _value(draft, inner, f"{place}.{name}", content)
        read = read or found
        if value is not _NOTHING:
            made[str(name)] = value
    return made, read


def _value(draft: _Draft, tree: Tree | Rule, place: str, content: Any) -> tuple[Any, bool]:
    if isinstance(tree, Rule):
        return _single(draft, tree, place, content)
    if MANY in tree:
        return _many(draft, tree[MANY], place, content)
    if any(isinstance(step, int) for step in tree):
        return _numbered(draft, tree, place, content)
    value, read = _object(draft, tree, place, content)
    # Constants alone say nothing: the second of two drugs that a row may have, where it has one.
    return (value, read) if read or (value and _constant(tree)) else (_NOTHING, False)


def _numbered(draft: _Draft, tree: Tree, place: str, content: Any) -> tuple[Any, bool]:
    made: list[Any] = []
    read = False
    for _, inner in sorted(tree.items()):
        value, found = _value(draft, inner, f"{place}.{len(made)}", content)
        read = read or found
        if value is not _NOTHING:
            made.append(value)
    return (made, read) if made else (_NOTHING, False)


def _constant(tree: Tree | Group | Rule) -> bool:
    if isinstance(tree, Rule):
        return tree.source is None
    return not isinstance(tree, Group) and all(_constant(inner) for inner in tree.values())


def _many(draft: _Draft, inner: Group | Rule, place: str, content: Any) -> tuple[Any, bool]:
    made = _list(draft, inner, place, content) if isinstance(inner, Rule) else _parts(draft, inner, place, content)
    return (made, True) if made else (_NOTHING, False)


def _parts(draft: _Draft, group: Group, place: str, content: Any) -> list[Any]:
    made: list[Any] = []
    for part in parts(content, group.source):
        value, _ = _value(draft, group.tree, f"{place}.{len(made)}", part)
        if value is not _NOTHING:
            made.append(value)
    return made


def _single(draft: _Draft, rule: Rule, place: str, content: Any) -> tuple[Any, bool]:
    if rule.source is None:
        return list(rule.constant) if isinstance(rule.constant, tuple) else rule.constant, False
    draft.sources[place] = " ".join(rule.source)
    if rule.split is not None:
        made = _list(draft, rule, place, content)
        return (made, True) if made else (_NOTHING, False)
    found = [draft.look(content, path) for path in rule.source]
    if rule.join is None and any(len(one) > 1 for one in found):
        draft.fault(place, f"{max(map(len, found))} values", f'must be one, or the target a list: "{place}[]"')
        return _NOTHING, False
    stated = [value for one in found for value in one]
    if not stated:
        return (_NOTHING, False) if rule.default is None else (rule.default, True)
    if len(stated) == 1 or not all(map(_plain, stated)):
        # What is not plain, the reading names.
        return _read(draft, rule, place, min(stated, key=_plain)), True
    between = " " if rule.join is None else rule.join
    return _read(draft, rule, place, between.join(map(_text, stated))), True


def _list(draft: _Draft, rule: Rule, place: str, content: Any) -> list[Any]:
    draft.sources[place] = " ".join(rule.source or ())
    found = [value for path in rule.source or () for value in draft.look(content, path)]
    if rule.split is not None:
        found = [piece for value in found for piece in _pieces(value, rule.split)]
    if not found and rule.default is not None:
        return [rule.default]
    read = (_read(draft, rule, place, value) for value in found)
    return [value for value in read if value is not _NOTHING]


def _pieces(value: Any, between: str) -> list[Any]:
    if not _plain(value):
        return [value]
    return [piece.strip() for piece in _text(value).split(between) if piece.strip()]


def _read(draft: _Draft, rule: Rule, place: str, value: Any) -> Any:
    """The value as the rule reads it; nothing, and a fault, if it cannot be read so."""
    if not _plain(value):
        draft.fault(place, _shown(value), "must be a single value, and not have parts of its own")
        return _NOTHING
    if rule.codes is not None:
        table = draft.mapping.codes[rule.codes]
        coded = table.get(_text(value), table.get("*", _NOTHING))
        if coded is _NOTHING:
            draft.fault(
                place, _shown(value), f"must be in the mapping's table of codes {rule.codes!r}, or the table have '*'"
            )
        return coded
    if rule.date is not None:
        return _date(draft, rule.date, place, value)
    if rule.decimal is not None and isinstance(value, str):
        return _number(draft, rule.decimal, place, value)
    return _text(value) if isinstance(value, Decimal) else value


def _date(draft: _Draft, formats: Sequence[str], place: str, value: Any) -> Any:
    zone = draft.mapping.zone
    for form in formats:
        try:
            moment = datetime.strptime(_text(value), form)  # noqa: DTZ007
            if "%H" in form:
                aware = moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone or "UTC"))
                return aware.isoformat(timespec="seconds" if "%S" in form else "minutes")
        except (ValueError, OverflowError):
            continue
        day = moment.date().isoformat()
        return day if "%d" in form else day[:7] if "%m" in form else day[:4]
    draft.fault(place, _shown(value), f"must be a date that there is, written as {' or '.join(formats)}")
    return _NOTHING


def _number(draft: _Draft, mark: str, place: str, value: str) -> Any:
    try:
        for number, form in numerals.readings(value).items():
            if form.mark == mark or (form.mark is None and form.group != mark):
                return format(number, "f")
    except numerals.NumeralInvalid:
        pass
    word = "comma" if mark == "," else "point"
    draft.fault(
        place, _shown(value), f"must be a number with a decimal {word}, its digits in groups of three or in none"
    )
    return _NOTHING


def _check_header(draft: _Draft, posted: dict[str, Any]) -> None:
    for fault in header_faults(posted):
        found = fault.found if not fault.way else _shown(_NOTHING if fault.missing else fault.found)
        draft.fault(_place(posted, "message", fault.way), found, fault.wanted)


def _check_body(draft: _Draft, body: dict[str, Any], now: int | None) -> tuple[Any, list[str]]:
    """The body with numbers where its kind has numbers, and warnings."""
    warnings: list[str] = []
    try:
        data = registry.body_bytes(draft.mapping.kind, draft.mapping.version, body)
        read = json.loads(data)
        if now is not None:
            warnings = plausible.check(draft.mapping.kind, read, now)
        if len(data) > MAX_BODY:
            draft.fault("body", f"{len(data)} bytes", f"may have at most {MAX_BODY} bytes (1 MiB)")
    except registry.BodyInvalid as error:
        for item in error.errors:
            # Of a rule over the whole body, the field is the body itself.
            place = _place(body, "body", [] if item.field == "body" else item.field.split("."))
            value = _NOTHING if item.found == "nothing" else _at(body, place.split(".")[1:])
            draft.fault(place, _shown(value) if _plain(value) else item.found, item.wanted)
    else:
        return _as_read(body, read), warnings
    return body, warnings


def _as_read(stated: Any, read: Any) -> Any:
    """What was stated, but a number or truth value where a text was read as one: an export has texts only."""
    if isinstance(stated, dict) and isinstance(read, dict):
        return {name: _as_read(value, read.get(name, value)) for name, value in stated.items()}
    if isinstance(stated, list) and isinstance(read, list) and len(stated) == len(read):
        return [_as_read(value, other) for value, other in zip(stated, read, strict=True)]
    return read if isinstance(stated, str) and isinstance(read, int | float) else stated


def _place(value: Any, root: str, way: Sequence[str | int]) -> str:
    """The path of a fault in what was made, without the names of variants that pydantic puts between."""
    steps = [root]
    for number, step in enumerate(map(str, way)):
        inner = _step(value, step)
        if inner is _NOTHING and number + 1 < len(way):
            continue
        steps.append(step)
        value = inner
    return ".".join(steps)


def _at(value: Any, way: Sequence[str]) -> Any:
    for step in way:
        value = _step(value, step)
    return value


def _step(value: Any, step: str) -> Any:
    if isinstance(value, dict):
        return value.get(step, _NOTHING)
    if isinstance(value, list) and step.isdecimal() and int(step) < len(value):
        return value[int(step)]
    return _NOTHING


def _plain(value: Any) -> bool:
    return isinstance(value, str | int | float | bool | Decimal)


def _text(value: Any) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _shown(value: Any) -> str:
    if value is _NOTHING:
        return "nothing"
    return shown(value) if _plain(value) else "a part with parts of its own"
