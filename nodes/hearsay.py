"""What the others' signed words say of rosters: of one that the hub has not shown this node, or of another one.

Whoever signs a message or an acknowledgement says in it by which roster he goes: its version, and the digest of what
the hub signed. The hub cannot take that out or alter it. Two things are told of it, and stop no messages:

roster_withheld  somebody has gone for a quarter of an hour by a newer version than the hub has shown this node
roster_disputed  somebody goes, or went, by another roster of a version that this node has

It is that node's word against the hub's: either the hub deceives one of the two, or that node says what is not so.
Whom the hub lets speak to nobody else hears nothing; and a roster without successor is in force for ever.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, Table, Text, bindparam, delete, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import Connection

from crypto.log import log
from nodes import histories, rosters, store
from nodes.prepared import Prepared
from nodes.times import iso
from schemas.header import RosterReference

WITHHELD: Final = "roster_withheld"
DISPUTED: Final = "roster_disputed"
# For so long it is told after it was heard last.
TOLD_MS: Final = 7 * 24 * 3600 * 1000
_HEARD: Final = Table(
    "hearsay",
    store.roster.metadata,
    Column("node", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("digest", LargeBinary, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    # The code under which it was logged, once it was.
    Column("told", Text),
)
_OURS: Final = Prepared(select(store.roster.c.signed).where(store.roster.c.version == bindparam("version")))


def hear(
    connection: Connection, node: str, said: RosterReference | None, ours: RosterReference | None, now: int
) -> None:
    """Takes in by which roster a node goes; `ours` is the one in force. Programs that know of no such field say none.

    Of a node that is ahead one version is kept at a time: the first that was heard and is not here yet.
    """
    if said is None or said == ours or ours is None:
        return
    signed = _signed(connection, said.version)
    if signed is None:
        ahead = said.version > ours.version and not _is_ahead(connection, node, now)
        if not ahead:
            return
    elif _agrees(connection, said.version, said.digest, signed):
        return
    row = {"node": node, "version": said.version, "digest": said.digest, "since": now, "last": now}
    kept = insert(_HEARD).values(row)
    connection.execute(kept.on_conflict_do_update(index_elements=["node", "version"], set_={"last": now}))


def _is_ahead(connection: Connection, node: str, now: int) -> bool:
    """Whether a version that is not here was heard of this node before; if so, it was heard again now."""
    unknown = (_HEARD.c.node == node) & _HEARD.c.version.not_in(select(store.roster.c.version))
    # Of a history that an operator has let go.
    forgiven = histories.forgiven_until(connection)
    connection.execute(delete(_HEARD).where(unknown, _HEARD.c.since <= forgiven))
    return bool(connection.execute(update(_HEARD).where(unknown).values(last=now)).rowcount)


def _signed(connection: Connection, version: int) -> bytes | None:
    row = _OURS.first(connection, version=version)
    return None if row is None else row[0]


def _agrees(connection: Connection, version: int, digest: bytes, signed: bytes) -> bool:
    return hashlib.sha256(signed).digest() == digest or rosters.is_let_go(connection, version)


def settle(connection: Connection) -> None:
    """A newer roster is in force: forgets what was heard of it, if it is the same one."""
    for row in connection.execute(select(_HEARD)).all():
        signed = _signed(connection, row.version)
        if signed is not None and _agrees(connection, row.version, row.digest, signed):
            this = (_HEARD.c.node == row.node) & (_HEARD.c.version == row.version)
            connection.execute(delete(_HEARD).where(this))


def known(connection: Connection, now: int, *, unread: bool = False) -> list[dict[str, Any]]:
    """What a person is to know, by version and node.

    Nothing is withheld while this node takes no rosters: it does not trust the hub, or, `unread`, cannot read one.
    """
    forgiven = histories.forgiven_until(connection)
    takes_none = unread or histories.undecided(connection) is not None
    query = select(_HEARD).where(_HEARD.c.last > max(now - TOLD_MS, forgiven))
    found = []
    for row in connection.execute(query.order_by(_HEARD.c.version, _HEARD.c.node)).all():
        signed = _signed(connection, row.version)
        if signed is None and (takes_none or row.since >= now - histories.WITHHELD_MS):
            continue
        if signed is not None and _agrees(connection, row.version, row.digest, signed):
            # It came since, and waits to be in force.
            continue
        ours = None if signed is None else hashlib.sha256(signed).hexdigest()
        said = {"code": WITHHELD if signed is None else DISPUTED, "node": row.node, "version": row.version}
        found.append({**said, "since": iso(row.since), "digest": row.digest.hex(), "ours": ours})
    return found


def tell(connection: Connection, now: int, *, unread: bool = False) -> None:
    """Logs what is to be known and was not logged yet."""
    if connection.scalar(select(_HEARD.c.node).limit(1)) is None:
        return
    for item in known(connection, now, unread=unread):
        this = (_HEARD.c.node == item["node"]) & (_HEARD.c.version == item["version"])
        new = update(_HEARD).where(this, _HEARD.c.told.is_distinct_from(item["code"])).values(told=item["code"])
        if connection.execute(new).rowcount:
            log.error(item["code"], node=item["node"], version=item["version"], digest=item["digest"])


def warnings(found: Sequence[dict[str, Any]]) -> list[str]:
    """The same in words, for `status` and monitors."""
    return [_words(item) for item in found]


def _words(item: dict[str, Any]) -> str:
    node, version, digest = item["node"], item["version"], item["digest"][:16]
    if item["code"] == WITHHELD:
        return (
            f"{node} goes by version {version} of the roster, which the hub has not shown this node since "
            f"{item['since']}: until it comes, who may read what you send is not known here; telephone {node} and the "
            f"hub's operators [{WITHHELD}]"
        )
    return (
        f"{node} went by another version {version} of the roster than this node has: the hub has shown you two, or "
        f"{node} says what is not so; telephone {node}, compare digests ({digest}, here {item['ours'][:16]}), and "
        f"send {node} nothing secret meanwhile [{DISPUTED}]"
    )
