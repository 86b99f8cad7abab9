"""What `make replay` sends: the operations' plans and reports, and how many other exchanges each task force had.

The Centre's document has sums only. Which country and agency reported which part of them is invented here; nothing
of the document's own tables is read. Some seizures are reported by police and customs, some wrongly: these are put
right or taken back, as people do.
"""

from dataclasses import dataclass, field
from typing import Any, Final

SENDERS: Final = ("ro", "bg", "tr", "hr")
CENTRE: Final = "seci"
ALL: Final = (*SENDERS, CENTRE)


@dataclass(frozen=True, slots=True)
class Post:
    """A message of the replay: the year in which it is sent, who sends it, and the request to the node's API.

    `mends` has the place, in the list of all, of the message that it corrects or takes back.
    """

    year: int
    sender: str
    request: dict[str, Any]
    mends: int | None = field(default=None)


# Counts of each indicator, as ro, bg, tr and hr report them.
_MIRAGE_2003: Final = {
    "requests-initiated": (40, 22, 20, 10),
    "victims-identified": (210, 113, 90, 50),
    "victims-assisted": (30, 20, 12, 8),
    "victims-repatriated": (31, 11, 14, 6),
    "traffickers-identified": (250, 145, 130, 70),
    "traffickers-charged": (90, 57, 40, 20),
}
_MIRAGE_2004: Final = {
    "requests-initiated": (50, 30, 25, 15),
    "investigators-exchanged": (1, 1, 0, 0),
    "victims-identified": (260, 141, 120, 80),
    "victims-assisted": (40, 28, 20, 10),
    "victims-repatriated": (60, 38, 25, 15),
    "traffickers-identified": (230, 125, 120, 70),
    "traffickers-charged": (130, 72, 60, 40),
}
_ROAD_SHOW_2003: Final = {
    "vehicles-seized": (45, 28, 25, 10),
    "investigations-initiated": (44, 26, 24, 10),
    "offenders-identified": (30, 18, 15, 7),
    "offenders-arrested": (3, 2, 2, 0),
}
_ROAD_SHOW_VALUES: Final = ("350,5", "241", "200", "100")

# Substance, quantity and unit as numbers, and as the report writes them.
_Seized = tuple[str, str, str, str]
_CONTAINMENT_2002: Final[dict[str, tuple[_Seized, ...]]] = {
    "ro": (
        ("heroin", "300", "kg", "300 kg"),
        ("marijuana", "1000", "kg", "1000 kg"),
        ("hashish", "8", "kg", "8 kilograms"),
        ("toluol", "1500", "t", "1500 metric tons"),
    ),
    "bg": (
        ("heroin", "184", "kg", "184 kg"),
        ("amphetamines", "150000", "tablets", "150,000 tablets"),
        ("cocaine", "1.5", "kg", "1,5 kilograms"),
        ("opium", "2", "kg", "2 kilograms"),
    ),
    "tr": (
        ("heroin", "100", "kg", "100 kg"),
        ("marijuana", "829", "kg", "829 kg"),
        ("amphetamines", "100000", "tablets", "100,000 tablets"),
        ("opium", "1.3", "kg", "1,3 kilograms"),
    ),
    "hr": (
        ("hashish", "5", "kg", "5 kilograms"),
        ("cocaine", "500", "g", "500 gr"),
        ("toluol", "74", "t", "74 metric tons"),
    ),
}
_SAFE_HEAVEN_2004: Final[dict[str, tuple[_Seized, ...]]] = {
    "ro": (("heroin", "12.1", "kg", "12,1 kg"), ("hashish", "2", "g", "2 gr"), ("marijuana", "1", "g", "1 gr")),
    "bg": (("heroin", "6.5", "kg", "6,5 kg"), ("cocaine", "20", "kg", "20 kg"), ("pseudoephedrine", "2", "kg", "2 kg")),
    "tr": (("herbal-cannabis", "20", "g", "20 gr"), ("hashish", "1.4", "g", "1.4 gr")),
    "hr": (
        ("cocaine", "5.2", "kg", "5.2 kg"),
        ("marijuana", "0.7", "g", "0.7 gr"),
        ("herbal-cannabis", "12", "g", "12 gr"),
        ("pseudoephedrine", "1", "kg", "1 kg"),
    ),
}
# One message each: who, which agency, on which day, what.
_CONTAINMENT_2003: Final[tuple[tuple[str, str, str, _Seized], ...]] = (
    ("ro", "police", "2003-10-14", ("heroin", "100", "kg", "100 kg")),
    ("bg", "customs", "2003-10-15", ("heroin", "24", "kg", "24 kg")),
    ("ro", "police", "2003-10-14", ("marijuana", "100", "kg", "100 kg")),
    ("bg", "police", "2003-10-15", ("marijuana", "88.9", "kg", "88.9 kg")),
    ("tr", "police", "2003-10-16", ("amphetamines", "40", "kg", "40 kg")),
    ("hr", "customs", "2003-10-16", ("amphetamines", "23", "kg", "23 kg")),
    ("ro", "customs", "2003-10-17", ("cocaine", "0.4", "kg", "0.4 kg")),
    ("hr", "police", "2003-10-17", ("cocaine", "0.2", "kg", "0.2 kg")),
    ("tr", "customs", "2003-10-18", ("opium", "10", "kg", "10 kg")),
    ("tr", "police", "2003-10-19", ("opium", "8", "kg", "8 kg")),
    ("bg", "customs", "2003-10-20", ("mdma", "4838", "tablets", "4,838 tablets")),
    ("hr", "customs", "2003-10-20", ("mdma", "2000", "tablets", "2,000 tablets")),
    ("ro", "customs", "2003-10-21", ("sedatives", "1000", "ampoules", "1,000 ampoules")),
    ("bg", "customs", "2003-10-21", ("sedatives", "800", "ampoules", "800 ampoules")),
    ("hr", "customs", "2003-10-22", ("steroids", "2000", "dosages", "2,000 dosages")),
    ("tr", "customs", "2003-10-22", ("steroids", "566", "dosages", "566 dosages")),
    # The seizure of bg customs, as its police report it: counted once.
    ("bg", "police", "2003-10-15", ("heroin", "24000", "g", "24000 gr")),
)
# Alerts of each task force besides all of the above.
OTHERS: Final = {2003: {}, 2004: {}}
