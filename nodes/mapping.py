"""A mapping: how a national system's records become messages of a kind. The model of its file, which is TOML.

docs/mapping.md is for those who write one.
"""

import codecs
import re
import tomllib
from collections.abc import Mapping as Table
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Annotated, Any, Final, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from nodes.errors import MappingInvalid
from nodes.outgoing import Outgoing
from schemas import registry, wording
from schemas.header import Code, KindName

# The target's list, of which there is an element for each value or part that is found.
MANY: Final = "[]"
Scalar = bool | int | float | str
# What a target's steps lead to: names or numbers, or MANY alone, each to a tree, a group or a rule.
Tree = dict[str | int, Any]

_TARGET: Final = re.compile(r"[a-z][a-z0-9_]*(\[\])?(\.([a-z][a-z0-9_]*(\[\])?|[0-9]{1,2}))*")
# That an operation's plan is still to come is nothing that a mapping knows.
_HEADER: Final = frozenset(Outgoing.model_fields) - {"id", "kind", "kind_version", "new_operation", "body"}
# By numbers only: names of months and days depend on who runs the program, years of two digits on who reads them.
_DIRECTIVE: Final = re.compile(r"%(.?)")
_DIRECTIVES: Final = frozenset("YmdHMSz")
_LARGEST: Final = 1024 * 1024


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Words = Annotated[str, Field(min_length=1, max_length=300)]
OneOrMore = Annotated[tuple[Words, ...], BeforeValidator(_listed), Field(min_length=1, max_length=20)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Rule(_Part):
    """Where a field's value comes from, and how it is read. A constant needs nothing of the record."""

    constant: Scalar | tuple[Scalar, ...] | None = None
    source: Annotated[OneOrMore | None, Field(alias="from")] = None
    join: str | None = None
    default: Scalar | None = None
    split: Words | None = None
    codes: Words | None = None
    date: OneOrMore | None = None
    decimal: Literal[",", "."] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        readings = [name for name in ("codes", "date", "decimal") if getattr(self, name) is not None]
        if self.source is None and (
            self.constant is None or readings or self.split or self.join or self.default is not None
        ):
            raise ValueError("must name what it is read from with `from`, or be a constant alone")
        if self.source is not None and self.constant is not None:
            raise ValueError("must be a constant or have `from`, not both")
        if len(readings) > 1:
            raise ValueError(f"must be read in one way, not by {' and '.join(readings)}")
        return self

    @field_validator("date")
    @classmethod
    def _dates(cls, formats: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for form in formats or ():
            used = set(_DIRECTIVE.findall(form))
            if not used <= _DIRECTIVES or "Y" not in used:
                raise ValueError("must have %Y, and of %m %d %H %M %S %z what there is, for example %d.%m.%Y")
            if ("d" in used and "m" not in used) or (used & set("HMSz") and not used >= set("dHM")):
                raise ValueError("must not leave out what is between the year and its smallest part")
        return formats


def _rule(value: Any) -> Any:
    """A rule's fields; whatever is no table is a constant."""
    if isinstance(value, dict):
        return value
    return {"constant": value.isoformat() if isinstance(value, date | datetime) else value}


Rules = dict[str, Annotated[Rule, BeforeValidator(_rule)]]


@dataclass(frozen=True, slots=True)
class Group:
    """The parts of a record that are at `source`; the tree makes an element of a list of each."""

    source: str
    tree: Tree


class Csv(_Part):
    """How a CSV file is written; `columns` if its first line does not name them."""

    delimiter: str = ","
    quote: str = '"'
    encoding: Annotated[str, Field(max_length=40)] = "utf-8-sig"
    columns: tuple[Words, ...] = ()

    @field_validator("delimiter", "quote")
    @classmethod
    def _single(cls, mark: str) -> str:
        if len(mark) != 1 or mark in "\r\n\x00":
            raise ValueError("must be a single character, and no end of a line")
        return mark

    @field_validator("encoding")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            # Of codecs that are for other things than text, this refuses to use them.
            codecs.lookup(name)
            "".encode(name)
        except (LookupError, ValueError):
            raise ValueError("must be an encoding, for example utf-8, cp1250, cp1251, iso8859-7") from None
        return name

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if self.delimiter == self.quote:
            raise ValueError("quote: must be another than the delimiter")
        return self


class Mapping(_Part):
    """A mapping file. `name` and `since` are part of the id of each message made with it, as the record's key is."""

    name: Code
    since: date
    kind: KindName
    version: Annotated[int, Field(ge=1, le=999)] = 1
    format: Literal["csv", "json", "xml"]
    records: Annotated[str, Field(max_length=300)] = ""
    key: OneOrMore
    zone: str | None = None
    csv: Csv = Csv()
    message: Rules = {}
    body: Rules
    groups: dict[str, Words] = {}
    codes: dict[str, dict[str, Scalar]] = {}

    @field_validator("since", mode="after")
    @classmethod
    def _in_time(cls, day: date) -> date:
        if not 2000 <= day.year < 2100:
            raise ValueError("must be the day on which this mapping came into use")
        return day

    @field_validator("zone")
    @classmethod
    def _zone(cls, name: str | None) -> str | None:
        if name is not None:
            try:
                ZoneInfo(name)
            except (KeyError, ValueError, OSError):
                raise ValueError("must be a time zone that this machine knows, for example Europe/Bucharest") from None
        return name

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if self.format == "xml" and not all(self.records.split("/")):
            raise ValueError("records: must be the path to the records' elements, for example Export/Case")
        if self.format == "csv" and (self.records or self.groups):
            raise ValueError("records: must be left out of a mapping of CSV, as groups are: each row is a record")
        for place, rules in (("message", self.message), ("body", self.body)):
            for target, rule in rules.items():
                self._check(f"{place}.{target}", target, rule)
        return self

    def _check(self, place: str, target: str, rule: Rule) -> None:
        if not _TARGET.fullmatch(target):
            raise ValueError(f'{place}: must be a path such as place, "seizures.0.unit" or "seizures[].unit"')
        if rule.codes is not None and rule.codes not in self.codes:
            raise ValueError(f"{place}: must name a table of codes that there is: {', '.join(self.codes) or 'none'}")
        if any("%H" in form and "%z" not in form for form in rule.date or ()) and self.zone is None:
            raise ValueError("zone: is required where a time is read that does not tell its own")
        inner = [name for name in target.split(".")[:-1] if name.endswith(MANY)]
        if len(inner) > 1:
            raise ValueError(f"{place}: must have one group at most")
        if inner and group_of(target) not in self.groups:
            raise ValueError(f"groups.{group_of(target)}: is required by {place}")

    def sources(self) -> frozenset[str]:
        """All that the rules read."""
        rules = (*self.message.values(), *self.body.values())
        return frozenset(path for rule in rules for path in rule.source or ())

    def trees(self) -> tuple[Tree, Tree]:
        """The rules of the message and of its body, as the trees of their targets. Raises ValueError."""
        return _tree(self.message, "message", self.groups), _tree(self.body, "body", self.groups)


def group_of(target: str) -> str:
    """The path of the list, in the body, whose elements a group's parts become."""
    return target.partition(MANY)[0]


def _tree(rules: Rules, place: str, groups: Table[str, str]) -> Tree:
    tree: Tree = {}
    for target, rule in rules.items():
        *way, last = (int(step) if step.isdecimal() else step for step in target.replace(MANY, f".{MANY}").split("."))
        at, name = tree, f"{place}.{target}"
        for step in way:
            _check_beside(at, step, name)
            inner = at.setdefault(step, Group(groups[group_of(target)], {}) if step == MANY else {})
            if isinstance(inner, Rule):
                raise ValueError(f"{name}: must not be set as a whole and in parts")
            at = inner.tree if isinstance(inner, Group) else inner
        _check_beside(at, last, name)
        if last in at:
            raise ValueError(f"{name}: must not be set as a whole and in parts")
        at[last] = rule
    return tree


def _check_beside(at: Tree, step: str | int, place: str) -> None:
    def sort(one: str | int) -> object:
        return MANY if one == MANY else type(one)

    if any(sort(other) != sort(step) for other in at):
        raise ValueError(f"{place}: must be set in one way: by names, by numbers, or as a list of all")


def read_mapping(data: bytes) -> Mapping:
    """The mapping in a TOML file. Raises MappingInvalid, which names every part that is wrong."""
    step = "correct the mapping file; docs/mapping.md has examples"
    if len(data) > _LARGEST:
        raise MappingInvalid(f"the mapping has more than {_LARGEST} bytes", step)
    try:
        fields = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        why = str(error)[:200] if isinstance(error, tomllib.TOMLDecodeError) else "no text in UTF-8"
        raise MappingInvalid(f"the mapping is not TOML: {why}", step) from error
    try:
        mapping = Mapping.model_validate(fields)
        mapping.trees()
        wrong = _unknown(mapping)
    except ValidationError as error:
        wrong = [_field(item) for item in error.errors(include_url=False)]
    except ValueError as error:
        place, _, wanted = str(error).partition(": ")
        wrong = [{"field": place, "found": "another", "wanted": wanted}]
    if wrong:
        raise MappingInvalid(f"the mapping is wrong: {', '.join(item['field'] for item in wrong)}", step, wrong)
    return mapping


def _unknown(mapping: Mapping) -> list[dict[str, str]]:
    """What the mapping sets that no message of its kind has. Raises ValueError if there is no such kind."""
    try:
        model = registry.find(mapping.kind, mapping.version).model
    except registry.KindUnknown as error:
        raise ValueError(f"kind: must be a kind that there is: {error}") from error
    wanted = {"message": _HEADER, "body": frozenset(model.model_fields)}
    return [
        {"field": f"{place}.{target}", "found": "a rule", "wanted": f"must be of {', '.join(sorted(wanted[place]))}"}
        for place, rules in (("message", mapping.message), ("body", mapping.body))
        for target in rules
        if re.split(r"[.\[]", target)[0] not in wanted[place]
    ]


_LONGEST_SHOWN: Final = 40


def shown(value: Any) -> str:
    """A value of the user's own file, if it is short; else what it is."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list | tuple):
        return "a list" if value else "an empty list"
    if isinstance(value, bool):
        return "true" if value else "false"
    told = value.isoformat() if isinstance(value, date | datetime | time) else value
    text = repr(told) if isinstance(value, str) else str(told)
    return text if len(text) <= _LONGEST_SHOWN else f"a text of {len(str(told))} characters"


# A rule over several parts says which of them it finds at fault.
_OF_PART: Final = re.compile(r"(?P<part>[^ :]+): (?P<wanted>(?:is|must) .+)", re.DOTALL)


def _field(item: Any) -> dict[str, str]:
    steps = [str(step) for step in item["loc"] if step != "tuple[str, ...]"]
    found = "nothing" if item["type"] == "missing" else shown(item["input"])
    wanted = wording.wanted(item)
    told = _OF_PART.fullmatch(str(item["msg"]).removeprefix("Value error, "))
    if told is not None:
        steps, wanted = [*steps, told["part"]], told["wanted"]
        found = "nothing" if wanted.startswith("is required") else "another"
    elif item["type"] == "extra_forbidden" and steps[0] in ("body", "message"):
        wanted = f'is nothing that a rule has; a path with dots stands in quotes, as "{".".join(steps[1:])}"'
    return {"field": ".".join(steps) or "mapping", "found": found, "wanted": wanted}
