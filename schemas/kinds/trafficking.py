"""Kinds of the task force on trafficking in human beings (pages 11 to 13): who helps a victim, and the way home."""

from enum import StrEnum
from typing import Annotated, Final
from uuid import UUID

from pydantic import Field

from schemas.countries import Country
from schemas.dates import Moment, PartialDate
from schemas.entities import Facts, Location
from schemas.kinds.common import Evaluation, Line, Text
from schemas.kinds.kind import PERSONAL, Kind
from schemas.kinds.parts import Contact, Reference
from schemas.persons import Paper, Person

Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}$", description="ISO 639 code, as ro, el, sq")]


class Exploitation(StrEnum):
    """What a victim was trafficked for (Palermo Protocol of 2000, article 3)."""

    SEXUAL = "sexual"
    LABOUR = "labour"
    SERVITUDE = "servitude"
    BEGGING = "begging"
    CRIME = "crime"
    MARRIAGE = "marriage"
    ORGANS = "organs"
    SOLDIERING = "soldiering"
    OTHER = "other"


class Need(StrEnum):
    """What a victim needs at once (Warsaw Convention of 2005, article 12)."""

    SHELTER = "shelter"
    MEDICAL = "medical"
    PSYCHOLOGICAL = "psychological"
    LEGAL = "legal"
    INTERPRETER = "interpreter"
    CHILD_CARE = "child_care"
    GUARDIAN = "guardian"
    PROTECTION = "protection"
    PAPERS = "papers"


class Risk(StrEnum):
    """How great the danger to a person is, by the sender's own assessment."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class VictimReferral(Facts):
    """A victim is referred to who can help. Nothing is done with it against the victim's will: `consent` says it."""

    victim: Person
    consent: Annotated[bool, Field(description="The victim, or a child's guardian, agrees to the referral.")]
    child: Annotated[bool, Field(description="Under 18, or not known to be older.")] = False
    exploitation: Annotated[tuple[Exploitation, ...], Field(max_length=9)] = ()
    found_on: PartialDate | None = None
    found_at: Location | None = None
    recruited_in: Country | None = None
    needs: Annotated[tuple[Need, ...], Field(max_length=9)] = ()
    languages: Annotated[tuple[Language, ...], Field(max_length=10)] = ()
    risk: Risk | None = None
    referred_by: Line
    referred_to: Line
    contact: Contact | None = None
    reference: Reference | None = None
    evaluation: Evaluation | None = None
    text: Text | None = None


class Progress(StrEnum):
    """How far a repatriation is."""

    ASKED = "asked"
    PLANNED = "planned"
    UNDER_WAY = "under_way"
    DONE = "done"
    CALLED_OFF = "called_off"


class Repatriation(Facts):
    """A victim goes home, of own will and after an assessment of the danger (Warsaw Convention, article 16)."""

    person: Person
    progress: Progress
    from_country: Country
    to_country: Country
    consent: bool
    risk: Annotated[Risk, Field(description="Of going home, as assessed before.")]
    referral: Annotated[UUID, Field(description="The id of the message that referred the victim.")] | None = None
    departs: Moment | None = None
    arrives: Moment | None = None
    crossing: Annotated[Line, Field(description="Border crossing or airport.")] | None = None
    transport: Line | None = None
    travel_paper: Paper | None = None
    escorted_by: Line | None = None
    received_by: Line
    assisted_by: Annotated[Line, Field(description="An organisation such as the IOM.")] | None = None
    contact: Contact | None = None
    reference: Reference | None = None
    text: Text | None = None


KINDS: Final = (
    Kind(
        "trafficking.victim_referral",
        1,
        VictimReferral,
        examples=(
            {
                "victim": {
                    "type": "person",
                    "id": "victim",
                    "names": [
                        {"family": "Мирчевска", "given": "Елена"},
                        {"full": "Elena Mircevska", "use": "document"},
                    ],
                    "role": "victim",
                    "sex": "female",
                    "born": "1986-05",
                    "nationalities": ["MK"],
                },
                "consent": True,
                "exploitation": ["sexual"],
                "found_on": "2004-09-14",
                "found_at": {"type": "location", "place": "Θεσσαλονίκη", "country": "GR"},
                "needs": ["shelter", "medical", "interpreter"],
                "languages": ["mk", "sr"],
                "risk": "high",
                "referred_by": "Hellenic Police, Security Division of Thessaloniki",
                "referred_to": "IOM Skopje",
                "contact": {"office": "NFP Athens", "name": "Κώστας Αντωνίου", "phone": "+30 210 6411111"},
                "entities": [
                    {
                        "type": "person",
                        "id": "recruiter",
                        "names": [{"full": "Ştefan Zăvoianu"}],
                        "role": "suspect",
                        "nationalities": ["RO"],
                    }
                ],
                "relations": [{"source": "recruiter", "relation": "exploits", "target": "victim", "since": "2004-06"}],
            },
        ),
        rule=PERSONAL,
    ),
    Kind(
        "trafficking.repatriation",
        1,
        Repatriation,
        examples=(
            {
                "person": {
                    "type": "person",
                    "names": [{"family": "Мирчевска", "given": "Елена"}],
                    "role": "victim",
                    "nationalities": ["MK"],
                },
                "progress": "planned",
                "from_country": "GR",
                "to_country": "MK",
                "consent": True,
                "risk": "medium",
                "referral": "01a20f97-e270-71d7-88d6-b834d3465199",
                "departs": "2004-10-04T08:30+03:00",
                "crossing": "Ευζώνοι / Bogorodica",
                "transport": "minibus of the IOM",
                "travel_paper": {"document_type": "travel-document", "number": "GR-0417", "country": "MK"},
                "escorted_by": "two officers, one of them a woman, with Şerban Ionescu of the IOM",
                "received_by": "Centre for Social Work, Скопје",
                "assisted_by": "IOM",
            },
        ),
        rule=PERSONAL,
    ),
)
