"""A message in one line, for a list of many: what it is about, and of persons nothing but what its sender has put in a
title. Whoever needs the name opens the message.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

LONGEST: Final = 70
Body = Mapping[str, Any]


def summary(kind: str, body: Body) -> str:
    """The line, at most `LONGEST` characters, all of which can be printed; of an unknown kind, its title or nothing."""
    parts = _OF_KIND[kind](body) if kind in _OF_KIND else [_at(body, "title")]
    text = ", ".join(part for part in parts if part)
    # What others wrote must not steer a terminal, nor pass for another line.
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1].rstrip() + "…"


def _at(body: Any, path: str) -> str:
    """What is at a path of names and numbers, as text; of an identifier, as it was stated; empty if nothing is."""
    value = body
    for step in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return ""
    if isinstance(value, Mapping):
        value = value.get("stated")
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def _words(body: Any, *paths: str) -> str:
    return " ".join(filter(None, (_at(body, path) for path in paths)))


def _day(body: Body, path: str) -> str:
    return _at(body, path)[: len("2004-11-15")]


def _tag(body: Body, path: str) -> str:
    """A code of ours, in words."""
    return _at(body, path).replace("_", " ").replace("-", " ")


def _in(word: str, name: str) -> str:
    return f"{word} {name}" if name else ""


def _way(body: Body, origin: str, destination: str) -> str:
    return _in("from", _at(body, origin)) + _in(" to", _at(body, destination))


def _several(body: Body, name: str, one: Callable[[Any], str], most: int = 2) -> Iterable[str]:
    """The first of a list, each in its words, and how many more there are."""
    found = body.get(name)
    items = found if isinstance(found, list) else []
    yield from map(one, items[:most])
    if len(items) > most:
        yield f"{len(items) - most} more"


def _seizure(item: Any) -> str:
    return _words(item, "substance", "quantity", "unit")


def _amount(item: Any) -> str:
    return _words(item, "quantity.amount", "quantity.unit")


def _vehicle(body: Body) -> str:
    known = _at(body, "vehicle.plates.0.number") or _at(body, "vehicle.vin")
    return f"{known} {_words(body, 'vehicle.make', 'vehicle.model')}".strip()


def _about(body: Body) -> str:
    return _in("of", _at(body, "message"))


def _operation(body: Body) -> str:
    return _words(body, "name", "year")


_OF_KIND: Final[Mapping[str, Callable[[Body], Iterable[str]]]] = {
    "alert": lambda b: [_at(b, "title")],
    "request": lambda b: [_at(b, "purpose")],
    "reply": lambda b: [_tag(b, "result"), _tag(b, "refusal")],
    "forward": lambda b: [f"{_at(b, 'content.kind')} {_in('of', _at(b, 'provider'))}".strip(), _at(b, "purpose")],
    "withdrawal": lambda b: [_about(b), _tag(b, "reason"), "to be erased" if b.get("erase") is True else ""],
    "permission.request": lambda b: [f"asks to use {_about(b)} ({_tag(b, 'use')})", _at(b, "purpose")],
    "permission": lambda b: [_in("permits" if b.get("granted") is True else "refuses", _about(b)), _tag(b, "use")],
    "correction": lambda b: [_about(b), _at(b, "content.kind")],
    "trafficking.victim_referral": lambda b: [
        _in("victim found", _day(b, "found_on")),
        _in("in", _at(b, "found_at.country")),
        _in("risk", _at(b, "risk")),
    ],
    "trafficking.repatriation": lambda b: [_tag(b, "progress"), _way(b, "from_country", "to_country")],
    # Not where to, nor when: it may be read over a shoulder.
    "witness.movement": lambda _: ["a protected witness is moved"],
    "drugs.seizure": lambda b: [_words(b, "seized_on", "country"), *_several(b, "seizures", _seizure)],
    "precursor.alert": lambda b: [
        _tag(b, "stage"),
        *_several(b, "precursors", lambda item: f"{_at(item, 'name')} {_amount(item)}".strip(), 1),
        _way(b, "origin", "destination"),
    ],
    "vehicle.stolen": lambda b: [_vehicle(b), _in("stolen", _day(b, "stolen_on")), _in("in", _at(b, "country"))],
    "vehicle.hit": lambda b: [_vehicle(b), _in("found", _day(b, "found_on")), _in("in", _at(b, "country"))],
    "fraud.consignment": lambda b: [_tag(b, "frauds.0"), *_several(b, "goods", lambda item: _at(item, "name"), 1)],
    "fraud.excise": lambda b: [
        *_several(b, "items", lambda item: f"{_tag(item, 'product')} {_amount(item)}".strip()),
        _in("in", _at(b, "country")),
    ],
    "finance.account": lambda b: [_in("to", _tag(b, "wish")), _words(b, "account.bank", "account.country")],
    "finance.transaction": lambda b: [
        *_several(b, "transactions", lambda item: _words(item, "value.amount", "value.currency", "on"), 1),
        _tag(b, "suspicions.0"),
    ],
    "cyber.indicator": lambda b: [_at(b, "title") or _at(b, "indicators.0.name") or _at(b, "indicators.0.id")],
    "terrorism.alert": lambda b: [_at(b, "title")],
    "firearm.trace": lambda b: [
        *_several(b, "firearms", lambda item: _words(item, "make", "model", "serial_number")),
        _in("found in", _at(b, "country")),
    ],
    "wmd.alert": lambda b: [_at(b, "title")],
    "judicial.assistance": lambda b: [_at(b, "case"), _tag(b, "wanted.0")],
    "operation.plan": lambda b: [_operation(b), _way(b, "begins", "ends")],
    "operation.report": lambda b: [_operation(b), _words(b, "country", "agency")],
    "administrative.notice": lambda b: [_at(b, "title")],
}
