"""Precursors of drugs: orders, shipments and losses that others should know of (page 15)."""

from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from schemas.countries import Country
from schemas.dates import Moment
from schemas.entities import Facts, Location
from schemas.kinds.common import Evaluation, Text
from schemas.kinds.kind import PERSONAL, Kind
from schemas.kinds.parts import Action, Contact, Party, Reference, Transports
from schemas.things import Drug


class Stage(StrEnum):
    """What became known of a precursor (UN Convention of 1988, article 12)."""

    EXPORT_NOTICE = "export_notice"
    SUSPICIOUS_ORDER = "suspicious_order"
    SHIPMENT = "shipment"
    STOPPED = "stopped"
    THEFT = "theft"
    SEIZURE = "seizure"
    LABORATORY = "laboratory"


class PrecursorAlert(Facts):
    """A precursor is ordered, on its way, stopped or lost. Each is of a substance that is named."""

    stage: Stage
    precursors: Annotated[tuple[Drug, ...], Field(min_length=1, max_length=50)]
    origin: Country | None = None
    destination: Country | None = None
    transit: Annotated[tuple[Country, ...], Field(max_length=20)] = ()
    consignor: Party | None = None
    consignee: Party | None = None
    broker: Party | None = None
    transport: Transports = ()
    expected: Moment | None = None
    on: Moment | None = None
    place: Location | None = None
    action: Action | None = None
    contact: Contact | None = None
    reference: Reference | None = None
    evaluation: Evaluation | None = None
    text: Text | None = None

    @model_validator(mode="after")
    def _named(self) -> Self:
        for number, precursor in enumerate(self.precursors):
            if precursor.substance is None and precursor.name is None and precursor.cas is None:
                raise ValueError(f"precursors.{number}.name: is required where neither substance nor cas is given")
        return self


KINDS: Final = (
    Kind(
        "precursor.alert",
        1,
        PrecursorAlert,
        examples=(
            {
                "stage": "suspicious_order",
                "precursors": [
                    {
                        "type": "drug",
                        "name": "acetic anhydride",
                        "precursor": True,
                        "cas": "108-24-7",
                        "quantity": {"amount": "18.5", "unit": "t"},
                        "packing": "drums of 200 l",
                    }
                ],
                "origin": "SI",
                "destination": "TR",
                "transit": ["RS", "BG"],
                "consignee": {"type": "organisation", "names": ["Yıldız Kimya Ltd. Şti."], "country": "TR"},
                "broker": {"type": "person", "names": [{"family": "Петков", "given": "Георги"}, {"full": "Γ. Πέτκοφ"}]},
                "expected": "2004-12",
                "action": "inform",
                "evaluation": {"source": "A", "information": "2"},
                "text": "Paid in cash by a firm that was founded in September.",
            },
        ),
        rule=PERSONAL,
    ),
)
