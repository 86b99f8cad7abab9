"""Rosters as they reach nodes: signed by the hub, and each with the proof that it is an entry of the ledger.

So each roster that a node is shown is in the history that all of them follow, for an auditor to see. That there is no
other one of its version in it is not proven by that: only who reads all entries knows.
"""

import hashlib
from dataclasses import dataclass

from crypto.errors import RosterUnlogged
from crypto.hubkeys import LedgerKeys
from crypto.note import Checkpoint
from crypto.receipt import verify_receipts
from crypto.trust import RosterKeys, open_roster
from schemas.control import Event, Receipts
from schemas.roster import Roster, RosterNews


@dataclass(frozen=True, slots=True)
class Logged:
    """A roster, the place of its entry, and the checkpoint of the ledger that it is proven under."""

    roster: Roster
    index: int
    checkpoint: Checkpoint


def open_news(news: RosterNews, hub: RosterKeys, origin: str, ledger: LedgerKeys) -> Logged:
    """The roster of that news, proven. Raises as `open_roster` and `verify_receipts`; RosterUnlogged."""
    roster = open_roster(news.roster, hub)
    [proven] = verify_receipts(Receipts(checkpoint=news.checkpoint, receipts=(news.receipt,)), origin, ledger)
    said = proven.entry.event, proven.entry.evidence, proven.entry.detail
    if said != (Event.ROSTER, hashlib.sha256(news.roster).digest(), detail_of(roster.version)):
        raise RosterUnlogged(f"entry {proven.index} is not that of roster version {roster.version}")
    return Logged(roster, proven.index, proven.checkpoint)


def detail_of(version: int) -> str:
    """What the entry of a roster says of it beside its digest."""
    return f"version {version}"
