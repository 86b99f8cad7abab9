"""What the hub let through although the roster's rules refuse it: declined here, and told to this node's people."""

from typing import Any, Final

from sqlalchemy import BigInteger, Column, Integer, Table, Text, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import Connection

from crypto.log import log
from nodes import store
from nodes.times import iso
from schemas.header import Header
from schemas.refusals import RefusalCode

# For so long a person is told.
TOLD_MS: Final = 7 * 24 * 3600 * 1000
_BREACH: Final = Table(
    "breach",
    store.metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("sender", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
)


def keep(connection: Connection, header: Header, code: RefusalCode, now: int) -> None:
    """Remembers a message that should not have come."""
    row = {"id": str(header.id), "sender": header.sender, "code": str(code), "at": now}
    connection.execute(insert(_BREACH).values(row).on_conflict_do_nothing())
    log.error("hub_let_through", message=row["id"], sender=header.sender, code=row["code"])


def recent(connection: Connection, now: int) -> list[dict[str, Any]]:
    """Those of the last days, newest first."""
    rows = connection.execute(select(_BREACH).where(_BREACH.c.at > now - TOLD_MS).order_by(_BREACH.c.seq.desc()))
    return [{"id": row.id, "sender": row.sender, "code": row.code, "at": iso(row.at)} for row in rows]


def warnings(found: list[dict[str, Any]]) -> list[str]:
    """What a person should know of them."""
    if not found:
        return []
    newest = found[0]
    told = f"the newest {newest['id']} of {newest['sender']}, {newest['code']}"
    return [f"the hub let through {len(found)} messages that the roster's rules refuse ({told}): tell its operators"]
