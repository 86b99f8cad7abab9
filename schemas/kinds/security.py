"""Kinds of the Anti-Terrorism task force and its sub-projects (pages 10 and 19): threats, firearms, WMD."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from schemas.countries import Country
from schemas.dates import Moment
from schemas.entities import Facts, Location
from schemas.identifiers import Cas
from schemas.kinds.common import Body, Evaluation, Line, Text
from schemas.kinds.kind import PERSONAL, Kind
from schemas.kinds.parts import Action, Contact, Party, Reference, Transports
from schemas.things import Firearm, Quantity


class Threat(StrEnum):
    """What is feared or known."""

    ATTACK = "attack"
    PREPARATION = "preparation"
    TRAVEL = "travel"
    RECRUITING = "recruiting"
    FINANCING = "financing"
    SUPPLY = "supply"
    PROPAGANDA = "propaganda"
    OTHER = "other"


class TerrorismAlert(Facts):
    """Information on terrorism: who, what is feared, where and when."""

    title: Line
    threat: Threat
    text: Text
    evaluation: Evaluation
    expected: Moment | None = None
    targets: Annotated[tuple[Location, ...], Field(max_length=50)] = ()
    countries: Annotated[tuple[Country, ...], Field(max_length=50)] = ()
    parties: Annotated[tuple[Party, ...], Field(max_length=100)] = ()
    transport: Transports = ()
    action: Action | None = None
    contact: Contact | None = None
    reference: Reference | None = None


class Question(StrEnum):
    """What a trace is to find out."""

    MANUFACTURER = "manufacturer"
    EXPORT = "export"
    IMPORT = "import"
    FIRST_OWNER = "first_owner"
    LAST_OWNER = "last_owner"
    LOSS = "loss"
    OTHER_CASES = "other_cases"


class FirearmTrace(Facts):
    """Firearms were found, and their way is asked for (UN tracing instrument of 2005, section 17)."""

    firearms: Annotated[tuple[Firearm, ...], Field(min_length=1, max_length=100)]
    found_on: Moment
    country: Country
    found_at: Location | None = None
    circumstances: Text
    questions: Annotated[tuple[Question, ...], Field(min_length=1, max_length=7)]
    legal_basis: Line
    use: Annotated[Line, Field(description="What the answer is to be used for.")] | None = None
    holders: Annotated[tuple[Party, ...], Field(max_length=50)] = ()
    contact: Contact | None = None
    reference: Reference | None = None
    text: Text | None = None

    @model_validator(mode="after")
    def _traceable(self) -> Self:
        for number, firearm in enumerate(self.firearms):
            if firearm.serial_number is None and not firearm.markings and not firearm.serial_erased:
                raise ValueError(f"firearms.{number}.serial_number: is required where there are no markings")
        return self


class Category(StrEnum):
    """What could destroy masses."""

    CHEMICAL = "chemical"
    BIOLOGICAL = "biological"
    RADIOACTIVE = "radioactive"
    NUCLEAR = "nuclear"
    EXPLOSIVE = "explosive"
    CARRIER = "carrier"
    DUAL_USE = "dual_use"


class Incident(StrEnum):
    """What happened (in the terms of the IAEA's Incident and Trafficking Database, as far as it has them)."""

    SEIZURE = "seizure"
    THEFT = "theft"
    LOSS = "loss"
    OFFER = "offer"
    DETECTION = "detection"
    FOUND = "found"
    ATTEMPT = "attempt"
    SCAM = "scam"


class Material(Body):
    """A material. `activity_bq` in becquerel, `dose_rate` in microsieverts an hour at one metre."""

    name: Line
    category: Category
    cas: Cas | None = None
    un_number: Annotated[str, Field(pattern=r"^[0-9]{4}$", description="Of dangerous goods, four digits.")] | None = (
        None
    )
    isotope: Annotated[str, Field(pattern=r"^[A-Z][a-z]?-[0-9]{1,3}m?$", description="As Cs-137.")] | None = None
    enrichment: Annotated[Decimal, Field(gt=0, le=100, decimal_places=4, description="U-235, percent.")] | None = None
    activity_bq: Annotated[Decimal, Field(gt=0, max_digits=24)] | None = None
    dose_rate: Annotated[Decimal, Field(gt=0, max_digits=15, decimal_places=6)] | None = None
    quantity: Quantity | None = None
    container: Line | None = None


class WmdAlert(Facts):
    """Material or means for weapons of mass destruction: found, stolen, lost or offered."""

    title: Line
    incident: Incident
    materials: Annotated[tuple[Material, ...], Field(min_length=1, max_length=50)]
    country: Country
    on: Moment | None = None
    place: Location | None = None
    secured: Annotated[bool, Field(description="The material is in the hands of an authority.")]
    danger: Annotated[Text, Field(description="To whoever comes near, and what protects.")] | None = None
    parties: Annotated[tuple[Party, ...], Field(max_length=50)] = ()
    transport: Transports = ()
    reported: Annotated[tuple[Line, ...], Field(max_length=20, description="Who knows: IAEA, OPCW, ...")] = ()
    evaluation: Evaluation | None = None
    contact: Contact | None = None
    reference: Reference | None = None
    text: Text | None = None


KINDS: Final = (
    Kind(
        "terrorism.alert",
        1,
        TerrorismAlert,
        examples=(
            {
                "title": "Two men on their way with false papers",
                "threat": "travel",
                "text": "They asked for a flat near the harbour and paid three months in advance.",
                "evaluation": {"source": "B", "information": "2"},
                "expected": "2004-11-20",
                "countries": ["TR", "BG", "GR"],
                "parties": [
                    {"type": "person", "id": "first", "names": [{"full": "Murat Yıldırım"}], "role": "suspect"},
                    {
                        "type": "person",
                        "id": "second",
                        "names": [{"full": "Асен Стоянов", "use": "document"}, {"full": "Αλέξανδρος Νικολάου"}],
                        "documents": [{"document_type": "passport", "country": "BG", "state": "forged"}],
                    },
                ],
                "action": "discreet_check",
                "relations": [{"source": "first", "relation": "accompanies", "target": "second"}],
            },
        ),
        rule=PERSONAL,
    ),
    Kind(
        "firearm.trace",
        1,
        FirearmTrace,
        examples=(
            {
                "firearms": [
                    {
                        "type": "firearm",
                        "id": "rifle",
                        "firearm_type": "assault-rifle",
                        "make": "Zastava",
                        "model": "M70",
                        "calibre": "7.62 x 39 mm",
                        "serial_number": "417093",
                        "markings": ["ЗАСТАВА-КРАГУЈЕВАЦ"],
                    }
                ],
                "found_on": "2004-08-02",
                "country": "AL",
                "found_at": {"type": "location", "place": "Shkodër", "country": "AL"},
                "circumstances": "Under the floor of a van that was on its way to the ferry.",
                "questions": ["manufacturer", "last_owner", "loss"],
                "legal_basis": "Criminal proceedings 417/2004, Shkodër",
                "holders": [
                    {"type": "person", "id": "driver", "names": [{"family": "Hoxha", "given": "Gëzim"}]},
                    {"type": "person", "names": [{"full": "Νίκος Παπαδάκης"}]},
                    {"type": "person", "names": [{"family": "Петровић", "given": "Милан"}]},
                ],
                "relations": [{"source": "driver", "relation": "holds", "target": "rifle"}],
            },
        ),
        rule=PERSONAL,
    ),
    Kind(
        "wmd.alert",
        1,
        WmdAlert,
        examples=(
            {
                "title": "Source of radiation among scrap metal",
                "incident": "detection",
                "materials": [
                    {
                        "name": "caesium in a gauge's head",
                        "category": "radioactive",
                        "isotope": "Cs-137",
                        "activity_bq": "3700000000",
                        "dose_rate": "120.5",
                        "un_number": "3332",
                    }
                ],
                "country": "RO",
                "on": "2004-05-11T14:20+03:00",
                "place": {"type": "location", "location_type": "border-crossing", "name": "Albiţa", "country": "RO"},
                "secured": True,
                "danger": "Keep thirty metres away; do not open the head.",
                "parties": [
                    {"type": "person", "names": [{"full": "Иван Стоянов"}], "role": "contact"},
                    {"type": "organisation", "names": ["Μέταλλα Βορρά Α.Ε."], "country": "GR"},
                ],
                "reported": ["IAEA"],
                "contact": {"office": "CNCAN, Bucureşti"},
            },
        ),
        rule=PERSONAL,
    ),
)
