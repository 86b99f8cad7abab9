"""Indicators of computer crime, as STIX 2.1 has them (OASIS, section 4.7): `nodes.stix` reads and writes that."""

from typing import Annotated, Final

from pydantic import Field

from schemas.codes import Tlp
from schemas.entities import Facts
from schemas.kinds.common import Body, Evaluation, Line, Text
from schemas.kinds.kind import PERSONAL, Kind

Instant = Annotated[
    str,
    Field(
        pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3])(:[0-5][0-9]){2}(\.[0-9]{1,9})?Z$",
        description="a moment in UTC: 2004-11-15T03:00:00Z",
    ),
]
StixId = Annotated[
    str,
    Field(pattern=r"^indicator--[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", description="of STIX: indicator--UUID"),
]


# STIX leaves its vocabularies open: indicator-type-ov and pattern-type-ov, section 10.
Word = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,60}$", description="such as malicious-activity; stix, yara, sigma")]


class Phase(Body):
    """A phase of a kill chain, as that names it."""

    kill_chain_name: Line
    phase_name: Line


class Source(Body):
    """Where more is to be found outside STIX."""

    source_name: Line
    description: Text | None = None
    url: Line | None = None
    external_id: Line | None = None


class Indicator(Body):
    """A pattern that shows suspicious activity where it is seen. All but `tlp` have STIX's names and meaning."""

    id: StixId
    name: Line | None = None
    description: Text | None = None
    indicator_types: Annotated[tuple[Word, ...], Field(max_length=20)] = ()
    pattern: Text
    pattern_type: Word
    pattern_version: Line | None = None
    created: Instant
    modified: Instant
    valid_from: Instant
    valid_until: Instant | None = None
    kill_chain_phases: Annotated[tuple[Phase, ...], Field(max_length=20)] = ()
    labels: Annotated[tuple[Line, ...], Field(max_length=50)] = ()
    confidence: Annotated[int, Field(ge=0, le=100)] | None = None
    external_references: Annotated[tuple[Source, ...], Field(max_length=50)] = ()
    tlp: Annotated[Tlp, Field(description="Of STIX, the marking: to whom it may be told.")] | None = None


class CyberIndicator(Facts):
    """Indicators of computer crime: addresses, files and traffic to look for."""

    title: Line
    indicators: Annotated[tuple[Indicator, ...], Field(min_length=1, max_length=500)]
    evaluation: Evaluation | None = None
    text: Text | None = None


KINDS: Final = (
    Kind(
        "cyber.indicator",
        1,
        CyberIndicator,
        examples=(
            {
                "title": "Letters in the name of a bank, Λογαριασμός / сметка / cont",
                "indicators": [
                    {
                        "id": "indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f",
                        "name": "Server that the letters lead to",
                        "indicator_types": ["malicious-activity"],
                        "pattern": "[domain-name:value = 'siguren-platez.example' OR ipv4-addr:value = '192.0.2.17']",
                        "pattern_type": "stix",
                        "pattern_version": "2.1",
                        "created": "2004-11-15T03:00:00.000Z",
                        "modified": "2004-11-15T03:00:00.000Z",
                        "valid_from": "2004-11-15T03:00:00Z",
                        "confidence": 70,
                        "tlp": "TLP:AMBER",
                    }
                ],
                "entities": [
                    {
                        "type": "person",
                        "names": [{"full": "Κώστας Αντωνίου"}, {"full": "Костас Антониу", "use": "alias"}],
                        "role": "suspect",
                    },
                    {"type": "person", "names": [{"full": "Vlăduţ Ţepeş"}], "role": "victim"},
                ],
                "evaluation": {"source": "B", "information": "2"},
            },
        ),
        rule=PERSONAL,
    ),
)
