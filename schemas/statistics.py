"""The statistical fields of page 8, in the order and under the names printed there, and what is counted under each."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class StatisticalField:
    """A row of the Center's table of exchanges; `task_forces` are the codes of those whose exchanges it counts."""

    code: str
    name: str
    task_forces: tuple[str, ...]


# What is exchanged in a task force that has no field counts here, too.
OTHER: Final = StatisticalField("other", "Other", ("other",))
FIELDS: Final = (
    StatisticalField("trafficking", "Trafficking in Human Beings", ("trafficking",)),
    StatisticalField("drugs", "Anti-Drug", ("drugs",)),
    StatisticalField("fraud", "Anti-Fraud and Anti-Smuggling", ("fraud",)),
    StatisticalField("financial", "Financial and Computer Crime", ("financial",)),
    StatisticalField("vehicles", "Stolen Vehicles", ("vehicles",)),
    StatisticalField("terrorism", "Anti-Terrorism", ("terrorism", "terrorist-groups")),
    StatisticalField("salw", "Small Arms and Light Weapons", ("salw",)),
    StatisticalField("wmd", "Weapons of Mass Destruction", ("wmd",)),
    OTHER,
)


def field_of(task_force: str | None) -> StatisticalField:
    """The field that an exchange in this task force counts under; OTHER for an unknown one and for none."""
    return next((field for field in FIELDS if task_force in field.task_forces), OTHER)
