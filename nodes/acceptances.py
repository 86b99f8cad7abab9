"""That the hub had accepted others' messages, as its receipts prove: for those whose sender's key is revoked by now.

A thief of a key can write any time into what he signs; what he cannot do is to have it in the ledger before the key was
revoked there. So of a revoked key that counts which is proven to be an entry before the roster that revoked it.
"""

from typing import Final

from sqlalchemy import bindparam, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import Connection

from crypto.receipt import Proven
from crypto.trust import InTime, Trust
from nodes import store
from nodes.prepared import Prepared
from schemas.roster import RosterKey

_INSERT: Final = Prepared(insert(store.acceptance).on_conflict_do_nothing(), "envelope", "leaf_index", "at")
_KNOWN: Final = Prepared(
    select(store.acceptance.c.leaf_index, store.acceptance.c.at).where(
        store.acceptance.c.envelope == bindparam("envelope")
    )
)


def keep(connection: Connection, proven: Proven) -> None:
    """Takes in a proven entry that somebody's message was accepted."""
    entry = proven.entry
    _INSERT.change(connection, envelope=entry.envelope, leaf_index=proven.index, at=entry.at)


def in_time(connection: Connection, envelope: bytes, trust: Trust, node: str) -> InTime:
    """Whether the envelope of that digest, by that node, is proven to have been accepted before a key was revoked."""

    def before(key: RosterKey) -> bool:
        known = _KNOWN.first(connection, envelope=envelope)
        if known is None or key.revoked is None:
            return False
        index, at = known
        revoking = _revoking(connection, trust, node, key.kid)
        return at <= key.revoked and (revoking is None or index < revoking)

    return before


def _revoking(connection: Connection, trust: Trust, node: str, kid: bytes) -> int | None:
    """The place in the ledger of the first roster known here that has the key as revoked."""
    version = trust.roster.version
    for earlier in trust.earlier:
        if earlier.trust.revocation(node, kid) is None:
            break
        version = earlier.trust.roster.version
    place: int | None = connection.scalar(select(store.roster.c.leaf_index).where(store.roster.c.version == version))
    return place
