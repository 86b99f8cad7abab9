"""What the Center and the focal points tell each other about their own work."""

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from schemas.countries import Country
from schemas.dates import Moment
from schemas.kinds.common import Line, Message, Text
from schemas.kinds.kind import Kind
from schemas.kinds.parts import Contact


class Matter(StrEnum):
    """What a notice is about."""

    MEETING = "meeting"
    CONTACTS = "contacts"
    OUTAGE = "outage"
    PROCEDURE = "procedure"
    LAW = "law"
    TRAINING = "training"
    HOLIDAY = "holiday"
    OTHER = "other"


class AdministrativeNotice(Message):
    """A notice about the work itself: a meeting, who is on duty, an outage. Nothing of a case."""

    matter: Matter
    title: Line
    text: Text
    begins: Moment | None = None
    ends: Moment | None = None
    place: Line | None = None
    countries: Annotated[tuple[Country, ...], Field(max_length=50)] = ()
    contacts: Annotated[tuple[Contact, ...], Field(max_length=50)] = ()


KINDS: Final = (
    Kind(
        "administrative.notice",
        1,
        AdministrativeNotice,
        examples=(
            {
                "matter": "contacts",
                "title": "Officers on duty in December",
                "text": "At night please call, and then write.",
                "begins": "2004-12-01",
                "ends": "2004-12-31",
                "countries": ["BG", "GR", "RO"],
                "contacts": [
                    {"office": "НФП София", "name": "Георги Петков", "phone": "+359 2 982 4017"},
                    {"office": "Εθνικό Σημείο Επαφής", "name": "Ελένη Δημητρίου", "phone": "+30 210 6411111"},
                    {"office": "PFN Bucureşti", "name": "Ştefan Ionescu", "phone": "+40 21 303 6009"},
                ],
            },
        ),
    ),
)
