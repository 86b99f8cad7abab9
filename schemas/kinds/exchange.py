"""Kinds that every task force uses: what is said unasked, asked, answered, handed on, taken back and put right."""

from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

from pydantic import Field, model_validator

from schemas.codes import Handling
from schemas.countries import Country
from schemas.entities import Facts
from schemas.header import KindName, NodeId
from schemas.kinds.common import Body, Evaluation, Line, Message, Text
from schemas.kinds.kind import PERSONAL, Kind

Earlier = Annotated[UUID, Field(description="The id of the earlier message.")]


class Alert(Facts):
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


class Request(Facts):
    """An inquiry. The deadline for the answer is the header's `reply_by`."""

    purpose: Line
    legal_basis: Annotated[Line, Field(description="The agreement, law or order that lets the sender ask.")]
    question: Text
    subjects: Annotated[tuple[Subject, ...], Field(max_length=100)] = ()


class Result(StrEnum):
    """What an inquiry found."""

    HIT = "hit"
    NO_HIT = "no_hit"
    PARTIAL = "partial"
    REFUSED = "refused"


class Refusal(StrEnum):
    """Why an answer is refused, in whole or in part."""

    NO_LEGAL_BASIS = "no_legal_basis"
    PURPOSE_UNCLEAR = "purpose_unclear"
    NOT_COMPETENT = "not_competent"
    JUDICIAL_SECRECY = "judicial_secrecy"
    INVESTIGATION_AT_RISK = "investigation_at_risk"
    PERSON_AT_RISK = "person_at_risk"
    DATA_PROTECTION = "data_protection"
    NATIONAL_SECURITY = "national_security"
    OF_THIRD_PARTY = "of_third_party"
    DISPROPORTIONATE = "disproportionate"
    OTHER = "other"


class Reply(Facts):
    """The answer to a request, in its thread. `reason` or `refusal` is wanted where the result is `refused`."""

    result: Result
    text: Text
    reason: Line | None = None
    evaluation: Evaluation | None = None
    refusal: Refusal | None = None

    @model_validator(mode="after")
    def _reasoned(self) -> Self:
        if self.result is Result.REFUSED and self.reason is None and self.refusal is None:
            raise ValueError("reason: is required where the result is refused")
        return self


class Content(Body):
    """The body of another message, whole, and which kind it is of."""

    kind: KindName
    kind_version: Annotated[int, Field(ge=1, le=999)] = 1
    body: dict[str, Any]


class Proof(Body):
    """A message as evidence for who did not get it: its envelope as it came, and what it said (nonce and body)."""

    envelope: Annotated[str, Field(min_length=1, max_length=400_000, description="Base64.")]
    content: Annotated[str, Field(min_length=1, max_length=200_000, description="Base64.")]


class Forward(Message):
    """An earlier message handed on to who did not get it. Under H2 and H3 this needs its provider's permission.

    `message` and `provider` are those of the first message, also where it came in a forward itself.
    """

    message: Earlier
    provider: Annotated[NodeId, Field(description="The node that sent the earlier message.")]
    content: Content
    permission: Annotated[UUID, Field(description="The provider's message that permits it.")] | None = None
    handling: Annotated[Handling, Field(description="The earlier message's; the node fills it in.")] | None = None
    proof: Annotated[Proof, Field(description="Of the permission; the node fills it in.")] | None = None
    purpose: Line | None = None
    text: Text | None = None


class WithdrawalReason(StrEnum):
    """Why a message is taken back."""

    WRONG = "wrong"
    OUTDATED = "outdated"
    SENT_IN_ERROR = "sent_in_error"
    UNLAWFUL = "unlawful"
    CASE_CLOSED = "case_closed"
    OTHER = "other"


class Withdrawal(Message):
    """An earlier message of the sender is taken back; `erase` asks the recipients' officers to erase its content."""

    message: Earlier
    reason: WithdrawalReason
    text: Text | None = None
    erase: bool = False


class Correction(Message):
    """An earlier message of the sender is put right: `content` stands in its place, whole."""

    message: Earlier
    content: Content
    text: Annotated[Text, Field(description="What was wrong, in words.")]


KINDS: Final = (
    Kind(
        "alert",
        1,
        Alert,
        examples=(
            {
                "title": "Minibus with false papers towards the Danube bridge",
                "text": "Two recruiters known to us, Ştefan Zăvoianu and Георги Петков, travel with four young women; "
                "a third, Νίκος Παπαδάκης, is said to wait in Θεσσαλονίκη.",
                "evaluation": {"source": "B", "information": "3"},
                "countries": ["RO", "BG", "GR"],
            },
        ),
        rule=PERSONAL,
    ),
    Kind(
        "request",
        1,
        Request,
        examples=(
            {
                "purpose": "Stolen vehicle offered for sale",
                "legal_basis": "Agreement of 26 May 1999, on an order of the Sofia Regional Prosecutor",
                "question": "Is this vehicle registered or sought in your country, and who is its keeper?",
                "subjects": [
                    {"type": "vehicle", "identifier": "34 ABC 123", "country": "TR"},
                    {"type": "person", "identifier": "Ιωάννης Δημητρίου", "country": "GR", "note": "the seller"},
                    {"type": "person", "identifier": "Георги Петков", "note": "named as the keeper"},
                ],
                "entities": [
                    {"type": "vehicle", "plates": [{"number": "34 ABC 123", "country": "TR"}], "make": "Volkswagen"},
                    {"type": "person", "names": [{"family": "Петков", "given": "Георги"}], "born": "1971-03"},
                ],
            },
        ),
        rule=PERSONAL,
    ),
    Kind(
        "reply",
        1,
        Reply,
        examples=(
            {
                "result": "hit",
                "text": "Reported stolen in Istanbul on 3 March by Mehmet Çelik; "
                "seen since with Ιωάννης Δημητρίου and Георги Петков.",
                "evaluation": {"source": "A", "information": "1"},
            },
            {"result": "refused", "text": "Ask again through SEEPAG.", "refusal": "judicial_secrecy"},
        ),
        rule=PERSONAL,
    ),
    Kind(
        "forward",
        1,
        Forward,
        examples=(
            {
                "message": "01a20f97-e270-71d7-88d6-b834d3465199",
                "provider": "bg",
                "content": {
                    "kind": "alert",
                    "kind_version": 1,
                    "body": {
                        "title": "Нов маршрут",
                        "text": "Камиони през Гюргево; водач Иван Стоянов, помощник Νίκος Παπαδάκης.",
                    },
                },
                "permission": "01a20f9b-5c48-7d0e-9d35-6f0a5a1c2b3d",
                "purpose": "The trucks are expected in Hungary",
            },
        ),
        rule=PERSONAL,
    ),
    Kind(
        "withdrawal",
        1,
        Withdrawal,
        examples=(
            {
                "message": "01a20f97-e270-71d7-88d6-b834d3465199",
                "reason": "wrong",
                "text": "Another man: Αλέξανδρος Νικολάου (in Bulgarian papers Александър Николау) was abroad.",
                "erase": True,
            },
        ),
        rule=PERSONAL,
    ),
    Kind(
        "correction",
        1,
        Correction,
        examples=(
            {
                "message": "01a20f97-e270-71d7-88d6-b834d3465199",
                "content": {
                    "kind": "drugs.seizure",
                    "kind_version": 1,
                    "body": {
                        "seized_on": "2003-10-15",
                        "country": "RO",
                        "seizures": [{"substance": "opium", "quantity": "3.3", "unit": "kg"}],
                    },
                },
                "text": "3,3 kg, not 33 kg, as Ion Popescu, Μιχάλης Δημητρίου and Васил Тодоров have weighed it again.",
            },
        ),
        rule=PERSONAL,
    ),
)
