"""The tables of operations out of reports that are split, repeated, corrected, taken back and made by two agencies."""

from decimal import Decimal
from itertools import count
from typing import Any

import pytest

from deploy.local.replayed import posts
from deploy.local.seedtables import OPERATIONS, Printed
from schemas.amended import Received
from schemas.codes import Agency
from schemas.tally import OperationTables, operation_tables

NAME, YEAR = "CONTAINMENT", 2003
HEROIN = {"substance": "heroin", "quantity": 24, "unit": "kg"}
_ids = count()


def replayed() -> list[Received]:
    """What a replay sends, as the Centre's node gets it."""
    sent = posts()
    ids = {id(post): str(place) for place, post in enumerate(sent)}
    found = []
    for post in sent:
        body = post.request["body"] | ({"message": ids[id(post.mends)]} if post.mends is not None else {})
        agency = Agency(post.request.get("agency", Agency.POLICE))
        about = (post.request["kind"], post.request["operation"], body)
        found.append(Received(ids[id(post)], post.sender, agency, *about))
    return found


def seized(agency: str, quantity: str, unit: str = "kg", sender: str = "bg", **more: Any) -> Received:
    """A message of one seizure of heroin; `day` and `operation` as asked."""
    day, operation = more.pop("day", "2003-10-15"), more.pop("operation", f"{NAME} {YEAR}")
    one = {"substance": "heroin", "quantity": quantity, "unit": unit} | more
    body = {"seized_on": day, "country": sender.upper(), "seizures": [one]}
    return Received(str(next(_ids)), sender, Agency(agency), "drugs.seizure", operation, body)


def report(agency: str = "police", sender: str = "bg", **said: Any) -> Received:
    """A report of that operation."""
    body = {"name": NAME, "year": YEAR, "country": sender.upper(), "agency": agency}
    body |= {"begins": "2003-10-13", "ends": "2003-10-24"} | said
    return Received(str(next(_ids)), sender, Agency(agency), "operation.report", f"{NAME} {YEAR}", body)


def cells(found: OperationTables) -> list[tuple[str, str]]:
    return [(row.label, row.cell) for row in (*found.results, *found.seizures)]


@pytest.mark.parametrize("printed", OPERATIONS, ids=lambda one: f"{one.name} {one.year}")
def test_every_table_of_the_document_is_computed_from_the_reports_of_four_countries(printed: Printed) -> None:
    found = operation_tables(replayed(), printed.name, printed.year)
    assert tuple((row.label, row.cell) for row in getattr(found, printed.table)) == printed.rows
    assert found.countries == ("BG", "HR", "RO", "TR")
    assert (found.repeated, found.unreadable) == ((), ())


def test_what_was_mended_and_counted_once_in_the_replay_is_told() -> None:
    containment = operation_tables(replayed(), "CONTAINMENT", 2003)
    assert (len(containment.corrected), len(containment.withdrawn)) == (1, 1)
    [double] = containment.doubles
    assert (double.counted.agency, double.left_out.agency) == (Agency.CUSTOMS, Agency.POLICE)
    assert double.reason == "the same quantity in the same period"
    assert len(operation_tables(replayed(), "MIRAGE", 2004).corrected) == 1
    [heroin] = operation_tables(replayed(), "SAFE HEAVEN", 2004).doubles
    assert heroin.reason == "the same reference"


@pytest.mark.parametrize(
    ("first", "second", "doubles", "cell"),
    [
        # Two agencies of one country, the same amount in whatever unit.
        (seized("police", "24"), seized("customs", "24000", "g"), 1, "24 kg"),
        (
            seized("police", "24"),
            report("customs", seizures=[{"substance": "heroin", "quantity": 24, "unit": "kg"}]),
            1,
            "24 kg",
        ),
        (seized("police", "24", reference="X"), seized("customs", "23.9", reference="X"), 1, "24 kg"),
        (seized("police", "24", reference="X"), seized("police", "24", reference="X"), 1, "24 kg"),
        (seized("police", "24", reference="X"), seized("customs", "24"), 1, "24 kg"),
        # Another seizure, as far as can be told.
        (seized("police", "24", reference="X"), seized("customs", "24", reference="Y"), 0, "48 kg"),
        (seized("police", "24"), seized("customs", "24", day="2003-10-16"), 0, "48 kg"),
        (seized("police", "24"), seized("customs", "23"), 0, "47 kg"),
        (seized("police", "24"), seized("police", "24"), 0, "48 kg"),
        (seized("police", "24"), seized("customs", "24", sender="ro"), 0, "48 kg"),
    ],
)
def test_a_seizure_that_two_report_counts_once_and_is_shown(
    first: Received, second: Received, doubles: int, cell: str
) -> None:
    found = operation_tables([first, second], NAME, YEAR)
    assert cells(found) == [("Heroin", cell)]
    assert [(one.counted.message, one.left_out.message) for one in found.doubles] == [(first.id, second.id)] * doubles


def test_tablets_and_mass_of_one_substance_are_two_rows() -> None:
    found = operation_tables([seized("police", "2"), seized("police", "500", "tablets")], NAME, YEAR)
    assert cells(found) == [("Heroin", "2 kg"), ("Heroin", "500 tablets")]
    assert [(row.value, row.unit, row.parts) for row in found.seizures] == [(2, "kg", 1), (500, "tablets", 1)]


def test_only_what_is_of_the_operation_counts() -> None:
    others = [
        seized("police", "1", operation="CONTAINMENT 2002"),
        seized("police", "1", operation=None),
        report(year=2002, results=[{"indicator": "vehicles-seized", "count": 1}]),
        report(name="MIRAGE", results=[{"indicator": "vehicles-seized", "count": 1}]),
    ]
    assert operation_tables(others, NAME, YEAR).messages == ()
    assert cells(operation_tables([*others, seized("police", "1", operation=" containment  2003")], NAME, YEAR)) == [
        ("Heroin", "1 kg")
    ]


def test_a_report_that_is_sent_twice_counts_once() -> None:
    results = [{"indicator": "vehicles-seized", "count": 45}]
    first, again, later = report(results=results), report(results=results), report(results=results, ends="2003-10-25")
    found = operation_tables([first, again, later, report("customs", results=results)], NAME, YEAR)
    assert cells(found) == [("Vehicles seized", "135")]
    assert found.repeated == (again.id,)


def test_a_correction_that_does_not_read_takes_its_message_out_and_is_told() -> None:
    wrong = seized("police", "24")
    content = {"kind": "drugs.seizure", "kind_version": 1, "body": {"seized_on": "2003-10-15"}}
    correction = Received("c", "bg", Agency.POLICE, "correction", None, {"message": wrong.id, "content": content})
    found = operation_tables([wrong, correction, seized("police", "1")], NAME, YEAR)
    assert (cells(found), found.unreadable) == ([("Heroin", "1 kg")], (wrong.id,))


def test_rows_stand_as_the_plan_has_them_and_what_it_does_not_name_behind() -> None:
    plan = report()
    body = {"objective": "o", "countries": ["BG"], "agencies": ["police"], "indicators": ["vehicles-value"]}
    body |= {name: plan.body[name] for name in ("name", "year", "begins", "ends")}
    plan = Received(plan.id, "seci", Agency.POLICE, "operation.plan", None, body)
    said = report(
        results=[
            {"indicator": "other", "name": "plates found", "count": 3},
            {"indicator": "vehicles-value", "amount": {"value": "891.5", "currency": "EUR", "stated": "891,5"}},
            {"indicator": "vehicles-seized", "count": 2},
        ]
    )
    more = report("customs", results=[{"indicator": "vehicles-value", "amount": {"value": 7, "currency": "RON"}}])
    found = operation_tables([said, more, plan], NAME, YEAR)
    assert cells(found) == [
        ("Value of vehicles seized (Euro)", "891,5"),
        ("Value of vehicles seized (RON)", "7"),
        ("plates found", "3"),
        ("Vehicles seized", "2"),
    ]
    assert (found.results[0].value, found.results[0].unit) == (Decimal("891.5"), "EUR")


def test_other_substances_are_told_apart_by_what_they_are() -> None:
    ketamine = {"substance": "other", "note": "ketamine"}
    found = operation_tables([seized("police", "1", **ketamine), seized("police", "2", substance="other")], NAME, YEAR)
    assert cells(found) == [("ketamine", "1 kg"), ("Other", "2 kg")]


def test_one_agencys_two_seizures_are_not_both_the_others_one() -> None:
    found = operation_tables([seized("police", "24"), seized("customs", "24"), seized("customs", "24")], NAME, YEAR)
    assert (cells(found), len(found.doubles)) == ([("Heroin", "48 kg")], 1)
    found = operation_tables(
        [seized("customs", "24"), seized("customs", "24"), seized("police", "24"), seized("police", "24")], NAME, YEAR
    )
    assert (cells(found), len(found.doubles)) == ([("Heroin", "48 kg")], 2)


def test_two_substances_without_a_name_are_not_one_seizure() -> None:
    ketamine, khat = ({"substance": "other", "note": name} for name in ("ketamine", "khat"))
    found = operation_tables([seized("police", "1", **ketamine), seized("customs", "1", **khat)], NAME, YEAR)
    assert (cells(found), found.doubles) == ([("ketamine", "1 kg"), ("khat", "1 kg")], ())


def test_no_country_adds_to_anothers_figures_nor_hides_them() -> None:
    theirs = seized("police", "100", reference="BG-1")
    # Of less, under the same reference, and before it: the true one would be its double.
    forged = seized("police", "0.001", reference="BG-1")
    forged = Received(forged.id, "ro", Agency.POLICE, forged.kind, forged.operation, forged.body)
    more = report(results=[{"indicator": "vehicles-seized", "count": 10**9}])
    more = Received(more.id, "ro", Agency.POLICE, more.kind, more.operation, more.body)
    mine = report(sender="ro", results=[{"indicator": "vehicles-seized", "count": 1}])
    content = {"kind": "operation.report", "kind_version": 1, "body": mine.body | {"country": "BG"}}
    moved = Received("m", "ro", Agency.POLICE, "correction", None, {"message": mine.id, "content": content})
    found = operation_tables([forged, more, theirs, mine, moved], NAME, YEAR)
    assert cells(found) == [("Heroin", "100 kg")]
    assert (found.doubles, found.countries) == ((), ("BG",))
    assert found.foreign == (forged.id, more.id, mine.id)
    # The Centre reports for who has no node.
    by_centre = Received(forged.id, "seci", Agency.POLICE, forged.kind, forged.operation, forged.body)
    assert operation_tables([by_centre], NAME, YEAR).messages == (forged.id,)


def test_a_correction_that_writes_the_year_as_text_is_counted() -> None:
    wrong = report(results=[{"indicator": "vehicles-seized", "count": 100}])
    right = wrong.body | {"year": str(YEAR), "results": [{"indicator": "vehicles-seized", "count": 10}]}
    content = {"kind": "operation.report", "kind_version": 1, "body": right}
    correction = Received("c", "bg", Agency.POLICE, "correction", None, {"message": wrong.id, "content": content})
    found = operation_tables([wrong, correction], NAME, YEAR)
    assert (cells(found), found.corrected) == ([("Vehicles seized", "10")], (wrong.id,))


def test_a_correction_that_does_not_say_of_which_operation_is_told() -> None:
    wrong = report(results=[{"indicator": "vehicles-seized", "count": 100}])
    content = {"kind": "operation.report", "kind_version": 2, "body": {"operation": f"{NAME} {YEAR}"}}
    correction = Received("c", "bg", Agency.POLICE, "correction", None, {"message": wrong.id, "content": content})
    found = operation_tables([wrong, correction], NAME, YEAR)
    assert (cells(found), found.unreadable) == ([], (wrong.id,))
    assert operation_tables([wrong, correction], "MIRAGE", YEAR).unreadable == ()


def test_a_correction_or_withdrawal_that_changes_nothing_is_told() -> None:
    said = report(results=[{"indicator": "vehicles-seized", "count": 5}])
    about = {"message": said.id}
    content = {"kind": "drugs.seizure", "kind_version": 1, "body": seized("police", "1").body}
    mine = Received("c", "bg", Agency.POLICE, "correction", None, about | {"content": content})
    taken = Received("t", "bg", Agency.POLICE, "correction", None, about | {"content": content})
    back = Received("b", "bg", Agency.POLICE, "withdrawal", None, {"message": "t"})
    theirs = Received("w", "ro", Agency.POLICE, "withdrawal", None, about)
    found = operation_tables([said, mine, taken, back, theirs], NAME, YEAR)
    assert (cells(found), found.void) == ([("Vehicles seized", "5")], ("c", "w"))
    assert operation_tables([said, mine, theirs], "MIRAGE", YEAR).void == ()
