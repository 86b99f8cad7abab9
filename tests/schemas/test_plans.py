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


def reported(id: str, country: str, agency: str, begins: str) -> Received:
    body = {"name": "CONTAINMENT", "year": int(begins[:4]), "country": country, "agency": agency}
    body |= {"begins": begins, "ends": begins, "seizures": [{"substance": "opium", "quantity": "3", "unit": "kg"}]}
    return Received(id, country.lower(), Agency(agency), "operation.report", None, body)


@pytest.mark.parametrize(
    ("begins", "asked", "reports", "missing", "unasked"),
    [
        ("2003-10-13", ["CS"], ["RS"], [], []),
        ("2003-10-13", ["CS", "RO"], ["ME"], ["RO"], []),
        ("2003-10-13", ["RS", "ME"], ["CS"], [], []),
        ("2003-10-13", ["RS", "ME"], ["RS"], ["ME"], []),
        ("2003-10-13", ["RO"], ["RS"], ["RO"], ["RS"]),
        ("2007-10-13", ["CS"], ["RS"], ["CS"], ["RS"]),
        ("2007-10-13", ["RS", "ME"], ["CS"], ["RS", "ME"], ["CS"]),
    ],
)
def test_serbia_and_montenegro_is_asked_by_either_name_while_it_was_one_state(
    begins: str, asked: list[str], reports: list[str], missing: list[str], unasked: list[str]
) -> None:
    body = BODY | {"year": int(begins[:4]), "begins": begins, "ends": begins, "countries": asked}
    received = [
        Received("1", "seci", Agency.POLICE, "operation.plan", None, body, "drugs"),
        *(reported(f"r{country}", country, "police", begins) for country in reports),
    ]
    [found] = operations(received)
    tables = operation_tables(received, "CONTAINMENT", int(begins[:4]))
    assert [country for country, _ in found.missing] == [country for country, _ in tables.missing] == missing
    assert [country for country, _ in tables.unasked] == unasked


@pytest.mark.parametrize(
    ("begins", "police", "customs", "kilograms"),
    [
        ("2003-10-13", "CS", "RS", "3"),
        ("2003-10-13", "ME", "CS", "3"),
        ("2003-10-13", "ME", "RS", "6"),
        ("2007-10-13", "RS", "ME", "6"),
        ("2007-10-13", "RS", "RS", "3"),
        ("2007-10-13", "CS", "RS", "6"),
    ],
)
def test_one_seizure_of_a_state_by_either_of_its_names_is_counted_once(
    begins: str, police: str, customs: str, kilograms: str
) -> None:
    received = [reported("1", police, "police", begins), reported("2", customs, "customs", begins)]
    tables = operation_tables(received, "CONTAINMENT", int(begins[:4]))
    assert [row.cell for row in tables.seizures] == [f"{kilograms} kg"]
    assert len(tables.doubles) == (1 if kilograms == "3" else 0)


def test_what_amends_names_the_operation_of_what_it_carries() -> None:
    content = {"kind": "operation.report", "kind_version": 1, "body": {"name": "MIRAGE", "year": 2003}}
    assert named_by("correction", "MIRAGE 2004", {"message": "x", "content": content}) == ("MIRAGE 2003",)
    assert named_by("withdrawal", "MIRAGE 2004", {"message": "x"}) == ()
    for body in (None, [], {"content": []}, {"content": {"kind": "operation.report", "body": 1}}):
        assert named_by("correction", "MIRAGE 2004", body) == ()
