"""`seci-node operation`: at the Centre's node, the tables of an operation from all that was reported to it."""

import csv
import io
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from nodes.client import call
from nodes.errors import OperationUnknown
from nodes.shell import AsJson, Home, answer, say
from schemas.amended import CORRECTION, WITHDRAWAL, Received
from schemas.codes import Agency
from schemas.registry import newest_body
from schemas.tally import COUNTED_KINDS, Double, OperationTables, Row, operation_tables

operation_app: Final = typer.Typer(no_args_is_help=True, help="Joint operations, as they were reported to this node.")
_PAGE: Final = 500


@operation_app.command()
def tables(
    name: Annotated[str, typer.Argument(help='The operation, for example MIRAGE or "SAFE HEAVEN".')],
    year: Annotated[int, typer.Argument(min=1999, max=2999)],
    home: Home,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compute the tables of an operation: indicators and seizures, added up over all countries and agencies.

    From its reports and seizures in this node's inbox and its own plan; what was corrected counts as corrected, what
    was withdrawn does not. A seizure that police and customs of a country both report counts once, and is shown.
    Tablets, ampoules and the like are never made into mass. Exit code 4 if nothing of the operation is here.
    """
    if as_csv and as_json:
        raise typer.BadParameter("--csv or --json, not both")
    wanted = " ".join(name.upper().split())
    kinds = (*COUNTED_KINDS, CORRECTION, WITHDRAWAL)
    found = operation_tables([*_sent(home, kinds), *_received(home, kinds)], wanted, year)
    if not found.messages:
        step = "see which there are: seci-node inbox --kind operation.report"
        raise OperationUnknown(f"nothing of {wanted} {year} is counted here", step)
    text = _csv(found).rstrip("\n") if as_csv else "\n".join(_lines(found))
    answer(_described(found), as_json, text)
    for line in _notes(found):
        say(line)


def _received(home: Path, kinds: tuple[str, ...]) -> list[Received]:
    """What is in the inbox of these kinds, in the order of arrival."""
    found: list[tuple[int, Received]] = []
    for kind in kinds:
        after = 0
        while messages := call(home, "GET", "/v1/inbox", params={"kind": kind, "after": after, "limit": _PAGE})[
            "messages"
        ]:
            found += [(message["seq"], _of(message)) for message in messages]
            after = messages[-1]["seq"]
    return [message for _, message in sorted(found, key=lambda item: item[0])]


def _sent(home: Path, kinds: tuple[str, ...]) -> list[Received]:
    """What this node has sent of these kinds, the oldest first: the Centre's own plan, above all."""
    ids: list[str] = []
    params: dict[str, Any] = {"limit": _PAGE}
    while True:
        page = call(home, "GET", "/v1/messages", params=params)
        ids += [m["id"] for m in page["messages"] if m["kind"] in kinds and m["state"] == "accepted"]
        if page["before"] is None:
            return [_of(call(home, "GET", f"/v1/messages/{id}")) for id in reversed(ids)]
        params["before"] = page["before"]


def _of(message: dict[str, Any]) -> Received:
    # The tables know one version of each kind.
    body = newest_body(message["kind"], message["kind_version"], message["body"])
    about = (message["kind"], message.get("operation"), body)
    created = int(datetime.fromisoformat(message["created"]).timestamp() * 1000)
    return Received(message["id"], message["sender"], Agency(message["agency"]), *about, created)


def _tables(found: OperationTables) -> Iterator[tuple[str, tuple[str, str], tuple[Row, ...]]]:
    """Those that have rows: what each is called, its heading as printed, and the rows."""
    if found.results:
        yield "results", ("Indicators", "Results"), found.results
    if found.seizures:
        yield "seizures", ("Drug Type", "Quantity"), found.seizures


def _lines(found: OperationTables) -> list[str]:
    lines = [f"{found.name} {found.year}"]
    for _, heading, rows in _tables(found):
        labels = [_printable(row.label) for row in rows]
        width = max(map(len, (heading[0], *labels)))
        lines += ["", f"{heading[0]:{width}}  {heading[1]}"]
        lines += [f"{label:{width}}  {row.cell}" for label, row in zip(labels, rows, strict=True)]
    counted = f"from {len(found.messages)} messages of {', '.join(found.countries)}"
    return [*lines, "", counted, *map(_double_line, found.doubles)]


def _printable(label: str) -> str:
    # What others wrote must not steer the terminal, nor pass for a line of the table.
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in label)


def _double_line(double: Double) -> str:
    one, other = (
        f"{item.agency} {item.seizure.quantity} {item.seizure.unit} (message {item.message})"
        for item in (double.counted, double.left_out)
    )
    return (
        f"counted once: {double.counted.seizure.substance} of {double.counted.country}: {one}, {other}; {double.reason}"
    )


def _notes(found: OperationTables) -> Iterator[str]:
    for what, ids in (
        ("counted as corrected", found.corrected),
        ("not counted, for it was withdrawn", found.withdrawn),
        ("not counted, for an earlier report says the same", found.repeated),
        ("not counted, for it does not read", found.unreadable),
        ("not counted, for it is of a country that is not its sender's", found.foreign),
        ("changes nothing, for what it is about is another's or of another kind", found.void),
    ):
        yield from (f"{what}: message {id}" for id in ids)


def _csv(found: OperationTables) -> str:
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(["table", "label", "cell", "value", "unit", "parts"])
    for table, _, rows in _tables(found):
        out.writerows([table, _plain(row.label), row.cell, row.value, row.unit, row.parts] for row in rows)
    return text.getvalue()


def _plain(label: str) -> str:
    # Others may have written it, and a spreadsheet would compute what begins so.
    return f"'{label}" if label.startswith(("=", "+", "-", "@", "\t", "\r")) else label


def _described(found: OperationTables) -> dict[str, Any]:
    described = {
        "operation": {"name": found.name, "year": found.year},
        **{
            name: [_row(row) for row in rows]
            for name, rows in (("results", found.results), ("seizures", found.seizures))
        },
        "doubles": [_double(double) for double in found.doubles],
    }
    lists = ("messages", "countries", "corrected", "withdrawn", "repeated", "unreadable", "foreign", "void")
    return described | {name: list(getattr(found, name)) for name in lists}


def _row(row: Row) -> dict[str, Any]:
    return asdict(row) | {"value": str(row.value)}


def _double(double: Double) -> dict[str, Any]:
    return {
        "reason": double.reason,
        **{
            which: {
                "message": item.message,
                "country": item.country,
                "agency": str(item.agency),
                "seizure": item.seizure.model_dump(mode="json", exclude_none=True),
            }
            for which, item in (("counted", double.counted), ("left_out", double.left_out))
        },
    }
