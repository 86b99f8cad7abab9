"""Things: means of transport, firearms, drugs and other goods, money, accounts, means of communication.

In the manner of the Universal Message Format and MISP objects. Nothing but the type has to be known.
"""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import Field

from schemas.countries import Country, Currency
from schemas.dates import PartialDate
from schemas.identifiers import Bic, Cas, Container, Email, Iban, Imei, Imo, Imsi, Ip, Phone, Vin
from schemas.kinds.common import Body, Line, Text
from schemas.persons import LocalId
from schemas.seizures import Substance, Unit

Amount = Annotated[Decimal, Field(gt=0, max_digits=15, decimal_places=6)]
Year = Annotated[int, Field(ge=1885, le=2100)]

# Greek and Bulgarian plates have only letters that look like Latin ones (Vienna Convention of 1968, annex 3): whoever
# types one may use either alphabet.
_LOOK_ALIKE: Final = str.maketrans("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧАВЕКМНОРСТУХЈ", "ABEZHIKMNOPTYXABEKMHOPCTYXJ")  # noqa: RUF001


def plate_key(number: str) -> str:
    """A registration number for comparing: Latin capitals and digits only."""
    return "".join(character for character in number.upper().translate(_LOOK_ALIKE) if character.isalnum())


class Plate(Body):
    """A registration plate and whose it is."""

    number: Line
    country: Country | None = None


class VehicleType(StrEnum):
    """What a road vehicle is, in the terms of UNECE categories M, N, O, L and T."""

    CAR = "car"
    VAN = "van"
    LORRY = "lorry"
    BUS = "bus"
    MOTORCYCLE = "motorcycle"
    TRAILER = "trailer"
    SEMI_TRAILER = "semi-trailer"
    CAMPER = "camper"
    TRACTOR = "tractor"
    MACHINE = "machine"
    OTHER = "other"


class Vehicle(Body):
    """A road vehicle."""

    type: Literal["vehicle"]
    id: LocalId | None = None
    vehicle_type: VehicleType | None = None
    plates: Annotated[tuple[Plate, ...], Field(max_length=10)] = ()
    vin: Vin | None = None
    engine_number: Line | None = None
    make: Line | None = None
    model: Line | None = None
    colour: Line | None = None
    year: Year | None = None
    description: Text | None = None


class Vessel(Body):
    """A ship or boat. The IMO number stays with the hull, the MMSI and call sign with the flag."""

    type: Literal["vessel"]
    id: LocalId | None = None
    vessel_type: Line | None = None
    name: Line | None = None
    imo: Imo | None = None
    mmsi: Annotated[str, Field(pattern=r"^[0-9]{9}$", description="ITU-R M.585")] | None = None
    call_sign: Line | None = None
    flag: Country | None = None
    description: Text | None = None


class FreightContainer(Body):
    """A freight container (ISO 6346)."""

    type: Literal["container"]
    id: LocalId | None = None
    number: Container | None = None
    size_type: Annotated[str, Field(pattern=r"^[0-9A-Z]{4}$", description="ISO 6346, such as 45G1")] | None = None
    seals: Annotated[tuple[Line, ...], Field(max_length=20)] = ()
    description: Text | None = None


class Aircraft(Body):
    """An aircraft; `registration` is the mark painted on it, `icao24` its transponder's address (annex 10)."""

    type: Literal["aircraft"]
    id: LocalId | None = None
    registration: Line | None = None
    country: Country | None = None
    icao24: Annotated[str, Field(pattern=r"^[0-9A-F]{6}$")] | None = None
    make: Line | None = None
    model: Line | None = None
    serial_number: Line | None = None
    flight: Line | None = None
    description: Text | None = None


class FirearmType(StrEnum):
    """What a weapon is."""

    PISTOL = "pistol"
    REVOLVER = "revolver"
    RIFLE = "rifle"
    SHOTGUN = "shotgun"
    SUBMACHINE_GUN = "submachine-gun"
    ASSAULT_RIFLE = "assault-rifle"
    MACHINE_GUN = "machine-gun"
    LIGHT_WEAPON = "light-weapon"
    PART = "part"
    AMMUNITION = "ammunition"
    EXPLOSIVE = "explosive"
    OTHER = "other"


class Firearm(Body):
    """A firearm, its part, or ammunition: what the UN's tracing instrument of 2005 asks for (sections 8 and 17)."""

    type: Literal["firearm"]
    id: LocalId | None = None
    firearm_type: FirearmType | None = None
    make: Line | None = None
    model: Line | None = None
    calibre: Line | None = None
    serial_number: Line | None = None
    serial_erased: bool | None = None
    markings: Annotated[tuple[Line, ...], Field(max_length=20)] = ()
    manufactured_in: Country | None = None
    year: Year | None = None
    imported_to: Country | None = None
    quantity: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    description: Text | None = None


class Quantity(Body):
    """How much, in which unit; a decimal number with a point, as a string or number."""

    amount: Amount
    unit: Unit


class Drug(Body):
    """A drug or a precursor. `purity` is in percent by mass; `name` is what the substances' list has not."""

    type: Literal["drug"]
    id: LocalId | None = None
    substance: Substance | None = None
    name: Line | None = None
    precursor: bool | None = None
    cas: Cas | None = None
    quantity: Quantity | None = None
    purity: Annotated[Decimal, Field(gt=0, le=100, decimal_places=3)] | None = None
    packing: Line | None = None
    description: Text | None = None


class Sum(Body):
    """An amount of money."""

    amount: Amount
    currency: Currency


class Goods(Body):
    """Other goods: cigarettes, fuel, medicines, cultural property. `hs` is the customs tariff's code."""

    type: Literal["goods"]
    id: LocalId | None = None
    name: Line | None = None
    brand: Line | None = None
    hs: Annotated[str, Field(pattern=r"^[0-9]{4}([0-9]{2}){0,3}$", description="Harmonised System code")] | None = None
    quantity: Quantity | None = None
    value: Sum | None = None
    origin: Country | None = None
    description: Text | None = None


class Money(Body):
    """Cash or another payment; `counterfeit` where it is false."""

    type: Literal["money"]
    id: LocalId | None = None
    value: Sum | None = None
    on: PartialDate | None = None
    counterfeit: bool | None = None
    denominations: Line | None = None
    description: Text | None = None


class Account(Body):
    """An account at a bank or elsewhere; `number` is for what is no IBAN."""

    type: Literal["account"]
    id: LocalId | None = None
    iban: Iban | None = None
    number: Line | None = None
    bic: Bic | None = None
    bank: Line | None = None
    country: Country | None = None
    holder: Line | None = None
    currency: Currency | None = None
    description: Text | None = None


class Communication(Body):
    """A means of communication: a line, a device, an address, or a name at some service."""

    type: Literal["communication"]
    id: LocalId | None = None
    phone: Phone | None = None
    email: Email | None = None
    ip: Ip | None = None
    imei: Imei | None = None
    imsi: Imsi | None = None
    url: Line | None = None
    service: Line | None = None
    user: Line | None = None
    description: Text | None = None
