"""Assistance between prosecutors, through SEEPAG (page 20). It prepares a formal request and does not stand for one."""

from enum import StrEnum
from typing import Annotated, Final
from uuid import UUID

from pydantic import Field

from schemas.countries import Country
from schemas.dates import Moment, PartialDate
from schemas.entities import Facts
from schemas.kinds.common import Body, Line, Text
from schemas.kinds.kind import PERSONAL, Kind
from schemas.kinds.parts import Contact, Party, Reference


class Assistance(StrEnum):
    """What is asked of the other country's justice."""

    HEAR_WITNESS = "hear_witness"
    HEAR_SUSPECT = "hear_suspect"
    VIDEO_HEARING = "video_hearing"
    SEARCH = "search"
    SEIZE = "seize"
    FREEZE = "freeze"
    EVIDENCE = "evidence"
    BANK_RECORDS = "bank_records"
    TELECOM_RECORDS = "telecom_records"
    CONTROLLED_DELIVERY = "controlled_delivery"
    JOINT_TEAM = "joint_team"
    SERVE_PAPERS = "serve_papers"
    TRANSFER_PROCEEDINGS = "transfer_proceedings"
    EXTRADITION_INFORMATION = "extradition_information"
    LEGAL_INFORMATION = "legal_information"


class Authority(Body):
    """A prosecutor's office or a court."""

    name: Line
    country: Country
    official: Line | None = None
    contact: Contact | None = None


class Offence(Body):
    """What is prosecuted, by which law, and what it may cost; `most_years` is the longest sentence."""

    name: Line
    provision: Line
    most_years: Annotated[int, Field(ge=0, le=100)] | None = None
    committed: PartialDate | None = None


class Source(Body):
    """A message that a judicial request rests on. Under H1 to H3 this needs its provider's permission."""

    message: Annotated[UUID, Field(description="The id of the earlier message.")]
    permission: Annotated[UUID, Field(description="The provider's message that permits it.")] | None = None


class JudicialAssistance(Facts):
    """Prosecutors ask for the help of others. The deadline is the header's `reply_by`."""

    requesting: Authority
    executing: Authority | None = None
    case: Annotated[Line, Field(description="The file number of the proceedings.")]
    offences: Annotated[tuple[Offence, ...], Field(min_length=1, max_length=20)]
    legal_basis: Annotated[Line, Field(description="The convention or treaty.")]
    wanted: Annotated[tuple[Assistance, ...], Field(min_length=1, max_length=15)]
    persons: Annotated[tuple[Party, ...], Field(max_length=100)] = ()
    summary: Annotated[Text, Field(description="The facts of the case, in short.")]
    form: Annotated[Text, Field(description="What the evidence must observe to be admitted.")] | None = None
    formal: Annotated[bool, Field(description="The formal request was sent through judicial channels.")]
    formal_on: PartialDate | None = None
    hearing: Annotated[Moment, Field(description="The day in court that this has to be in time for.")] | None = None
    confidential: bool = False
    reference: Reference | None = None
    sources: Annotated[
        tuple[Source, ...], Field(max_length=100, description="Messages of others whose content is used here.")
    ] = ()
    text: Text | None = None


KINDS: Final = (
    Kind(
        "judicial.assistance",
        1,
        JudicialAssistance,
        examples=(
            {
                "requesting": {
                    "name": "Parchetul de pe lângă Înalta Curte",
                    "country": "RO",
                    "official": "Ioana Văcărescu",
                },
                "executing": {"name": "Окръжна прокуратура Пловдив", "country": "BG"},
                "case": "417/P/2004",
                "offences": [
                    {"name": "trafficking in persons", "provision": "Law 678/2001, article 12", "most_years": 12}
                ],
                "legal_basis": "European Convention on Mutual Assistance in Criminal Matters, 1959",
                "wanted": ["hear_witness", "bank_records"],
                "persons": [
                    {"type": "person", "names": [{"family": "Петков", "given": "Георги"}], "role": "suspect"},
                    {"type": "person", "names": [{"full": "Ελένη Δημητρίου"}], "role": "witness"},
                ],
                "summary": "Four women were brought from Bacău to Пловдив and on to Θεσσαλονίκη in June 2004.",
                "formal": False,
                "hearing": "2005-01-18T10:00+02:00",
            },
        ),
        rule=PERSONAL,
    ),
)
