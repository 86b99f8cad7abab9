"""Kinds of the task force on stolen vehicles: what was stolen, and where it turned up."""

from enum import StrEnum
from typing import Annotated, Final, Self
from uuid import UUID

from pydantic import Field, model_validator

from schemas.countries import Country
from schemas.dates import Moment
from schemas.entities import Facts, Location
from schemas.kinds.common import Line, Text
from schemas.kinds.kind import PERSONAL, Kind
from schemas.kinds.parts import Action, Contact, Party, Reference
from schemas.persons import Paper, Person
from schemas.things import Sum, Vehicle


def _recognisable(vehicle: Vehicle) -> None:
    if vehicle.vin is None and vehicle.engine_number is None and not vehicle.plates:
        raise ValueError("vehicle.vin: is required where there is neither a plate nor an engine number")


class StolenVehicle(Facts):
    """A vehicle is sought. A plate, a VIN or an engine number is needed to know it again."""

    vehicle: Vehicle
    stolen_on: Moment
    country: Country
    stolen_at: Location | None = None
    owner: Party | None = None
    reported_to: Line | None = None
    reference: Reference | None = None
    with_keys: bool | None = None
    papers: Annotated[tuple[Paper, ...], Field(max_length=10, description="Stolen with it.")] = ()
    # No default: what is not asked must not be done in a sender's name.
    action: Action | None = None
    value: Sum | None = None
    text: Text | None = None

    @model_validator(mode="after")
    def _known_again(self) -> Self:
        _recognisable(self.vehicle)
        return self


class Circumstance(StrEnum):
    """On what occasion a vehicle was found."""

    BORDER = "border"
    ROADSIDE = "roadside"
    REGISTRATION = "registration"
    SALE = "sale"
    SEARCH = "search"
    ABANDONED = "abandoned"
    OTHER = "other"


class Taken(StrEnum):
    """What was done on a hit."""

    SEIZED = "seized"
    WATCHED = "watched"
    LET_GO = "let_go"
    RETURNED = "returned"


class VehicleHit(Facts):
    """A vehicle that is sought was found."""

    vehicle: Vehicle
    found_on: Moment
    country: Country
    found_at: Location | None = None
    circumstance: Circumstance | None = None
    taken: Taken
    stolen: Annotated[UUID, Field(description="The id of the message that the vehicle was sought with.")] | None = None
    driver: Person | None = None
    papers: Annotated[tuple[Paper, ...], Field(max_length=10, description="Shown with it.")] = ()
    identity_changed: Annotated[bool, Field(description="Numbers were changed or forged.")] | None = None
    value: Sum | None = None
    contact: Contact | None = None
    reference: Reference | None = None
    text: Text | None = None

    @model_validator(mode="after")
    def _known_again(self) -> Self:
        _recognisable(self.vehicle)
        return self


KINDS: Final = (
    Kind(
        "vehicle.stolen",
        1,
        StolenVehicle,
        examples=(
            {
                "vehicle": {
                    "type": "vehicle",
                    "id": "car",
                    "vehicle_type": "car",
                    "plates": [{"number": "34 ABC 123", "country": "TR"}],
                    "vin": "WVWZZZ1JZXW000001",
                    "make": "Volkswagen",
                    "model": "Golf",
                    "colour": "silver",
                    "year": 1999,
                },
                "stolen_on": "2004-03-03T02:00+02:00",
                "country": "TR",
                "stolen_at": {"type": "location", "place": "İstanbul", "street": "Bağdat Caddesi"},
                "owner": {"type": "person", "id": "owner", "names": [{"family": "Çelik", "given": "Mehmet"}]},
                "entities": [
                    {"type": "person", "names": [{"full": "Ιωάννης Δημητρίου"}], "role": "suspect"},
                    {"type": "person", "names": [{"full": "Георги Петков"}], "role": "suspect"},
                ],
                "reported_to": "Kadıköy Emniyet",
                "with_keys": False,
                "relations": [{"source": "owner", "relation": "owns", "target": "car"}],
            },
        ),
        rule=PERSONAL,
    ),
    Kind(
        "vehicle.hit",
        1,
        VehicleHit,
        examples=(
            {
                "vehicle": {
                    "type": "vehicle",
                    "plates": [{"number": "СА 4711 ВК", "country": "BG"}],
                    "vin": "WVWZZZ1JZXW000001",
                    "make": "Volkswagen",
                },
                "found_on": "2004-03-19T23:40+02:00",
                "country": "GR",
                "found_at": {"type": "location", "location_type": "border-crossing", "name": "Προμαχώνας"},
                "circumstance": "border",
                "taken": "seized",
                "stolen": "01a20f97-e270-71d7-88d6-b834d3465199",
                "driver": {
                    "type": "person",
                    "names": [{"family": "Петков", "given": "Георги"}],
                    "nationalities": ["BG"],
                },
                "papers": [{"document_type": "vehicle-registration", "state": "forged", "country": "BG"}],
                "identity_changed": False,
                "value": {"amount": "8250", "currency": "EUR"},
                "contact": {"office": "NFP Athens", "name": "Ελένη Δημητρίου", "email": "nfp@astynomia.gr"},
            },
        ),
        rule=PERSONAL,
    ),
)
