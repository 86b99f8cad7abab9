"""The demo's messages: what is said, by whom, to whom. Figures of seizures are the seed's (page 16).

`MARKER` stands in every body, so that a search for it in the broker's data, the hub's database
and every log shows whether a plaintext got out.
"""

from dataclasses import dataclass
from typing import Any

MARKER = "NIGHTINGALE-7f3a"
OPERATION = "CONTAINMENT 2003"


@dataclass(frozen=True, slots=True)
class Line:
    """One message to post: who says it and the request to the node's API."""

    sender: str
    request: dict[str, Any]


ALERT = Line(
    "ro",
    {
        "kind": "alert",
        "task_force": "trafficking",
        "priority": "urgent",
        "body": {
            "title": "Minibus with false papers towards the Danube bridge",
            "text": f"Two recruiters known to us travel with four young women; expect the crossing tonight. {MARKER}",
            "evaluation": {"source": "B", "information": "3"},
            "countries": ["RO", "BG"],
        },
    },
)
REQUEST = Line(
    "bg",
    {
        "kind": "request",
        "task_force": "vehicles",
        "to": ["tr"],
        "body": {
            "purpose": "Stolen vehicle offered for sale",
            "legal_basis": "SECI Agreement of 26 May 1999",
            "question": f"Is this vehicle registered or sought in Turkey? {MARKER}",
            "subjects": [{"type": "vehicle", "identifier": "34 ABC 123", "country": "TR"}],
        },
    },
)
REPLY = {
    "kind": "reply",
    "body": {"result": "hit", "text": f"Reported stolen in Istanbul on 3 March. {MARKER}"},
}


def _seizure(node: str, country: str, *found: tuple[str, str, str]) -> Line:
    seizures = [{"substance": substance, "quantity": quantity, "unit": unit} for substance, quantity, unit in found]
    body = {"seized_on": "2003-10-15", "country": country, "seizures": seizures, "text": MARKER}
    request = {
        "kind": "drugs.seizure",
        "task_force": "drugs",
        "to": ["seci"],
        "operation": OPERATION,
        "body": body,
    }
    return Line(node, request)


# Page 16, Containment 2003. Which node made which seizure is the demo's invention; the sums are the seed's.
SEIZURES = (
    _seizure("ro", "RO", ("heroin", "124", "kg"), ("cocaine", "0.6", "kg")),
    _seizure("bg", "BG", ("marijuana", "188.9", "kg"), ("amphetamines", "63", "kg")),
    _seizure("tr", "TR", ("opium", "18", "kg"), ("mdma", "6838", "tablets")),
    _seizure("hr", "HR", ("sedatives", "1800", "ampoules"), ("steroids", "2566", "dosages")),
)
EXPECTED_SUMS = {
    ("heroin", "kg"): "124",
    ("marijuana", "kg"): "188.9",
    ("amphetamines", "kg"): "63",
    ("cocaine", "kg"): "0.6",
    ("opium", "kg"): "18",
    ("mdma", "tablets"): "6838",
    ("sedatives", "ampoules"): "1800",
    ("steroids", "dosages"): "2566",
}
