"""Corrections and withdrawals: whose they are, what they are of, and in which order they may come."""

from dataclasses import replace
from typing import Any

import pytest

from schemas.amended import Received, Said, Void, effects, standing
from schemas.codes import Agency


def message(id: str, kind: str = "alert", sender: str = "ro", **body: Any) -> Received:
    return Received(id, sender, Agency.POLICE, kind, None, body)


def corrects(id: str, about: str, text: str, sender: str = "ro", kind: str = "alert") -> Received:
    content = {"kind": kind, "kind_version": 1, "body": {"text": text}}
    return message(id, "correction", sender, message=about, content=content)


def withdraws(id: str, about: str, sender: str = "ro") -> Received:
    return message(id, "withdrawal", sender, message=about)


A, B = message("a", text="first"), message("b", text="second")
CASES: list[tuple[str, list[Received], dict[str, str]]] = [
    ("nothing is amended", [A, B], {"a": "first", "b": "second"}),
    ("corrected", [A, corrects("c", "a", "right"), B], {"a": "right", "b": "second"}),
    ("the correction comes first", [corrects("c", "a", "right"), A], {"a": "right"}),
    ("corrected twice", [A, corrects("c", "a", "nearly"), corrects("d", "a", "right")], {"a": "right"}),
    (
        "a correction is corrected",
        [A, corrects("c", "a", "nearly"), corrects("d", "c", "right", kind="alert")],
        {"a": "right"},
    ),
    (
        "what a correction corrects comes behind it",
        [A, corrects("d", "c", "right"), corrects("c", "a", "nearly")],
        {"a": "right"},
    ),
    (
        "a correction's correction is withdrawn",
        [A, corrects("c", "a", "right"), corrects("d", "c", "wrong"), withdraws("w", "d")],
        {"a": "right"},
    ),
    ("withdrawn", [A, B, withdraws("w", "a")], {"b": "second"}),
    ("the withdrawal comes first", [withdraws("w", "a"), A], {}),
    ("corrected and withdrawn", [A, corrects("c", "a", "right"), withdraws("w", "a")], {}),
    ("a correction is withdrawn", [A, corrects("c", "a", "wrong"), withdraws("w", "c")], {"a": "first"}),
    ("somebody else corrects", [A, corrects("c", "a", "forged", sender="bg")], {"a": "first"}),
    ("somebody else withdraws", [A, withdraws("w", "a", sender="bg")], {"a": "first"}),
    ("of another kind", [A, corrects("c", "a", "else", kind="request")], {"a": "first"}),
    ("of nothing that is here", [A, corrects("c", "x", "?"), withdraws("w", "y")], {"a": "first"}),
    ("two correct each other", [A, corrects("c", "d", "?"), corrects("d", "c", "?")], {"a": "first"}),
]


@pytest.mark.parametrize(("received", "wanted"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_stands(received: list[Received], wanted: dict[str, str]) -> None:
    found = standing(received)
    assert {item.message.id: item.body["text"] for item in found.standing} == wanted
    gone = {item.id for item in received if item.kind == "alert"} - wanted.keys()
    assert {item.id for item in found.withdrawn} == gone
    originals = {item.id: item.body for item in received}
    assert all(item.corrected == (item.body != originals[item.message.id]) for item in found.standing)


def test_of_two_corrections_the_one_created_later_holds_whichever_came_first() -> None:
    late, early = (replace(corrects(id, "a", id), created=at) for id, at in (("b", 2), ("c", 1)))
    for order in ([A, late, early], [late, early, A], [early, A, late]):
        assert standing(order).standing[0].body["text"] == "b"
    # At the same moment the greater id decides, so that all nodes decide alike.
    assert standing([A, corrects("d", "a", "d"), corrects("c", "a", "c")]).standing[0].body["text"] == "d"


def test_a_withdrawal_is_final() -> None:
    found = standing([A, withdraws("w", "a"), withdraws("x", "w"), corrects("y", "w", "?", kind="withdrawal")])
    assert not found.standing
    assert [(one.id, earlier.id) for one, earlier in found.void] == [("x", "w"), ("y", "w")]


def test_what_holds_of_a_message_and_why_something_does_not() -> None:
    said = [
        Said("a", "ro", "alert", 1),
        Said("b", "ro", "correction", 2, "a", "alert"),
        Said("c", "ro", "correction", 3, "a", "alert"),
        Said("d", "bg", "correction", 4, "a", "alert"),
        Said("e", "ro", "correction", 5, "a", "request"),
        Said("f", "ro", "withdrawal", 6, "z"),
    ]
    void = {"b": Void.SUPERSEDED, "d": Void.ANOTHERS, "e": Void.OTHER_KIND, "f": Void.UNKNOWN}
    assert (effects(said).holds, effects(said).void) == ({"a": "c"}, void)
    gone = [Said("g", "ro", "withdrawal", 9, "a"), Said("h", "ro", "withdrawal", 7, "a")]
    found = effects([*said, *gone])
    assert found.holds == {"a": "h"}
    assert (found.void["c"], found.void["g"]) == (Void.WITHDRAWN, Void.AGAIN)


def test_a_long_chain_of_corrections_costs_no_more_than_its_length() -> None:
    chain = [Said(f"{n}", "ro", "correction", n, f"{n - 1}", "alert") for n in range(1, 20_000)]
    assert effects([Said("0", "ro", "alert", 0), *chain]).holds == {"0": "19999"}
