"""`seci-hub stats`: the table of page 8 out of a real database, with what is imported marked wherever it is shown."""

import csv
import getpass
import hashlib
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine

from hub import ledger
from hub.cli import main
from hub.pen import writing
from hub.rows import insert
from schemas.control import Entry, Event
from tests.hub.ownhub import OwnHub
from tests.typed import type_aside

pytestmark = pytest.mark.system
LAST_MOMENT_2003 = datetime(2003, 12, 31, 23, 59, 59, 999000, UTC)
# Task force and moment of what was accepted.
ACCEPTED = (
    *(("drugs", datetime(2003, 6, day, tzinfo=UTC)) for day in range(1, 13)),
    ("drugs", LAST_MOMENT_2003),
    ("drugs", datetime(2004, 1, 1, tzinfo=UTC)),
    ("terrorist-groups", datetime(2004, 5, 1, tzinfo=UTC)),
    ("terrorism", datetime(2004, 5, 2, tzinfo=UTC)),
    ("salw", datetime(2005, 1, 1, tzinfo=UTC)),
)
ERASED = datetime(2004, 5, 3, tzinfo=UTC)


def _millis(at: datetime) -> int:
    return round(at.timestamp() * 1000)


@pytest.fixture
async def told(own: OwnHub, own_engine: AsyncEngine) -> OwnHub:
    """A hub whose ledger has these, and others that do not count; and a message of which the entry is erased."""
    about = {"event": Event.ACCEPTED, "node": "ro", "sender": "ro", "envelope": bytes(32), "kind": "alert"}
    entries = [Entry(at=_millis(at), task_force=task_force, **about) for task_force, at in ACCEPTED]
    others = [Entry(at=_millis(ERASED), event=event, node="ro") for event in (Event.REFUSED, Event.DELIVERED)]
    left = ("ro", uuid4(), bytes(32), 99, _millis(ERASED), UUID(int=1), "", "alert", "", [], 0, None, None, None)
    async with writing(own_engine, own.log) as connection:
        turn = await ledger.take_turn(connection)
        await ledger.append(connection, own.log, turn, [*entries, *others])
        await insert(connection, {"message": [left]})
    return own


def _stats(hub: OwnHub, *options: str, code: int = 0) -> str:
    ended, out, _ = type_aside(main, "stats", "exchange", *options, "--home", hub.home)
    assert ended == code
    return out


def _totals(found: dict[str, Any]) -> dict[str, list[int | None]]:
    return {
        row["field"]: [count and count["total"] for count in row["counts"].values()]
        for row in [*found["rows"], found["total"]]
    }


def test_messages_are_counted_by_field_in_the_year_of_the_hubs_time(told: OwnHub, tmp_path: Path) -> None:
    found = json.loads(_stats(told, "--year", "2004", "--compare", "2003", "--json"))
    assert (found["year"], found["compare"], found["imported"]) == (2004, 2003, [])
    totals = _totals(found)
    assert {field: pair for field, pair in totals.items() if any(pair)} == {
        "drugs": [13, 1],
        "terrorism": [0, 2],
        "erased": [0, 1],
        "total": [13, 4],
    }
    changes = {row["field"]: (row["comparison"], row["percent"]) for row in [*found["rows"], found["total"]]}
    assert (changes["drugs"], changes["terrorism"], changes["other"]) == (("↓ 92", 92), ("↑", None), ("", None))
    # The year before is what it is compared with if nothing is said.
    assert json.loads(_stats(told, "--year", "2004", "--json")) == found
    lines = _stats(told, "--year", "2004", "--svg", str(tmp_path / "chart.svg")).splitlines()
    assert lines[0].split() == ["TF", "Field", "2003", "2004", "Comparison"]
    assert ["Anti-Drug", "13", "1", "↓", "92"] in [line.split() for line in lines]
    assert "*" not in "".join(lines)
    assert "13" in (tmp_path / "chart.svg").read_text()


def test_imported_figures_are_added_and_marked_in_every_output(told: OwnHub, tmp_path: Path) -> None:
    file = tmp_path / "before.csv"
    file.write_text("year,field,count\n2003,drugs,31\n2002,Anti-Drug,7\n2002,wmd,0\n")
    code, said = told.type("stats", "import", str(file), "--source", "Annual report 2003")
    assert (code, said["imported"], said["replaced"], said["years"]) == (0, 3, [], [2002, 2003])
    _, proven = told.type("ledger", "verify")
    assert proven["ok"]
    entry = Entry.from_bytes(told.content(said["entry"]))
    assert (entry.event, entry.detail) == (
        Event.OPERATOR,
        f"setup/{getpass.getuser()}: stats import 2002,2003 Annual report 2003",
    )
    assert entry.evidence == hashlib.sha256(file.read_bytes()).digest()
    found = json.loads(_stats(told, "--year", "2003", "--json", code=3))
    drugs = next(row for row in found["rows"] if row["field"] == "drugs")
    assert drugs["counts"]["2002"] == {"total": 7, "ledger": 0, "imported": 7}
    assert drugs["counts"]["2003"] == {"total": 44, "ledger": 13, "imported": 31}
    origins = {(one["year"], one["count"], one["source"]) for one in found["imported"]}
    assert {one["operator"] for one in found["imported"]} == {f"setup/{getpass.getuser()}"}
    assert origins == {(year, count, "Annual report 2003") for year, count in ((2002, 7), (2002, 0), (2003, 31))}
    assert {one["digest"] for one in found["imported"]} == {said["digest"]}
    lines = _stats(told, "--year", "2003", code=3).splitlines()
    assert ["Anti-Drug", "7*", "44*", "↑"] in [line.split() for line in lines]
    assert ["Weapons", "of", "Mass", "Destruction", "0*", "-"] in [line.split() for line in lines]
    assert lines[-3].startswith("* imported")
    table = list(csv.DictReader(io.StringIO(_stats(told, "--year", "2003", "--csv", code=3))))
    assert [row for row in table if row["field"] == "drugs"] == [
        {
            "field": "drugs",
            "name": "Anti-Drug",
            "2002": "7",
            "2003": "44",
            "comparison": "↑",
            "imported in 2002": "7",
            "imported in 2003": "31",
        }
    ]


def test_a_field_that_was_not_imported_as_others_were_is_not_known_and_not_none(told: OwnHub, tmp_path: Path) -> None:
    file = tmp_path / "before.csv"
    # The ledger began in June 2003 and has drugs since then; the whole of 2004 it has.
    file.write_text("year,field,count\n2002,drugs,7\n2002,wmd,0\n2003,fraud,40\n2004,fraud,1\n")
    assert told.type("stats", "import", str(file), "--source", "Annual report 2003")[0] == 0
    others = ["trafficking", "financial", "vehicles", "terrorism", "salw", "other"]
    found = json.loads(_stats(told, "--year", "2003", "--json", code=3))
    assert found["missing"] == {"2002": [*others[:1], "fraud", *others[1:]], "2003": [*others[:-1], "wmd", "other"]}
    totals = _totals(found)
    assert (totals["wmd"], totals["fraud"], totals["salw"], totals["total"]) == (
        [0, None],
        [None, 40],
        [None] * 2,
        [7, 53],
    )
    assert (found["total"]["comparison"], found["total"]["percent"]) == ("", None)
    found = json.loads(_stats(told, "--year", "2004", "--json", code=3))
    assert (list(found["missing"]), _totals(found)["salw"], _totals(found)["fraud"]) == (["2003"], [None, 0], [40, 1])
    table = list(csv.DictReader(io.StringIO(_stats(told, "--year", "2004", "--csv", code=3))))
    assert [(row["2003"], row["2004"], row["comparison"]) for row in table if row["field"] == "salw"] == [("", "0", "")]
    assert "not imported of 2003, so not known and not in its TOTAL: Trafficking" in _stats(
        told, "--year", "2004", code=3
    )


async def test_what_is_imported_is_replaced_only_if_that_is_said_and_none_is_lost(
    told: OwnHub, own_engine: AsyncEngine, tmp_path: Path
) -> None:
    def importing(count: int, *options: str) -> tuple[int, Any]:
        figure = {"year": 2002, "field": "wmd", "count": count}
        (tmp_path / "f.json").write_text(json.dumps([figure]))
        return told.type("stats", "import", str(tmp_path / "f.json"), "--source", f"Report {count}", *options)

    assert importing(9)[0] == 0
    code, said = importing(9)
    assert (code, said["imported"], said["unchanged"], said["entry"]) == (0, 0, 1, None)
    code, said = importing(8)
    assert (code, said["code"], said["errors"][0]["field"]) == (4, "figures_present", "wmd of 2002")
    assert said["errors"][0]["found"].startswith("9, from Report 9, imported by ")
    code, said = importing(8, "--replace")
    assert (code, [old["count"] for old in said["replaced"]]) == (0, [9])
    assert _totals(json.loads(_stats(told, "--year", "2003", "--json", code=3)))["wmd"] == [8, 0]
    listed = told.type("stats", "imported", "--all")[1]["imported"]
    assert [(one["count"], one["source"], one["replaced"]) for one in listed] == [
        (8, "Report 8", False),
        (9, "Report 9", True),
    ]
    async with own_engine.connect() as connection:
        with pytest.raises(ProgrammingError, match="permission denied"):
            await connection.execute(text("DELETE FROM imported_statistic"))


def test_a_bad_file_imports_nothing(told: OwnHub, tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text("year,field,count\n2002,drugs,7\n2002,tea,1\n2999,drugs,7\n")
    code, said = told.type("stats", "import", str(tmp_path / "f.csv"), "--source", "s")
    assert (code, said["code"]) == (2, "figures_refused")
    assert [error["field"] for error in said["errors"]] == ["line 3, field", "line 4, year"]
    assert told.type("stats", "import", str(tmp_path / "f.csv"))[1]["code"] == "usage"
    assert told.type("stats", "imported")[1] == {"imported": []}


def test_a_year_of_which_nothing_is_known_is_not_a_year_of_none(told: OwnHub) -> None:
    code, found = told.type("stats", "exchange", "--year", "2003")
    assert (code, found["unknown"], found["total"]["counts"]["2002"]) == (3, [2002], None)
    assert (found["total"]["comparison"], found["total"]["counts"]["2003"]["total"]) == ("", 13)
    assert told.type("stats", "exchange", "--year", "2002")[1]["code"] == "figures_unknown"
    this_year = datetime.now(UTC).year
    code, found = told.type("stats", "exchange", "--year", str(this_year))
    assert (code, found["running"], found["unknown"], found["total"]["counts"][str(this_year)]["total"]) == (
        *(0, this_year, []),
        0,
    )


def test_an_entry_that_does_not_read_is_an_alarm_not_a_smaller_figure(told: OwnHub) -> None:
    told.sql("UPDATE ledger_content SET entry = 'poem' WHERE leaf_index = 3")
    code, said = told.type("stats", "exchange", "--year", "2004")
    assert (code, said["code"]) == (6, "ledger_broken")


def test_what_cannot_be_asked_is_told(told: OwnHub) -> None:
    for year, *options in (
        ("2004", "--compare", "2004"),
        ("2999",),
        ("2004", "--csv"),
        ("2004", "--svg", "none/x.svg"),
    ):
        code, said = told.type("stats", "exchange", "--year", year, *options)
        assert (code, said["ok"]) == (2, False), options
