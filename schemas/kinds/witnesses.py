"""A witness is moved to a court abroad and back (page 14). Whoever reads it could kill: the strictest handling."""

from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import Field

from schemas.codes import Handling
from schemas.countries import Country
from schemas.dates import Moment
from schemas.entities import Location
from schemas.kinds.common import Body, Line, Message, Text
from schemas.kinds.kind import Kind, Rule
from schemas.kinds.parts import Contact, Reference, Transport
from schemas.persons import Person


class Means(StrEnum):
    """How a part of the way is travelled."""

    ROAD = "road"
    RAIL = "rail"
    AIR = "air"
    SEA = "sea"
    FOOT = "foot"


class Escort(Body):
    """Who goes along on a part of the way."""

    agency: Line
    country: Country
    officers: Annotated[int, Field(ge=1, le=100)]
    armed: bool | None = None
    takes_over_at: Line | None = None
    contact: Contact | None = None


class Leg(Body):
    """A part of the way: from where and when to where and when, in what, and with whom."""

    departs: Moment
    origin: Location
    arrives: Moment
    destination: Location
    means: Means
    transport: Transport | None = None
    escort: Annotated[tuple[Escort, ...], Field(max_length=10)] = ()
    crossing: Annotated[Line, Field(description="Border crossing or airport.")] | None = None
    note: Text | None = None


class Measure(StrEnum):
    """What protects a witness."""

    ESCORT = "escort"
    SAFE_HOUSE = "safe_house"
    COVER_IDENTITY = "cover_identity"
    VOICE_AND_FACE_HIDDEN = "voice_and_face_hidden"
    CLOSED_HEARING = "closed_hearing"
    VIDEO_LINK = "video_link"
    MEDICAL = "medical"
    FAMILY_PROTECTED = "family_protected"
    OTHER = "other"


class Protection(Body):
    """How the witness is protected, and who answers for it in each country."""

    measures: Annotated[tuple[Measure, ...], Field(min_length=1, max_length=9)]
    threat: Literal["low", "medium", "high"]
    responsible: Annotated[tuple[Contact, ...], Field(min_length=1, max_length=20)]
    text: Text | None = None


class Hearing(Body):
    """Where and when the witness is heard."""

    court: Line
    country: Country
    begins: Moment
    ends: Moment | None = None
    case: Line | None = None


class Movement(Message):
    """A witness travels to be heard and back. `witness` is a name agreed on; the true one is in `person`, if needed."""

    witness: Line
    person: Person | None = None
    hearing: Hearing
    legs: Annotated[tuple[Leg, ...], Field(min_length=1, max_length=50)]
    protection: Protection
    consent: Annotated[bool, Field(description="The witness agrees to the movement.")]
    legal_basis: Line
    reference: Reference | None = None
    text: Text | None = None


KINDS: Final = (
    Kind(
        "witness.movement",
        1,
        Movement,
        examples=(
            {
                "restrictions": "For the escort and the court only; nobody is told the day before it.",
                "witness": "KESTREL",
                "person": {
                    "type": "person",
                    "names": [{"family": "Văcărescu", "given": "Ioana"}, {"full": "Јоана Васић", "use": "alias"}],
                    "role": "witness",
                    "nationalities": ["RO"],
                },
                "hearing": {
                    "court": "Court of Bosnia and Herzegovina, Sarajevo",
                    "country": "BA",
                    "begins": "2004-03-16T09:00+01:00",
                },
                "legs": [
                    {
                        "departs": "2004-03-15T06:10+02:00",
                        "origin": {"type": "location", "location_type": "airport", "name": "Otopeni", "country": "RO"},
                        "arrives": "2004-03-15T09:40+01:00",
                        "destination": {"type": "location", "location_type": "airport", "place": "Sarajevo"},
                        "means": "air",
                        "transport": {"type": "aircraft", "flight": "RO 301"},
                        "escort": [
                            {"agency": "Witness Protection Unit", "country": "RO", "officers": 2, "armed": False},
                            {
                                "agency": "State Investigation and Protection Agency",
                                "country": "BA",
                                "officers": 4,
                                "armed": True,
                                "takes_over_at": "the aircraft's door",
                            },
                        ],
                    }
                ],
                "protection": {
                    "measures": ["escort", "safe_house", "voice_and_face_hidden"],
                    "threat": "high",
                    "responsible": [
                        {
                            "office": "SECI Center, officer on duty",
                            "name": "Νίκος Παπαδάκης",
                            "phone": "+40 21 303 6009",
                        }
                    ],
                },
                "consent": True,
                "legal_basis": "Summons of the international prosecutor; Agreement of 26 May 1999",
            },
        ),
        rule=Rule(handling=(Handling.H2, Handling.H3), named=True, personal=True),
    ),
)
