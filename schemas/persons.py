"""Persons and organisations: names, birth, nationality, papers. In the manner of the Universal Message Format and MISP.

Nothing but the type has to be known: half a name is worth sending.
"""

from enum import StrEnum
from functools import partial
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, ValidationInfo, field_validator, model_validator

from schemas.countries import Country
from schemas.dates import PartialDate
from schemas.identifiers import Identifier, Mrz, Vat, Words, identify, personal_number
from schemas.kinds.common import Body, Line, Text

LocalId = Annotated[
    str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$", description="names the entity within its message, for relations")
]


class NameUse(StrEnum):
    """What a name is to its bearer."""

    CURRENT = "current"
    BIRTH = "birth"
    ALIAS = "alias"
    DOCUMENT = "document"


class PersonName(Body):
    """A name, in any script, as written; `full` where nobody can tell which part is which."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"required": [part], "properties": {part: {"type": "string"}}} for part in ("family", "given", "full")
            ]
        }
    )

    family: Line | None = None
    given: Line | None = None
    patronymic: Line | None = None
    full: Line | None = None
    use: NameUse | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not (self.family or self.given or self.full):
            raise ValueError("must have family, given or full")
        return self

    def text(self) -> str:
        """The whole name in one line: as stated in full, or its parts."""
        return self.full or " ".join(part for part in (self.given, self.patronymic, self.family) if part)


class Sex(StrEnum):
    """As a travel document states it (ICAO Doc 9303: M, F, <)."""

    MALE = "male"
    FEMALE = "female"
    UNSPECIFIED = "unspecified"


class PersonRole(StrEnum):
    """What a person is in the matter."""

    SUSPECT = "suspect"
    ACCUSED = "accused"
    CONVICTED = "convicted"
    WANTED = "wanted"
    VICTIM = "victim"
    WITNESS = "witness"
    MISSING = "missing"
    OWNER = "owner"
    CONTACT = "contact"
    OTHER = "other"


class PersonalNumber(Body):
    """A national personal number (EGN, CNP, JMBG, OIB, ...), checked as its country does, if that is known here."""

    country: Country | None = None
    number: Identifier

    @field_validator("number", mode="before", json_schema_input_type=Words | Identifier)
    @classmethod
    def _checked(cls, value: Any, info: ValidationInfo) -> Any:
        return identify(partial(personal_number, info.data.get("country")), value)


class DocumentType(StrEnum):
    """What a document is."""

    PASSPORT = "passport"
    IDENTITY_CARD = "identity-card"
    DRIVING_LICENCE = "driving-licence"
    RESIDENCE_PERMIT = "residence-permit"
    VISA = "visa"
    TRAVEL_DOCUMENT = "travel-document"
    BIRTH_CERTIFICATE = "birth-certificate"
    VEHICLE_REGISTRATION = "vehicle-registration"
    CUSTOMS_DECLARATION = "customs-declaration"
    WAYBILL = "waybill"
    INVOICE = "invoice"
    OTHER = "other"


class DocumentState(StrEnum):
    """What is wrong with a document, or that nothing is."""

    GENUINE = "genuine"
    FORGED = "forged"
    COUNTERFEIT = "counterfeit"
    STOLEN = "stolen"
    STOLEN_BLANK = "stolen-blank"
    LOST = "lost"
    MISUSED = "misused"


class Paper(Body):
    """A document, as a person carries it; its zone has check digits of its own."""

    document_type: DocumentType | None = None
    number: Line | None = None
    country: Country | None = None
    issuer: Line | None = None
    issued: PartialDate | None = None
    expires: PartialDate | None = None
    mrz: Mrz | None = None
    state: DocumentState | None = None


class Person(Body):
    """A natural person."""

    type: Literal["person"]
    id: LocalId | None = None
    names: Annotated[tuple[PersonName, ...], Field(max_length=20)] = ()
    role: PersonRole | None = None
    sex: Sex | None = None
    born: PartialDate | None = None
    birth_place: Line | None = None
    birth_country: Country | None = None
    died: PartialDate | None = None
    nationalities: Annotated[tuple[Country, ...], Field(max_length=10)] = ()
    personal_numbers: Annotated[tuple[PersonalNumber, ...], Field(max_length=10)] = ()
    documents: Annotated[tuple[Paper, ...], Field(max_length=20)] = ()
    occupation: Line | None = None
    description: Text | None = None


class Organisation(Body):
    """A company, authority or group."""

    type: Literal["organisation"]
    id: LocalId | None = None
    names: Annotated[tuple[Line, ...], Field(max_length=20)] = ()
    form: Annotated[str, Field(min_length=1, max_length=60, description="legal form: SRL, OOD, AE, d.o.o.")] | None = (
        None
    )
    country: Country | None = None
    registration_number: Line | None = None
    vat: Vat | None = None
    founded: PartialDate | None = None
    activity: Line | None = None
    description: Text | None = None


class Document(Paper):
    """A document that is a subject of its own: stolen, forged, or presented with goods."""

    type: Literal["document"]
    id: LocalId | None = None
    holder_name: Line | None = None
    description: Text | None = None
