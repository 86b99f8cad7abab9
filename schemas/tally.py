"""The tables of an operation, pages 12, 13 and 15 to 18, computed from what a node has received. Pure.

standing    what has not been taken back, as it was last corrected
of its own  a country's figures come from itself or from the Centre, so that no other can add to them or hide them
plan        the Centre's, or else the first sender's (schemas/plans.py): the order of rows, and who is to report
doubles     what police and customs of one country both report is counted once, and shown
rows        counts, amounts and quantities, each added up over all countries and agencies
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final

from schemas.amended import Received, Standing, standing
from schemas.codes import Agency
from schemas.kinds.drugs import DrugsSeizure, Seizure
from schemas.kinds.operations import INDICATOR_NAMES, Indicator, OperationReport, Result
from schemas.numerals import common, readings, write
from schemas.participants import answers_for, speaks_for, state_then
from schemas.plans import PLAN, REPORT, SEIZURE, Party, Plan, plans, read, title, title_of
from schemas.printed import SUBSTANCE_NAMES
from schemas.quantities import base, total
from schemas.seizures import Substance, Unit

CURRENCY_NAMES: Final = {"EUR": "Euro"}
# Of these and of what amends them, nothing else is wanted.
COUNTED_KINDS: Final = (PLAN, REPORT, SEIZURE)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table: what it is called, its cell as printed, the same as a number with its unit, and of how many.

    `unit` is empty for counts, and a currency's code for amounts.
    """

    label: str
    cell: str
    value: Decimal
    unit: str
    parts: int


@dataclass(frozen=True, slots=True)
class Found:
    """A seizure with what tells it from others: who reports it, in which message, and when it was, or between when."""

    message: str
    kind: str
    country: str
    agency: Agency
    begins: date
    ends: date
    seizure: Seizure


@dataclass(frozen=True, slots=True)
class Double:
    """A seizure that is reported by two: the first is counted, and the second is not. `reason` says how it is known."""

    counted: Found
    left_out: Found
    reason: str


@dataclass(frozen=True, slots=True)
class OperationTables:
    """What an operation reached, and what was made of the messages that say so; ids in the order of arrival.

    `repeated` are reports that say what an earlier one of the same agency has said; `unreadable` are corrections whose
    content is not of its kind: what they correct is left out, for it is known to be wrong. `foreign` are reports and
    seizures of a country that is not their sender's. `void` are corrections and withdrawals of another's message, or
    by content of another kind: they change nothing, and nor do `other_plans`, of who has the operation's plan not.
    `missing` are those whose reports the plan asks for and who have sent none; `unasked` who reports and is not in it.
    """

    name: str
    year: int
    results: tuple[Row, ...]
    seizures: tuple[Row, ...]
    doubles: tuple[Double, ...]
    messages: tuple[str, ...]
    countries: tuple[str, ...]
    corrected: tuple[str, ...]
    withdrawn: tuple[str, ...]
    repeated: tuple[str, ...]
    unreadable: tuple[str, ...]
    foreign: tuple[str, ...]
    void: tuple[str, ...]
    plan: Plan | None
    other_plans: tuple[str, ...]
    missing: tuple[Party, ...]
    unasked: tuple[Party, ...]


def operation_tables(received: Iterable[Received], name: str, year: int) -> OperationTables:
    """The tables of one operation from all messages of `COUNTED_KINDS`, corrections and withdrawals."""
    amended, wanted = standing(received), title(name, year)
    planned = plans(amended.standing)
    plan = planned.counted.get(wanted)
    reports: dict[tuple[object, ...], OperationReport] = {}
    found: list[Found] = []
    used: list[Standing] = []
    repeated, unreadable, foreign = [], [], []
    for item in amended.standing:
        body = read(item.kind, item.body)
        if body is None and title_of(item.message) == wanted:
            unreadable.append(item.message.id)
        if not isinstance(body, OperationReport | DrugsSeizure) or _title(item, body) != wanted:
            continue
        if not speaks_for(item.message.sender, body.country):
            foreign.append(item.message.id)
            continue
        if isinstance(body, OperationReport):
            said = (body.country, body.agency, body.begins, body.ends, body.results, body.seizures)
            if said in reports:
                repeated.append(item.message.id)
                continue
            reports[said] = body
            found += _of_report(item, body)
        else:
            found += _of_seizure(item, body)
        used.append(item)
    counted, doubles = once(found)
    parties = {(report.country, report.agency) for report in reports.values()} | {(f.country, f.agency) for f in found}
    return OperationTables(
        name=name,
        year=year,
        results=_result_rows([result for report in reports.values() for result in report.results], plan),
        seizures=_seizure_rows(counted, plan),
        doubles=tuple(doubles),
        messages=tuple(item.message.id for item in used),
        countries=tuple(sorted({country for country, _ in parties})),
        corrected=tuple(item.message.id for item in used if item.corrected),
        withdrawn=tuple(one.id for one in amended.withdrawn if title_of(one) == wanted),
        repeated=tuple(repeated),
        unreadable=tuple(unreadable),
        foreign=tuple(foreign),
        void=tuple(one.id for one, about in amended.void if title_of(about) == wanted),
        plan=plan,
        other_plans=planned.others.get(wanted, ()),
        missing=() if plan is None else plan.missing(parties),
        unasked=() if plan is None else plan.unasked(parties),
    )


def once(found: Sequence[Found]) -> tuple[list[Found], list[Double]]:
    """The seizures with each counted once, and those that are not counted a second time."""
    # With each that is counted, who has told of it: one agency's two seizures are not both the other's one.
    counted: dict[tuple[str, Substance, Unit], list[tuple[Found, set[tuple[Agency, str]]]]] = {}
    kept, doubles = [], []
    for item in found:
        state, unit = state_then(item.country, item.begins), base(item.seizure.quantity, item.seizure.unit)[1]
        key = (state, item.seizure.substance, unit)
        known = counted.setdefault(key, [])
        teller = (item.agency, item.kind)
        for first, tellers in known:
            reason = _same(first, item, by_teller=teller in tellers)
            if reason:
                tellers.add(teller)
                doubles.append(Double(first, item, reason))
                break
        else:
            known.append((item, {teller}))
            kept.append(item)
    return kept, doubles


def _same(first: Found, second: Found, *, by_teller: bool) -> str:
    """How it is known that two reports of one country and substance are of one seizure; empty if they are not.

    `by_teller` says that who reports the second has told of the first already.
    """
    one, other = first.seizure, second.seizure
    # What one message says twice, it means twice.
    if first.message == second.message or not answers_for(second.country, first.country, first.begins):
        return ""
    if one.reference is not None and other.reference is not None:
        return "the same reference" if one.reference == other.reference else ""
    if by_teller or second.ends < first.begins or first.ends < second.begins:
        return ""
    alike = base(one.quantity, one.unit) == base(other.quantity, other.unit) and _what(one) == _what(other)
    return "the same quantity in the same period" if alike else ""


def _title(item: Standing, body: OperationReport | DrugsSeizure) -> str:
    # A correction may have moved a report; a year may be written "2004" in a body.
    return title(body.name, body.year) if isinstance(body, OperationReport) else title_of(item.message)


def _of_report(item: Standing, body: OperationReport) -> list[Found]:
    about = (item.message.id, item.kind, body.country, body.agency, body.begins, body.ends)
    return [Found(*about, seizure) for seizure in body.seizures]


def _of_seizure(item: Standing, body: DrugsSeizure) -> list[Found]:
    about = (item.message.id, item.kind, body.country, item.message.agency, body.seized_on, body.seized_on)
    return [Found(*about, seizure) for seizure in body.seizures]


def _result_rows(results: Sequence[Result], plan: Plan | None) -> tuple[Row, ...]:
    planned = plan.body.indicators if plan is not None else ()
    groups: dict[tuple[Indicator, str, str], list[Result]] = {}
    for result in results:
        currency = "" if result.amount is None else result.amount.currency
        groups.setdefault((result.indicator, result.name or "", currency), []).append(result)
    # What the plan does not name comes behind, in the order in which it was first reported.
    places = {indicator: place for place, indicator in enumerate(planned)}
    ordered = sorted(groups, key=lambda key: places.get(key[0], len(places)))
    return tuple(_result_row(*key, groups[key]) for key in ordered)


def _result_row(indicator: Indicator, name: str, currency: str, results: Sequence[Result]) -> Row:
    label = name or INDICATOR_NAMES[indicator]
    if not currency:
        count = sum(result.count or 0 for result in results)
        return Row(label, str(count), Decimal(count), "", len(results))
    amounts = [result.amount for result in results if result.amount is not None]
    value = sum((amount.value for amount in amounts), Decimal(0))
    forms = [readings(amount.stated)[amount.value] for amount in amounts if amount.stated is not None]
    label = f"{label} ({CURRENCY_NAMES.get(currency, currency)})"
    return Row(label, write(value, common(forms)), value, currency, len(results))


def _seizure_rows(found: Sequence[Found], plan: Plan | None) -> tuple[Row, ...]:
    planned = plan.body.substances if plan is not None else ()
    groups: dict[tuple[Substance, str, Unit], list[Seizure]] = {}
    for item in found:
        one = item.seizure
        groups.setdefault((one.substance, _what(one), base(one.quantity, one.unit)[1]), []).append(one)
    places = {substance: place for place, substance in enumerate(planned)}
    ordered = sorted(groups, key=lambda key: places.get(key[0], len(places)))
    return tuple(_seizure_row(substance, what, groups[substance, what, unit]) for substance, what, unit in ordered)


def _what(seizure: Seizure) -> str:
    """What a substance that has no name in the tables is said to be."""
    return (seizure.note or "") if seizure.substance is Substance.OTHER else ""


def _seizure_row(substance: Substance, what: str, seizures: Sequence[Seizure]) -> Row:
    summed = total(seizures)
    return Row(what or SUBSTANCE_NAMES[substance], summed.cell, summed.amount, str(summed.unit), len(seizures))
