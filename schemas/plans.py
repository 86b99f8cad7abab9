"""Joint operations as a node knows them: whose plan counts, who has reported, and who has not. Pure.

An operation is known by its name and year, `CONTAINMENT 2003`: a report says them in its body, a seizure in its header.
Its plan is the Centre's; of one that the Centre has not planned, the plan of whoever sent the first. Nobody else's
plan changes what is to be reported, nor by whom.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

from pydantic import ValidationError

from schemas.amended import AMENDING, Received, Standing, carries, standing
from schemas.codes import Agency
from schemas.kinds.drugs import DrugsSeizure
from schemas.kinds.operations import OperationPlan, OperationReport
from schemas.participants import CENTRE, answers_for, speaks_for

PLAN: Final = "operation.plan"
REPORT: Final = "operation.report"
SEIZURE: Final = "drugs.seizure"
_TITLE: Final = re.compile(r"(?P<name>.+) (?P<year>[12][0-9]{3})")
# `MIRAGE` is near to `MIRAGE 2003`, and `SAFE HAVEN 2004` to `SAFE HEAVEN 2004`.
_LIKENESS: Final = 0.7
_MOST_NEAR: Final = 3
# A country's police, customs or judicial authorities.
Party = tuple[str, Agency]


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan as it stands, and the message that it came in."""

    message: Received
    body: OperationPlan

    @property
    def parties(self) -> tuple[Party, ...]:
        """Whose reports it asks for, in its order."""
        return tuple((country, agency) for country in self.body.countries for agency in self.body.agencies)

    def missing(self, reported: Collection[Party]) -> tuple[Party, ...]:
        """Whom it asks for and who is not among these, nor the state that stood or stands for them."""
        return tuple(one for one in self.parties if not any(self._is(other, one) for other in reported))

    def unasked(self, reported: Collection[Party]) -> tuple[Party, ...]:
        """Who is among these and is not asked for, under whichever name of the state."""
        return tuple(sorted(one for one in reported if not any(self._is(one, other) for other in self.parties)))

    def _is(self, reporting: Party, asked: Party) -> bool:
        # By the day on which the operation begins: which states there were then.
        return reporting[1] == asked[1] and answers_for(reporting[0], asked[0], self.body.begins)


@dataclass(frozen=True, slots=True)
class Plans:
    """The plans that count, by their operations' titles; `others` are the ids of those that do not, by the same."""

    counted: Mapping[str, Plan]
    others: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation: its plan, None if none is here; the reports and seizures that stand, by id; who reported."""

    title: str
    plan: Plan | None
    messages: tuple[str, ...]
    reported: tuple[Party, ...]

    @property
    def missing(self) -> tuple[Party, ...]:
        """Whom the plan asks for and who has reported nothing; empty without a plan."""
        return () if self.plan is None else self.plan.missing(self.reported)


def title(name: object, year: object) -> str:
    """An operation as a header says it: `SAFE HEAVEN 2004`."""
    return as_title(f"{name} {year}")


def as_title(said: str) -> str:
    """The same of what somebody typed: capital letters, one blank between words."""
    return " ".join(said.upper().split())


def split_title(said: str) -> tuple[str, int] | None:
    """Name and year of a title; None if it says no year."""
    found = _TITLE.fullmatch(said)
    return None if found is None else (found["name"], int(found["year"]))


def title_of(message: Received) -> str:
    """The operation that a plan, report or seizure is of; empty for a seizure that is of none."""
    if message.kind == SEIZURE:
        return as_title(message.operation or "")
    return title(message.body.get("name"), message.body.get("year"))


def named_by(kind: str, operation: str | None, body: Any) -> tuple[str, ...]:
    """The operations that a message to be sent names, one or none; two if a report's body and its header differ.

    What amends is of the operation of what it amends, whatever its own header says; but a report may be corrected into
    one of another.
    """
    if kind in AMENDING:
        content = body.get("content") if isinstance(body, dict) else None
        kind, operation = carries(body) if isinstance(body, dict) else "", None
        body = content.get("body") if isinstance(content, dict) else None
    found = [] if operation is None else [as_title(operation)]
    if kind in (PLAN, REPORT) and isinstance(body, dict) and {"name", "year"} <= body.keys():
        found.insert(0, title(body["name"], body["year"]))
    return tuple(dict.fromkeys(found))


def near(said: str, titles: Collection[str]) -> list[str]:
    """Those of the titles that may be meant by this one, the likeliest first, at most three."""
    return get_close_matches(said, sorted(set(titles) - {said}), _MOST_NEAR, _LIKENESS)


def plans(items: Iterable[Standing]) -> Plans:
    """Whose plan counts, of what stands in the order of arrival. Of several of one sender it is the last."""
    sent: dict[str, list[Plan]] = {}
    for item in items:
        if item.kind == PLAN and isinstance(body := read(item.kind, item.body), OperationPlan):
            sent.setdefault(title(body.name, body.year), []).append(Plan(item.message, body))
    counted, others = {}, {}
    for name, found in sent.items():
        senders = [plan.message.sender for plan in found]
        owner = CENTRE if CENTRE in senders else senders[0]
        counted[name] = next(plan for plan in reversed(found) if plan.message.sender == owner)
        others[name] = tuple(plan.message.id for plan in found if plan.message.sender != owner)
    return Plans(counted, others)


def operations(received: Iterable[Received]) -> tuple[Operation, ...]:
    """All operations that plans, reports and seizures name: the planned ones first, each in the order of arrival."""
    items = standing(received).standing
    planned = plans(items).counted
    messages: dict[str, list[str]] = {name: [] for name in planned}
    reported: dict[str, list[Party]] = {}
    for item in items:
        body = read(item.kind, item.body)
        if not isinstance(body, OperationReport | DrugsSeizure) or not speaks_for(item.message.sender, body.country):
            continue
        about = title(body.name, body.year) if isinstance(body, OperationReport) else title_of(item.message)
        if about:
            messages.setdefault(about, []).append(item.message.id)
            agency = body.agency if isinstance(body, OperationReport) else item.message.agency
            reported.setdefault(about, []).append((body.country, agency))
    return tuple(
        Operation(name, planned.get(name), tuple(ids), tuple(dict.fromkeys(reported.get(name, ()))))
        for name, ids in messages.items()
    )


def read(kind: str, body: Mapping[str, Any]) -> OperationPlan | OperationReport | DrugsSeizure | None:
    """The body of a message of an operation; None if it does not read, or is of another kind."""
    try:
        # What a newer sender may have added is not counted.
        match kind:
            case "operation.plan":
                return OperationPlan.model_validate(body, extra="ignore")
            case "operation.report":
                return OperationReport.model_validate(body, extra="ignore")
            case "drugs.seizure":
                return DrugsSeizure.model_validate(body, extra="ignore")
    except ValidationError:
        return None
    return None
