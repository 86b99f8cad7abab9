"""What a message is about: persons, organisations, places, things, events, and how they hang together.

In the manner of the Universal Message Format and MISP objects: each entity has a `type`; a relation joins two by the
local ids that they have in this message.
"""

from enum import StrEnum
from typing import Annotated, Final, Literal, Self, get_args

from pydantic import ConfigDict, Field, model_validator

from schemas.countries import Country
from schemas.dates import Moment
from schemas.kinds.common import Body, Evaluation, Line, Message, Text
from schemas.persons import Document, LocalId, Organisation, Person
from schemas.things import (
    Account,
    Aircraft,
    Communication,
    Drug,
    Firearm,
    FreightContainer,
    Goods,
    Money,
    Vehicle,
    Vessel,
)


class LocationType(StrEnum):
    """What a place is."""

    ADDRESS = "address"
    BORDER_CROSSING = "border-crossing"
    PORT = "port"
    AIRPORT = "airport"
    RAILWAY = "railway"
    ROAD = "road"
    WAREHOUSE = "warehouse"
    SEA = "sea"
    AREA = "area"
    OTHER = "other"


class Location(Body):
    """A place. Coordinates are degrees north and east, WGS 84; both or neither."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {
                    "required": ["latitude", "longitude"],
                    "properties": {"latitude": {"type": "number"}, "longitude": {"type": "number"}},
                },
                {"properties": {"latitude": {"type": "null"}, "longitude": {"type": "null"}}},
            ]
        }
    )

    type: Literal["location"]
    id: LocalId | None = None
    location_type: LocationType | None = None
    name: Line | None = None
    street: Line | None = None
    postal_code: Line | None = None
    place: Line | None = None
    region: Line | None = None
    country: Country | None = None
    latitude: Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)] | None = None
    longitude: Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)] | None = None
    description: Text | None = None

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.latitude is None) != (self.longitude is None):
            raise ValueError("must have both latitude and longitude, or neither")
        return self


class EventType(StrEnum):
    """What happened."""

    SEIZURE = "seizure"
    ARREST = "arrest"
    CONTROL = "control"
    BORDER_CROSSING = "border-crossing"
    THEFT = "theft"
    TRAFFICKING = "trafficking"
    SMUGGLING = "smuggling"
    FRAUD = "fraud"
    TRANSFER = "transfer"
    MEETING = "meeting"
    ATTACK = "attack"
    SALE = "sale"
    OTHER = "other"


class Occurrence(Body):
    """An event, past or expected."""

    type: Literal["event"]
    id: LocalId | None = None
    event_type: EventType | None = None
    name: Line | None = None
    began: Moment | None = None
    ended: Moment | None = None
    country: Country | None = None
    place: Line | None = None
    description: Text | None = None


Entity = Annotated[
    Person
    | Organisation
    | Location
    | Vehicle
    | Vessel
    | FreightContainer
    | Aircraft
    | Firearm
    | Document
    | Drug
    | Goods
    | Money
    | Account
    | Communication
    | Occurrence,
    Field(discriminator="type"),
]


_ENTITIES: Final = frozenset(get_args(get_args(Entity)[0]))


class RelationType(StrEnum):
    """How the source of a relation stands to its target, read as a sentence: source owns target."""

    OWNS = "owns"
    HOLDS = "holds"
    USES = "uses"
    DRIVES = "drives"
    REGISTERED_TO = "registered-to"
    CARRIES = "carries"
    CONTAINS = "contains"
    MEMBER_OF = "member-of"
    LEADS = "leads"
    WORKS_FOR = "works-for"
    RELATIVE_OF = "relative-of"
    ACCOMPANIES = "accompanies"
    CALLS = "calls"
    PAYS = "pays"
    SUPPLIES = "supplies"
    EXPLOITS = "exploits"
    LOCATED_AT = "located-at"
    TRAVELS_TO = "travels-to"
    TRAVELS_FROM = "travels-from"
    INVOLVED_IN = "involved-in"
    SAME_AS = "same-as"
    RELATED_TO = "related-to"


class Relation(Body):
    """Two entities of one message and what joins them."""

    source: LocalId
    relation: RelationType
    target: LocalId
    since: Moment | None = None
    until: Moment | None = None
    evaluation: Evaluation | None = None
    note: Line | None = None


class Facts(Message):
    """Entities and their relations, as a kind carries them. Ids are each of one entity; relations join such.

    Entities in fields of their own, which a kind adds, have ids for relations as those in `entities` have.
    """

    entities: Annotated[tuple[Entity, ...], Field(max_length=500)] = ()
    relations: Annotated[tuple[Relation, ...], Field(max_length=1000)] = ()

    @model_validator(mode="after")
    def _joined(self) -> Self:
        named: list[str] = []
        for name in type(self).model_fields:
            value = getattr(self, name)
            items = value if type(value) is tuple else (value,)
            named += [item.id for item in items if type(item) in _ENTITIES and item.id is not None]
        known = set(named)
        if len(known) != len(named):
            raise ValueError("entities: an id names more than one of them")
        for number, relation in enumerate(self.relations):
            for end, name in (("source", relation.source), ("target", relation.target)):
                if name not in known:
                    raise ValueError(f"relations.{number}.{end}: must be the id of an entity of this message")
        return self
