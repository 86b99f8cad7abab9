"""The hub in Bucharest: takes in, judges, records, dispatches. It never sees a message's content."""

from typing import Final

PROGRAM: Final = "seci-hub"
