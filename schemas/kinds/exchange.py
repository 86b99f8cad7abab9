"""Kinds that every task force uses: alert, request, reply."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from schemas.countries import Country
from schemas.kinds.common import Body, Evaluation, Line, Text


class Alert(Body):
    """Spontaneous information to a task force: something the others should know, unasked."""

    title: Line
    text: Text
    evaluation: Evaluation | None = None
    countries: Annotated[tuple[Country, ...], Field(max_length=50)] = ()


class Subject(Body):
    """Whom or what a request asks about; `identifier` as stated on the document, plate or device."""

    type: Literal["person", "organisation", "vehicle", "document", "phone", "account", "other"]
    identifier: Line
    country: Country | None = None
    note: Text | None = None


class Request(Body):
    """An inquiry. The deadline for the answer is the header's `reply_by`."""

    purpose: Line
    legal_basis: Line
    question: Text
    subjects: Annotated[tuple[Subject, ...], Field(max_length=100)] = ()


class Result(StrEnum):
    """What an inquiry found."""

    HIT = "hit"
    NO_HIT = "no_hit"
    PARTIAL = "partial"
    REFUSED = "refused"


class Reply(Body):
    """The answer to a request, in its thread. `reason` is wanted where the result is `refused`."""

    result: Result
    text: Text
    reason: Line | None = None
    evaluation: Evaluation | None = None
