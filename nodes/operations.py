"""Which operation a message is of: asked of all that is sent, from the command line and by programs alike.

Tables of an operation have what was sent under its very name, so a name that no plan has is mistyped, as a rule.
"""

import json
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.engine import Connection

from nodes import amendments, inbox, store
from nodes.errors import RoutingRefused
from nodes.outgoing import Outgoing
from nodes.store import Store
from schemas import plans
from schemas.amended import AMENDING, Received, carries, standing
from schemas.header import NONCE_SIZE, Header
from schemas.registry import newest_body

# What reached nobody is no plan.
_LOST: Final = ("refused", "expired")


def named(message: Outgoing) -> str | None:
    """The operation that a valid message names and that a plan should have; None if none has to. Raises RoutingRefused.

    A plan makes its operation known, and `new_operation` says that the plan is still to come.
    """
    found = plans.named_by(message.kind, message.operation, message.body)
    if len(found) > 1:
        raise RoutingRefused(
            "operation_mismatch",
            f"the body is of {found[0]}, and `operation` says {found[1]}",
            "name the same operation in both, or leave `operation` out",
        )
    if not found or message.new_operation or plans.PLAN in (message.kind, carries(message.body)):
        return None
    return found[0]


def check(connection: Connection, box: Store, operation: str) -> list[str]:
    """A warning if no plan is here. Raises RoutingRefused if some are and none has this operation."""
    known = planned(connection, box)
    if not known:
        return [f"operation: no plan of any operation is here, so nobody has checked the name {operation!r}"]
    if operation not in known:
        raise RoutingRefused(
            "operation_unplanned",
            f"no plan that is here names {operation!r}: {_meant(operation, known)}",
            "correct the name, or if its plan is still to come, say new_operation (--new-operation)",
        )
    return []


def _meant(wanted: str, known: tuple[str, ...]) -> str:
    near = plans.near(wanted, known)
    return f"did you mean {' or '.join(near)}?" if near else f"plans are here of {', '.join(sorted(known))}"


def planned(connection: Connection, box: Store) -> tuple[str, ...]:
    """The operations of which this node has a plan that stands, its own among them."""
    found = {one.id: one for one in (*_sent(connection, box), *_received(connection, box))}
    bearing = amendments.around(connection, found)
    amending = (_read(connection, box, id) for id, one in bearing.items() if one.kind in AMENDING)
    messages = [*found.values(), *(one for one in amending if one is not None)]
    return tuple(plans.plans(standing(messages).standing).counted)


def _sent(connection: Connection, box: Store) -> list[Received]:
    table = store.outbox.c
    # Asked for its state too, SQLite would take the index of that, and read all that was ever accepted.
    query = select(table.id, table.state, table.header, table.body).where(store.SENT_PLAN).order_by(table.seq)
    rows = [row for row in connection.execute(query) if row.state not in _LOST]
    read = [_of(row.header, box.open_body(row.id, row.body)) for row in rows]
    return [one for one in read if one.kind == plans.PLAN]


def _received(connection: Connection, box: Store) -> list[Received]:
    rows = inbox.plans(connection)
    return [_of(row.header, (inbox.content_of(box, row) or b"")[NONCE_SIZE:]) for row in rows]


def _read(connection: Connection, box: Store, id: str) -> Received | None:
    table = store.outbox.c
    row = connection.execute(select(table.header, table.body, table.state).where(table.id == id)).first()
    if row is not None and row.state not in _LOST:
        return _of(row.header, box.open_body(id, row.body))
    came = inbox.read(connection, box, id)
    return None if came is None else _received_as(*came)


def _of(header: bytes, body: bytes) -> Received:
    return _received_as(Header.from_bytes(header), json.loads(body))


def _received_as(header: Header, body: dict[str, Any]) -> Received:
    # The rules know one version of each kind.
    newest = newest_body(header.kind, header.kind_version, body)
    about = (header.kind, header.operation, newest, header.task_force)
    return Received(str(header.id), header.sender, header.agency, *about, header.created)
