"""What the hub has on record: whether what was measured is the work that it should have been."""

import time
from dataclasses import dataclass
from typing import Final

from bench.place import BenchFailed, Place

LOOK_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Recorded:
    """How many messages the hub has accepted, and how many it has refused, could not read or holds."""

    accepted: int
    amiss: int


def recorded(place: Place) -> Recorded:
    """As it is now."""
    counts = (
        "select (select count(*) from message), (select count(*) from refusal)"
        " + (select count(*) from quarantine) + (select count(*) from held)"
    )
    accepted, amiss = place.exchange.services.postgres.run_sql(counts).split("|")
    return Recorded(int(accepted), int(amiss))


def await_recorded(place: Place, before: Recorded, messages: int, seconds: float) -> None:
    """Until so many more are on record, or so long: a queue is empty before what the hub took from it is recorded."""
    until = time.monotonic() + seconds
    while recorded(place).accepted < before.accepted + messages and time.monotonic() < until:
        time.sleep(LOOK_S)


def check_recorded(before: Recorded, after: Recorded, messages: int) -> None:
    """Raises BenchFailed unless exactly so many messages were accepted in between, and nothing else."""
    if after != Recorded(before.accepted + messages, before.amiss):
        raise BenchFailed(f"the hub has {after} on record, and before {messages} messages had {before}")
