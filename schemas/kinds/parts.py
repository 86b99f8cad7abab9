"""Parts that kinds of several domains are made of: parties, means of transport, contacts, actions."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from schemas.identifiers import ValidEmail, ValidPhone
from schemas.kinds.common import Body, Line
from schemas.persons import Organisation, Person
from schemas.things import Aircraft, FreightContainer, Vehicle, Vessel

Party = Annotated[Person | Organisation, Field(discriminator="type")]
Transport = Annotated[Vehicle | Vessel | FreightContainer | Aircraft, Field(discriminator="type")]
Transports = Annotated[tuple[Transport, ...], Field(max_length=50)]
Reference = Annotated[Line, Field(description="The sender's own file number.")]


class Contact(Body):
    """Who answers at any hour: an office or a liaison officer, by a number or address that can be reached."""

    office: Line
    name: Line | None = None
    phone: ValidPhone | None = None
    email: ValidEmail | None = None


class Action(StrEnum):
    """What the recipients are asked to do on a hit; where it is not said, they ask the sender."""

    INFORM = "inform"
    DISCREET_CHECK = "discreet_check"
    SPECIFIC_CHECK = "specific_check"
    STOP = "stop"
    SEIZE = "seize"
    ARREST = "arrest"
