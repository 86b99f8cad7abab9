"""What `make replay` sends: the operations' plans and reports, and how many other exchanges each task force had.

The Centre's document has sums only. Which country and agency reported which part of them is invented here; nothing
of the document's own tables is read. Some seizures are reported by police and customs, some wrongly: these are put
right or taken back, as people do.
"""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, Final

SENDERS: Final = ("ro", "bg", "tr", "hr")
CENTRE: Final = "seci"
ALL: Final = (*SENDERS, CENTRE)


@dataclass(frozen=True, slots=True)
class Post:
    """A message of the replay: the year in which it is sent, who sends it, and the request to the node's API.

    `mends` is the message that it corrects or takes back: its id comes into the body when it is known.
    """

    year: int
    sender: str
    request: dict[str, Any]
    mends: "Post | None" = None


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
    # The same, as the police of bg report it: to be counted once.
    ("bg", "police", "2003-10-15", ("heroin", "24000", "g", "24000 gr")),
    ("ro", "police", "2003-10-14", ("marijuana", "100", "kg", "100 kg")),
    ("bg", "police", "2003-10-15", ("marijuana", "88.9", "kg", "88.9 kg")),
    ("tr", "police", "2003-10-16", ("amphetamines", "40", "kg", "40 kg")),
    ("hr", "customs", "2003-10-16", ("amphetamines", "23", "kg", "23 kg")),
    ("hr", "police", "2003-10-17", ("cocaine", "0.2", "kg", "0.2 kg")),
    ("tr", "customs", "2003-10-18", ("opium", "10", "kg", "10 kg")),
    ("tr", "police", "2003-10-19", ("opium", "8", "kg", "8 kg")),
    ("bg", "customs", "2003-10-20", ("mdma", "4838", "tablets", "4,838 tablets")),
    ("hr", "customs", "2003-10-20", ("mdma", "2000", "tablets", "2,000 tablets")),
    ("ro", "customs", "2003-10-21", ("sedatives", "1000", "ampoules", "1,000 ampoules")),
    ("bg", "customs", "2003-10-21", ("sedatives", "800", "ampoules", "800 ampoules")),
    ("hr", "customs", "2003-10-22", ("steroids", "2000", "dosages", "2,000 dosages")),
    ("tr", "customs", "2003-10-22", ("steroids", "566", "dosages", "566 dosages")),
)
_SUBSTANCES_2002: Final = ("heroin", "marijuana", "amphetamines", "hashish", "cocaine", "opium", "toluol")
_SUBSTANCES_2003: Final = ("heroin", "marijuana", "amphetamines", "cocaine", "opium", "mdma", "sedatives", "steroids")
_SUBSTANCES_2004: Final = ("heroin", "cocaine", "hashish", "marijuana", "herbal-cannabis", "pseudoephedrine")
# How many other messages of each task force there were, besides all of the above and what mends it.
_OTHERS: Final = {
    2003: {
        "trafficking": 132,
        "drugs": 23,
        "fraud": 134,
        "financial": 16,
        "vehicles": 17,
        "terrorist-groups": 1,
        "salw": 5,
        "other": 79,
    },
    2004: {
        "trafficking": 137,
        "drugs": 42,
        "fraud": 146,
        "financial": 31,
        "vehicles": 36,
        "terrorism": 10,
        "terrorist-groups": 6,
        "salw": 5,
        "wmd": 1,
        "other": 89,
    },
}


@dataclass(frozen=True, slots=True)
class _Operation:
    name: str
    year: int
    task_force: str
    begins: str
    ends: str

    @property
    def said(self) -> dict[str, Any]:
        """What every body says of it."""
        return {"name": self.name, "year": self.year, "begins": self.begins, "ends": self.ends}

    def post(self, sender: str, kind: str, body: dict[str, Any], agency: str = "police") -> Post:
        """A message of this operation, to the Centre; a plan goes to all."""
        request = {"kind": kind, "task_force": self.task_force, "operation": f"{self.name} {self.year}", "body": body}
        if kind != "operation.plan":
            request |= {"to": [CENTRE], "agency": agency}
        return Post(self.year, sender, request)

    def plan(self, **wanted: tuple[str, ...]) -> Post:
        """The Centre's plan, with what is to be reported."""
        takes_part = {"countries": [sender.upper() for sender in SENDERS], "agencies": ["police", "customs"]}
        return self.post(CENTRE, "operation.plan", self.said | takes_part | {"objective": self.name} | wanted)

    def reports(self, reported: Mapping[str, dict[str, Any]]) -> list[Post]:
        """A report of the police of each country."""
        return [
            self.post(sender, "operation.report", self.said | {"country": sender.upper(), "agency": "police"} | reached)
            for sender, reached in reported.items()
        ]

    def seizure(self, sender: str, agency: str, day: str, seized: dict[str, str]) -> Post:
        """A message of its own for one seizure."""
        body = {"seized_on": day, "country": sender.upper(), "seizures": [seized]}
        return self.post(sender, "drugs.seizure", body, agency)


_REFERENCE: Final = "BG-12/2004"
_CONTAINMENT: Final = (
    _Operation("CONTAINMENT", 2002, "drugs", "2002-09-02", "2002-09-27"),
    _Operation("CONTAINMENT", 2003, "drugs", "2003-10-13", "2003-10-24"),
)
_MIRAGE: Final = (
    _Operation("MIRAGE", 2003, "trafficking", "2003-09-01", "2003-09-10"),
    _Operation("MIRAGE", 2004, "trafficking", "2004-05-17", "2004-05-26"),
)
_ROAD_SHOW: Final = _Operation("ROAD SHOW", 2003, "vehicles", "2003-10-06", "2003-10-17")
_SAFE_HEAVEN: Final = _Operation("SAFE HEAVEN", 2004, "drugs", "2004-03-01", "2004-03-19")


def posts() -> list[Post]:
    """What operations have sent, in its order: what mends a message comes behind it."""
    heaven = {sender: _seized(*seized) for sender, seized in _SAFE_HEAVEN_2004.items()}
    heaven["bg"]["seizures"][0]["reference"] = _REFERENCE
    return [
        _CONTAINMENT[0].plan(substances=_SUBSTANCES_2002),
        *_CONTAINMENT[0].reports({sender: _seized(*seized) for sender, seized in _CONTAINMENT_2002.items()}),
        _MIRAGE[0].plan(indicators=tuple(_MIRAGE_2003)),
        *_MIRAGE[0].reports(_counts(_MIRAGE_2003)),
        _ROAD_SHOW.plan(indicators=(*_ROAD_SHOW_2003, "vehicles-value")),
        *_ROAD_SHOW.reports(_with_values(_counts(_ROAD_SHOW_2003))),
        _CONTAINMENT[1].plan(substances=_SUBSTANCES_2003),
        *(
            _CONTAINMENT[1].seizure(sender, agency, day, _one(*seized))
            for sender, agency, day, seized in _CONTAINMENT_2003
        ),
        *_mended_seizures(_CONTAINMENT[1]),
        _MIRAGE[1].plan(indicators=tuple(_MIRAGE_2004)),
        *_mended_report(_MIRAGE[1].reports(_counts(_MIRAGE_2004))),
        _SAFE_HEAVEN.plan(substances=_SUBSTANCES_2004),
        *_SAFE_HEAVEN.reports(heaven),
        # The heroin that the police of bg have reported under this reference; customs have weighed it otherwise.
        _SAFE_HEAVEN.seizure(
            "bg", "customs", "2004-03-02", _one("heroin", "6.4", "kg", "6,4 kg") | {"reference": _REFERENCE}
        ),
    ]


def others() -> Iterator[Post]:
    """All other exchanges: alerts, each from one country to the next."""
    for year, numbers in _OTHERS.items():
        for task_force, count in numbers.items():
            for number in range(count):
                sender, recipient = (SENDERS[(number + step) % len(SENDERS)] for step in (0, 1))
                body = {"title": f"Exchange {number + 1} of {year}", "text": "One of those that page 8 counts."}
                yield Post(year, sender, {"kind": "alert", "task_force": task_force, "to": [recipient], "body": body})


def _mended_seizures(operation: _Operation) -> Iterator[Post]:
    """Cocaine that was a tenth of what was said first, and opium that was none."""
    wrong = operation.seizure("ro", "customs", "2003-10-17", _one("cocaine", "4", "kg", "4 kg"))
    right = operation.seizure("ro", "customs", "2003-10-17", _one("cocaine", "0.4", "kg", "0.4 kg"))
    yield wrong
    yield _correction(wrong, right)
    none = operation.seizure("tr", "police", "2003-10-20", _one("opium", "50", "kg", "50 kg"))
    yield none
    body = {"reason": "wrong", "text": "The laboratory has found no opium in it."}
    yield replace(none, request={**none.request, "kind": "withdrawal", "body": body}, mends=none)


def _mended_report(reports: list[Post]) -> Iterator[Post]:
    """These reports; the second has a thousand victims too many at first."""
    first, right, *rest = reports
    wrong = deepcopy(right)
    wrong.request["body"]["results"][2]["count"] += 1000
    yield from (first, wrong, *rest, _correction(wrong, right))


def _correction(wrong: Post, right: Post) -> Post:
    content = {"kind": right.request["kind"], "kind_version": 1, "body": right.request["body"]}
    body = {"content": content, "text": "A slip of the pen."}
    return replace(wrong, request={**wrong.request, "kind": "correction", "body": body}, mends=wrong)


def _one(substance: str, quantity: str, unit: str, stated: str) -> dict[str, str]:
    return {"substance": substance, "quantity": quantity, "unit": unit, "stated": stated}


def _seized(*seizures: _Seized) -> dict[str, Any]:
    return {"seizures": [_one(*seizure) for seizure in seizures]}


def _counts(figures: Mapping[str, tuple[int, ...]]) -> dict[str, dict[str, Any]]:
    """What each sender reports of these indicators."""
    return {
        sender: {"results": [{"indicator": name, "count": counts[place]} for name, counts in figures.items()]}
        for place, sender in enumerate(SENDERS)
    }


def _with_values(reported: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    for reached, stated in zip(reported.values(), _ROAD_SHOW_VALUES, strict=True):
        amount = {"value": stated.replace(",", "."), "currency": "EUR", "stated": stated}
        reached["results"].append({"indicator": "vehicles-value", "amount": amount})
    return reported
