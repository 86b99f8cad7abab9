"""Whose plan an operation has, and which names are near to one another."""

from typing import Any

import pytest

from schemas.amended import Received
from schemas.codes import Agency
from schemas.plans import named_by, near, operations, split_title
from schemas.tally import operation_tables

BODY = {
    "name": "CONTAINMENT",
    "year": 2003,
    "begins": "2003-10-13",
    "ends": "2003-10-24",
    "objective": "o",
    "agencies": ["police"],
}


def plan(id: str, sender: str, *countries: str) -> Received:
    body = BODY | {"countries": list(countries)}
    return Received(id, sender, Agency.POLICE, "operation.plan", None, body, "drugs")


def withdrawal(id: str, sender: str, of: str) -> Received:
    return Received(id, sender, Agency.POLICE, "withdrawal", None, {"message": of, "reason": "wrong"})


@pytest.mark.parametrize(
    ("received", "counts", "others"),
    [
        ([plan("1", "ro", "RO"), plan("2", "bg", "BG")], "1", ("2",)),
        ([plan("1", "ro", "RO"), plan("2", "bg", "BG"), plan("3", "ro", "RO", "TR")], "3", ("2",)),
        # The Centre's goes before all, whenever it comes.
        ([plan("1", "ro", "RO"), plan("2", "seci", "BG"), plan("3", "ro", "TR")], "2", ("1", "3")),
        # What its sender has taken back is nobody's plan, and nobody else can take it back.
        ([plan("1", "ro", "RO"), plan("2", "bg", "BG"), withdrawal("3", "ro", "1")], "2", ()),
        ([plan("1", "ro", "RO"), plan("2", "bg", "BG"), withdrawal("3", "bg", "1")], "1", ("2",)),
    ],
)
def test_a_plan_is_the_centres_or_the_first_senders(
    received: list[Received], counts: str, others: tuple[str, ...]
) -> None:
    [found] = operations(received)
    tables = operation_tables(received, "CONTAINMENT", 2003)
    assert found.plan is not None
    assert tables.plan is not None
    assert found.plan.message.id == tables.plan.message.id == counts
    assert tables.other_plans == others
    assert tables.missing == found.missing == found.plan.parties


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("CONTAINMEMT 2003", ["CONTAINMENT 2003", "CONTAINMENT 2002"]),
        ("SAFE HAVEN 2004", ["SAFE HEAVEN 2004"]),
        ("MIRAGE", ["MIRAGE 2003"]),
        ("NIGHT OWL 2019", []),
    ],
)
def test_what_may_be_meant_is_named_the_likeliest_first(said: str, meant: list[str]) -> None:
    titles = ["CONTAINMENT 2002", "CONTAINMENT 2003", "MIRAGE 2003", "SAFE HEAVEN 2004"]
    assert near(said, titles) == meant


@pytest.mark.parametrize(
    ("kind", "operation", "body", "named"),
    [
        ("alert", " mirage  2003", {}, ("MIRAGE 2003",)),
        ("operation.report", None, {"name": "MIRAGE", "year": "2003"}, ("MIRAGE 2003",)),
        ("operation.report", "Mirage 2003", {"name": "MIRAGE", "year": 2003}, ("MIRAGE 2003",)),
        ("operation.report", "MIRAGE 2004", {"name": "MIRAGE", "year": 2003}, ("MIRAGE 2003", "MIRAGE 2004")),
        ("alert", None, {"name": "MIRAGE", "year": 2003}, ()),
        ("operation.report", None, {"name": "MIRAGE"}, ()),
    ],
)
def test_the_operation_that_a_message_names(kind: str, operation: str | None, body: Any, named: Any) -> None:
    assert named_by(kind, operation, body) == named


def test_a_title_is_a_name_and_a_year() -> None:
    assert split_title("SAFE HEAVEN 2004") == ("SAFE HEAVEN", 2004)
    assert split_title("MIRAGE") is split_title("2004") is None
