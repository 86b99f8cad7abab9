"""The roster: every node once, every key with its validity, every bad field named."""

from typing import Any

import pytest
from pydantic import ValidationError

from schemas import cbor
from schemas.codes import Agency
from schemas.control import ControlRefused, Receipt
from schemas.participants import Category
from schemas.policy import Policy
from schemas.roster import KeyUse, Roster, RosterKey, RosterNews, RosterNode

KEY = RosterKey(kid=b"\x11" * 16, use=KeyUse.SIGN, public=b"\x01" + b"\x22" * 32, not_before=1, not_after=9)
NODE = RosterNode(
    node="ro",
    name="Romania",
    category=Category.MEMBER,
    agencies=(Agency.POLICE, Agency.CUSTOMS),
    task_forces=("drugs", "trafficking"),
    keys=(KEY,),
)
ROSTER = Roster(version=1, at=5, nodes=(NODE,))

BAD: list[tuple[str, Any]] = [
    ("nodes.0.node", "RO"),
    ("nodes.0.name", ""),
    ("nodes.0.category", "friend"),
    ("nodes.0.agencies.0", "navy"),
    ("nodes.0.task_forces.0", "Drugs"),
    ("nodes.0.keys.0.kid", b"\x11" * 15),
    ("nodes.0.keys.0.use", "read"),
    ("nodes.0.keys.0.public", 5),
    ("nodes.0.keys.0.not_before", -1),
    ("nodes.0.keys.0.not_after", 2**60),
    ("version", 0),
    ("version", 2**31),
    ("at", "now"),
    ("nodes", {}),
]


def test_a_roster_comes_back_as_it_was() -> None:
    assert Roster.from_bytes(ROSTER.to_bytes()) == ROSTER


@pytest.mark.parametrize(("path", "value"), BAD)
def test_a_bad_value_is_refused_and_its_place_named(path: str, value: object) -> None:
    fields = cbor.decode(ROSTER.to_bytes())
    *way, last = path.split(".")
    place = fields
    for step in way:
        place = place[int(step) if step.isdigit() else step]
    place[int(last) if last.isdigit() else last] = value
    with pytest.raises(ControlRefused, match=rf"^roster, {path}: "):
        Roster.from_bytes(cbor.encode(fields))


@pytest.mark.parametrize("path", ["agencies", "task_forces", "keys", "senders", "recipients", "kinds", "handling"])
def test_of_a_long_list_of_wrong_things_few_are_looked_at(path: str) -> None:
    # The fuzzer's: 65 536 wrong senders in a rule took more than a second.
    roster = ROSTER.model_copy(update={"policy": Policy().written_out()})
    fields = cbor.decode(roster.to_bytes())
    place = fields["nodes"][0] if path in fields["nodes"][0] else fields["policy"]["rules"][0]
    place[path] = [{}] * 1000
    with pytest.raises(ValidationError) as told:
        Roster.model_validate(fields)
    assert told.value.error_count() < 10


def test_a_node_that_stands_in_the_roster_twice_is_refused() -> None:
    fields = cbor.decode(ROSTER.to_bytes())
    fields["nodes"].append({**fields["nodes"][0], "keys": []})
    with pytest.raises(ControlRefused, match=r"^roster, nodes: .*more than once"):
        Roster.from_bytes(cbor.encode(fields))


@pytest.mark.parametrize(
    ("field", "value"),
    [("v", 2), ("roster", b""), ("roster", 5), ("receipt", {}), ("checkpoint", ""), ("checkpoint", "x" * 20_001)],
)
def test_news_of_a_roster_has_its_bounds(field: str, value: object) -> None:
    receipt = Receipt(index=0, entry=b"entry", salt=bytes(32), proof=())
    news = RosterNews(roster=b"x" * 1_900_000, receipt=receipt, checkpoint="note")
    assert RosterNews.from_bytes(news.to_bytes()) == news
    with pytest.raises(ControlRefused, match=rf"^roster news, {field}"):
        RosterNews.from_bytes(cbor.encode({**cbor.decode(news.to_bytes()), field: value}))


def test_the_uses_of_keys_are_stable() -> None:
    assert [use.value for use in KeyUse] == ["sign", "seal", "witness"]
