"""`seci-node operation`: the joint operations that this node knows of, and the tables of one, from its reports."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Annotated, Any, Final

import typer

from nodes.errors import OperationUnknown
from nodes.reported import reported
from nodes.shell import AsJson, Home, answer, say
from schemas.plans import Operation, Party, as_title, near, operations, split_title
from schemas.printed import SUBSTANCE_NAMES
from schemas.tally import Double, Found, OperationTables, Row, operation_tables

operation_app: Final = typer.Typer(no_args_is_help=True, help="Joint operations, as they were reported to this node.")
_FIRST_YEAR: Final = 1999


@operation_app.command("list")
def list_(home: Home, as_json: AsJson = False) -> None:
    """List the operations that this node knows of: each with its plan, who takes part, and who has reported.

    From the plans, reports and seizures in its inbox and those it has sent. A name under which something was reported
    and that no plan has is listed too, with the name that may be meant.
    """
    found = operations(reported(home))
    titles = [one.title for one in found if one.plan is not None]
    result = [_listed(one, titles) for one in found]
    answer({"operations": result}, as_json, "\n".join(map(_listed_lines, result)) or "no operation is known here")


def _listed(one: Operation, planned: Sequence[str]) -> dict[str, Any]:
    name, year = split_title(one.title) or (one.title, None)
    described: dict[str, Any] = {"operation": one.title, "name": name, "year": year, "plan": None}
    if one.plan is not None:
        body = one.plan.body.model_dump(mode="json", exclude_none=True)
        shown = ("begins", "ends", "report_by", "countries", "agencies")
        described |= {
            "plan": one.plan.message.id,
            "planned_by": one.plan.message.sender,
            "task_force": one.plan.message.task_force,
            **{field: body.get(field) for field in shown},
        }
    return described | {
        "reports": len(one.messages),
        "reported": _parties(one.reported),
        "missing": _parties(one.missing),
        "similar": near(one.title, planned) if one.plan is None else [],
    }


def _listed_lines(one: dict[str, Any]) -> str:
    counted = _counted(one["reports"], "report")
    if one["plan"] is None:
        meant = f": {' or '.join(one['similar'])} may be meant" if one["similar"] else ""
        return f"{_printable(one['operation'])}: {counted}, and no plan has this name{meant}"
    by = f", to be reported by {one['report_by']}" if one["report_by"] else ""
    lines = [
        f"{one['operation']}: {one['begins']} to {one['ends']}{by}; task force {one['task_force']}",
        f"  plan {one['plan']} of {one['planned_by']}; {', '.join(one['countries'])}; {', '.join(one['agencies'])}",
        f"  {counted}{_by(one['reported'], ' from')}{_by(one['missing'], '; none from')}",
    ]
    return "\n".join(lines)


def _by(parties: Sequence[dict[str, str]], word: str) -> str:
    countries: dict[str, list[str]] = {}
    for party in parties:
        countries.setdefault(party["country"], []).append(party["agency"])
    told = ", ".join(f"{country} ({', '.join(agencies)})" for country, agencies in countries.items())
    return f"{word} {told}" if told else ""


def _parties(parties: Sequence[Party]) -> list[dict[str, str]]:
    return [{"country": country, "agency": str(agency)} for country, agency in parties]


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


@operation_app.command()
def tables(
    operation: Annotated[
        list[str],
        typer.Argument(metavar="NAME YEAR", help="The operation, as in `send --operation`: SAFE HEAVEN 2004."),
    ],
    home: Home,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compute the tables of an operation: indicators and seizures, added up over all countries and agencies.

    From its reports and seizures in this node's inbox and its own plan; what was corrected counts as corrected, what
    was withdrawn does not. A seizure that police and customs of a country both report counts once, and is shown.
    Tablets, ampoules and the like are never made into mass. Exit code 3 if it is planned and nobody has reported yet,
    4 if nothing of it is here.
    """
    if as_csv and as_json:
        raise typer.BadParameter("--csv or --json, not both")
    wanted = as_title(" ".join(operation))
    said = split_title(wanted)
    if said is None or said[1] < _FIRST_YEAR:
        raise typer.BadParameter(f"{wanted!r} has no year behind its name; write it as CONTAINMENT 2003")
    received = reported(home)
    found, known = operation_tables(received, *said), operations(received)
    if not found.messages and found.plan is None:
        raise _unknown(wanted, known)
    similar = _similar(wanted, known)
    text = _csv(found).rstrip("\n") if as_csv else "\n".join(_lines(found))
    answer(_described(found, similar), as_json, text)
    for line in (*_notes(found), *_stray(wanted, similar, known)):
        say(line)
    if not found.messages:
        raise typer.Exit(3)


def _unknown(wanted: str, known: Sequence[Operation]) -> OperationUnknown:
    meant = near(wanted, [one.title for one in known])
    words = f"; did you mean {' or '.join(map(_printable, meant))}?" if meant else ""
    return OperationUnknown(
        f"nothing of {_printable(wanted)} is here, neither a plan nor a report that counts{words}",
        "see which operations there are: seci-node operation list",
    )


def _similar(wanted: str, known: Sequence[Operation]) -> list[Operation]:
    """What was reported under names that no plan has and that are near to this one: mistyped, perhaps."""
    unplanned = {one.title: one for one in known if one.plan is None and one.title != wanted}
    return [unplanned[name] for name in near(wanted, unplanned)]


def _stray(wanted: str, similar: Sequence[Operation], known: Sequence[Operation]) -> Iterator[str]:
    for one in similar:
        yield (
            f"not counted, for it is under {_printable(one.title)}, which no plan names: message"
            f" {', '.join(one.messages)}; if {wanted} is meant, its sender withdraws it and sends it again"
        )
    others = [one.title for one in known if one.plan is None and one not in similar and one.title != wanted]
    if others:
        yield f"no plan names {', '.join(map(_printable, others))} either: see seci-node operation list"


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
    if not found.messages:
        lines += ["", "nothing is reported yet"]
    else:
        lines += ["", f"from {_counted(len(found.messages), 'message')} of {', '.join(found.countries)}"]
    missing = _by(_parties(found.missing), "no report yet from")
    if found.plan is None:
        missing = "no plan of it is here: who should report is not known"
    return [*lines, *filter(None, [missing]), *(f"counted once: {_twice(double)}" for double in found.doubles)]


def _printable(label: str) -> str:
    # What others wrote must not steer the terminal, nor pass for a line of the table.
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in label)


def _twice(double: Double) -> str:
    of = double.counted
    return f"{_substance(of)} of {of.country}: {_teller(of)}, {_teller(double.left_out)}; {double.reason}"


def _substance(of: Found) -> str:
    return SUBSTANCE_NAMES[of.seizure.substance]


def _teller(of: Found) -> str:
    # As the tables have it: what the report itself writes, where it does.
    return f"{of.agency} {_printable(_cell(of))} (message {of.message})"


def _cell(of: Found) -> str:
    return of.seizure.stated or f"{of.seizure.quantity} {of.seizure.unit}"


def _notes(found: OperationTables) -> Iterator[str]:
    for what, ids in (
        ("counted as corrected", found.corrected),
        ("not counted, for it was withdrawn", found.withdrawn),
        ("not counted, for an earlier report says the same", found.repeated),
        ("not counted, for it does not read", found.unreadable),
        ("not counted, for it is of a country that is not its sender's", found.foreign),
        ("changes nothing, for what it is about is another's or of another kind", found.void),
        ("changes nothing, for the plan is another's", found.other_plans),
    ):
        yield from (f"{what}: message {id}" for id in ids)
    if found.unasked:
        yield _by(_parties(found.unasked), "counted, though the plan does not name them:")
    for table, _, rows in _tables(found):
        if {",", "."} <= {letter for row in rows for letter in row.cell}:
            yield f"{table}: commas and dots stand as reports write them; --csv and --json have each value as a number"


def _csv(found: OperationTables) -> str:
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(["table", "label", "cell", "value", "unit", "parts", "note"])
    for table, _, rows in _tables(found):
        out.writerows([table, _plain(row.label), row.cell, row.value, row.unit, row.parts, ""] for row in rows)
    for double in found.doubles:
        of, out_of = double.left_out, double.counted
        note = f"of {of.country}: {of.agency} (message {of.message}), counted as {out_of.agency} (message"
        note = f"{note} {out_of.message}); {double.reason}"
        cells = (_plain(_substance(of)), _plain(_cell(of)), of.seizure.quantity, of.seizure.unit, 1, note)
        out.writerow(["counted once", *cells])
    out.writerows(["no report yet", f"{country} {agency}", "", "", "", "", ""] for country, agency in found.missing)
    return text.getvalue()


def _plain(label: str) -> str:
    # Others may have written it, and a spreadsheet would compute what begins so.
    return f"'{label}" if label.startswith(("=", "+", "-", "@", "\t", "\r")) else label


def _described(found: OperationTables, similar: Sequence[Operation]) -> dict[str, Any]:
    described = {
        "operation": {"name": found.name, "year": found.year},
        "plan": None if found.plan is None else found.plan.message.id,
        **{
            name: [_row(row) for row in rows]
            for name, rows in (("results", found.results), ("seizures", found.seizures))
        },
        "doubles": [_double(double) for double in found.doubles],
        "missing": _parties(found.missing),
        "unasked": _parties(found.unasked),
        "similar": [{"operation": one.title, "messages": list(one.messages)} for one in similar],
    }
    told = ("corrected", "withdrawn", "repeated", "unreadable", "foreign", "void", "other_plans")
    return described | {name: list(getattr(found, name)) for name in ("messages", "countries", *told)}


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
