"""Whether this node's clock is right, judged by the hub's: what the hub signs bears the hub's time.

A receipt dated before its message was sent shows a clock that is ahead; anything dated in the future, one
that is behind. What agrees with the hub's clock within `TOLERANCE_MS` is right.
"""

from typing import Final

from sqlalchemy import select
from sqlalchemy.engine import Connection

from nodes import store

TOLERANCE_MS: Final = 60_000
NEXT_STEP: Final = "set the clock (NTP); if it is right, tell the hub's operators"


def milliseconds_ahead(connection: Connection, roster_at: int, now: int) -> int:
    """By how much the clock is wrong at least, negative if it is behind; 0 if nothing shows that it is."""
    table = store.outbox.c
    query = select(table.sent_at, table.settled_at).where(table.receipt.is_not(None), table.sent_at.is_not(None))
    newest = connection.execute(query.order_by(table.seq.desc()).limit(1)).first()
    behind = max(roster_at, newest.settled_at if newest else 0) - now
    if behind > TOLERANCE_MS:
        return -behind
    # What was sent later than now was sent by a clock that has been set back since.
    ahead = newest.sent_at - newest.settled_at if newest and newest.sent_at <= now else 0
    return ahead if ahead > TOLERANCE_MS else 0


def describe(ahead: int) -> str:
    """The fault in words, for people."""
    return f"this node's clock is at least {abs(ahead) // 1000} s {'ahead of' if ahead > 0 else 'behind'} the hub's"
