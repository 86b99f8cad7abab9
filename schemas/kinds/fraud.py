"""Kinds of the Anti-Fraud Anti-Smuggling task force: consignments that are not what is declared, and excise goods."""

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from schemas.countries import Country
from schemas.dates import Moment
from schemas.entities import Facts, Location
from schemas.kinds.common import Body, Evaluation, Line, Text
from schemas.kinds.kind import PERSONAL, Kind
from schemas.kinds.parts import Action, Contact, Party, Reference, Transports
from schemas.things import Goods, Quantity, Sum


class Fraud(StrEnum):
    """What is wrong with a consignment."""

    UNDECLARED = "undeclared"
    UNDERVALUED = "undervalued"
    MISDESCRIBED = "misdescribed"
    FALSE_ORIGIN = "false_origin"
    FALSE_QUANTITY = "false_quantity"
    FALSE_PAPERS = "false_papers"
    TRANSIT_DIVERTED = "transit_diverted"
    COUNTERFEIT = "counterfeit"
    PROHIBITED = "prohibited"
    OTHER = "other"


class Declaration(Body):
    """A customs declaration, and the office that took it."""

    number: Line | None = None
    procedure: Annotated[Line, Field(description="Such as export, transit, TIR, import.")] | None = None
    customs_office: Line | None = None
    country: Country | None = None
    on: Moment | None = None


class Consignment(Facts):
    """A consignment that is suspected, was stopped, or is to be watched for."""

    frauds: Annotated[tuple[Fraud, ...], Field(min_length=1, max_length=10)]
    goods: Annotated[tuple[Goods, ...], Field(min_length=1, max_length=100)]
    declarations: Annotated[tuple[Declaration, ...], Field(max_length=20)] = ()
    consignor: Party | None = None
    consignee: Party | None = None
    declarant: Party | None = None
    transport: Transports = ()
    route: Annotated[tuple[Location, ...], Field(max_length=30, description="In the order of the way.")] = ()
    expected: Moment | None = None
    found_on: Moment | None = None
    duties_evaded: Sum | None = None
    action: Action | None = None
    contact: Contact | None = None
    reference: Reference | None = None
    evaluation: Evaluation | None = None
    text: Text | None = None


class Product(StrEnum):
    """Excise goods."""

    CIGARETTES = "cigarettes"
    CIGARS = "cigars"
    FINE_CUT = "fine_cut"
    RAW_TOBACCO = "raw_tobacco"
    WATERPIPE = "waterpipe"
    E_LIQUID = "e_liquid"
    SPIRITS = "spirits"
    WINE = "wine"
    BEER = "beer"
    FUEL = "fuel"
    OTHER = "other"


class Stamp(StrEnum):
    """The tax stamps on excise goods."""

    NONE = "none"
    GENUINE = "genuine"
    FORGED = "forged"
    FOREIGN = "foreign"
    DUTY_FREE = "duty_free"


class ExciseItem(Body):
    """One product in one quantity; cigarettes are counted in pieces, packs or cartons."""

    product: Product
    quantity: Quantity
    brand: Line | None = None
    counterfeit: bool | None = None
    stamps: Stamp | None = None
    manufactured_in: Country | None = None
    marks: Annotated[Line, Field(description="Codes on packs that tell the factory and day.")] | None = None


class Occasion(StrEnum):
    """How far excise fraud had come when it was found."""

    BORDER = "border"
    TRANSPORT = "transport"
    STORAGE = "storage"
    FACTORY = "factory"
    SALE = "sale"


class ExciseFraud(Facts):
    """Cigarettes or other excise goods, smuggled or made in secret."""

    items: Annotated[tuple[ExciseItem, ...], Field(min_length=1, max_length=100)]
    country: Country
    found_on: Moment | None = None
    found_at: Location | None = None
    occasion: Occasion | None = None
    concealment: Line | None = None
    transport: Transports = ()
    origin: Country | None = None
    destination: Country | None = None
    parties: Annotated[tuple[Party, ...], Field(max_length=50)] = ()
    duties_evaded: Sum | None = None
    contact: Contact | None = None
    reference: Reference | None = None
    evaluation: Evaluation | None = None
    text: Text | None = None


KINDS: Final = (
    Kind(
        "fraud.consignment",
        1,
        Consignment,
        examples=(
            {
                "frauds": ["misdescribed", "transit_diverted"],
                "goods": [
                    {
                        "type": "goods",
                        "name": "ceramic tiles, as declared; mobile phones, as seen by scanner",
                        "hs": "690721",
                        "quantity": {"amount": "22", "unit": "t"},
                        "value": {"amount": "14300", "currency": "EUR"},
                        "origin": "TR",
                    }
                ],
                "declarations": [
                    {"number": "TIR XF 45678901", "procedure": "TIR", "customs_office": "Капитан Андреево"}
                ],
                "consignor": {"type": "organisation", "names": ["Yıldız Seramik A.Ş."], "country": "TR"},
                "consignee": {"type": "organisation", "names": ["Αφοί Παπαδόπουλοι Ο.Ε."], "country": "GR"},
                "transport": [
                    {"type": "vehicle", "vehicle_type": "lorry", "plates": [{"number": "22 YS 417", "country": "TR"}]},
                    {"type": "container", "number": "CSQU3054383", "seals": ["TR 004417"]},
                ],
                "expected": "2004-11-15T03:00+02:00",
                "action": "specific_check",
                "text": "Водачът Иван Стоянов has changed his route twice.",
            },
        ),
        rule=PERSONAL,
    ),
    Kind(
        "fraud.excise",
        1,
        ExciseFraud,
        examples=(
            {
                "items": [
                    {
                        "product": "cigarettes",
                        "quantity": {"amount": "48000", "unit": "packs"},
                        "brand": "Карелия",
                        "counterfeit": True,
                        "stamps": "forged",
                    }
                ],
                "country": "ME",
                "found_on": "2004-06-21",
                "found_at": {"type": "location", "location_type": "port", "place": "Бар", "country": "ME"},
                "occasion": "border",
                "concealment": "behind sacks of cement",
                "transport": [{"type": "vessel", "name": "Άγιος Νικόλαος", "imo": "9074729", "flag": "GR"}],
                "destination": "IT",
                "parties": [{"type": "person", "names": [{"full": "Vlăduţ Ţepeş"}], "role": "suspect"}],
                "duties_evaded": {"amount": "117600", "currency": "EUR"},
            },
        ),
        rule=PERSONAL,
    ),
)
