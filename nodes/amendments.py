"""Which messages correct or withdraw which, and what of it holds: kept beside outbox and inbox, told with each message.

What amends is known by what its body names, which is closed on the disk: so it is written down when a message is sealed
or comes. What follows from it, `schemas.amended` decides, for this and for the Centre's tables alike.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from sqlalchemy import delete, select, text
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import Connection

from nodes import store
from nodes.errors import MessageUnknown, RoutingRefused
from nodes.outgoing import Earlier, Outgoing
from nodes.prepared import Prepared
from nodes.times import iso
from schemas.amended import AMENDING, CORRECTION, WITHDRAWAL, Effects, Said, about, carries, effects
from schemas.header import Header

# Of what amends one message so many are told, and the one that holds: a sender may send any number.
MOST_TOLD: Final = 50
# SQLite takes some thousands of values in one statement.
_CHUNK: Final = 500
# In one statement, for a chain may be long. Only who has the message can be told that it was wrong: what reached
# nobody, or was declined here, amends nothing.
_AROUND: Final = text(
    """
    WITH RECURSIVE near(id) AS (
        SELECT value FROM json_each(:ids)
        UNION
        SELECT CASE WHEN one.id = near.id THEN one.about ELSE one.id END
        FROM near JOIN amendment AS one ON one.about = near.id OR one.id = near.id
        WHERE one.about IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.id = one.id AND state IN ('refused', 'expired'))
    )
    SELECT amendment.* FROM near JOIN amendment ON amendment.id = near.id
    WHERE NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.id = amendment.id AND state IN ('refused', 'expired'))
    """
)

_INSERT: Final = Prepared(
    insert(store.amendment).on_conflict_do_nothing(), "sender", "id", "kind", "created", "about", "carries"
)


def said_in(header: Header, body: Mapping[str, Any]) -> Said | None:
    """What a message's body says of an earlier one; None if it is of a kind that amends nothing."""
    if header.kind not in AMENDING:
        return None
    return Said(str(header.id), header.sender, header.kind, header.created, about(body), carries(body))


def keep(connection: Connection, said: Said) -> None:
    """Writes down what a message amends, in the transaction that stores it."""
    _INSERT.change(
        connection,
        sender=said.sender,
        id=said.id,
        kind=said.kind,
        created=said.created,
        about=said.about,
        carries=said.carries,
    )


def unread(connection: Connection) -> list[str]:
    """The ids of what a version of this program stored that did not write down what each is about."""
    return list(connection.execute(select(store.amendment.c.id).where(store.amendment.c.about.is_(None))).scalars())


def read_older(connection: Connection, read: Iterable[tuple[Header, Mapping[str, Any]]]) -> None:
    """Takes in the headers and bodies of what `unread` named."""
    connection.execute(delete(store.amendment).where(store.amendment.c.about.is_(None)))
    for header, body in read:
        if (said := said_in(header, body)) is not None:
            keep(connection, said)


def tell(connection: Connection, messages: Sequence[dict[str, Any]]) -> None:
    """Adds to messages, as the API has them, how each stands, by what it was amended, and what it amends itself."""
    # Most nodes' pages have none: then this is all.
    amending = around(connection, [message["id"] for message in messages])
    known = amending | _others(connection, {one.about for one in amending.values()} - amending.keys())
    found = effects(known.values())
    by: dict[str, list[Said]] = {}
    for one in sorted(amending.values(), key=lambda one: (one.created, one.id)):
        by.setdefault(one.about, []).append(one)
    for message in messages:
        id = message["id"]
        holds = known.get(found.holds.get(id, ""))
        message["standing"] = "as_sent" if holds is None else "withdrawn" if holds.kind == WITHDRAWAL else "corrected"
        chain = list(islice(_chain(id, by), MOST_TOLD))
        if holds is not None and holds not in chain:
            chain.append(holds)
        if chain:
            message["amended_by"] = [_told(one, found) for one in chain]
        if id in amending:
            message["amends"] = _amends(amending[id], known.get(amending[id].about), found)


def _chain(id: str, by: Mapping[str, Sequence[Said]]) -> Iterator[Said]:
    """What amends a message, and what amends that, the oldest first of each."""
    seen, level = {id}, [id]
    while level:
        found = [one for named in level for one in by.get(named, ()) if one.id not in seen]
        seen.update(one.id for one in found)
        yield from found
        level = [one.id for one in found]


def _told(one: Said, found: Effects) -> dict[str, Any]:
    told = {"id": one.id, "kind": one.kind, "sender": one.sender, "created": iso(one.created), "message": one.about}
    return told | _holds(one, found)


def _amends(one: Said, earlier: Said | None, found: Effects) -> dict[str, Any]:
    told: dict[str, Any] = {"message": one.about}
    if earlier is not None:
        told |= {"kind": earlier.kind, "sender": earlier.sender, "created": iso(earlier.created)}
    return told | _holds(one, found)


def _holds(one: Said, found: Effects) -> dict[str, Any]:
    why = found.void.get(one.id)
    return {"holds": True} if why is None else {"holds": False, "why": str(why)}


def around(connection: Connection, ids: Collection[str]) -> dict[str, Said]:
    """All corrections and withdrawals that bear on these messages, or on which they bear, however far off."""
    rows = connection.execute(_AROUND, {"ids": json.dumps(sorted(ids))})
    return {row.id: Said(row.id, row.sender, row.kind, row.created, row.about or "", row.carries) for row in rows}


def _others(connection: Connection, ids: Collection[str]) -> dict[str, Said]:
    """Messages that amend nothing, by id, as far as they are in the outbox or inbox."""
    found: dict[str, Said] = {}
    for chunk in _chunks(ids):
        received, sent = store.inbox.c, store.outbox.c
        taken = received.id.in_(chunk) & (received.outcome == "delivered")
        for query in (select(received.header).where(taken), select(sent.header).where(sent.id.in_(chunk))):
            for header in map(Header.from_bytes, connection.execute(query).scalars()):
                found[str(header.id)] = Said(str(header.id), header.sender, header.kind, header.created)
    return found


def _chunks(ids: Collection[str]) -> Iterator[list[str]]:
    listed = sorted(ids)
    yield from (listed[begin : begin + _CHUNK] for begin in range(0, len(listed), _CHUNK))


@dataclass(frozen=True, slots=True)
class _Sent:
    header: Header
    state: str


def earlier(connection: Connection, message: Outgoing, body: bytes) -> Earlier | None:
    """The message of ours that a correction or withdrawal is about; None for all other kinds.

    Raises MessageUnknown if it was not sent from here, and RoutingRefused if it cannot be amended so.
    """
    if message.kind not in AMENDING:
        return None
    content = json.loads(body)
    id = about(content)
    sent = _sent(connection, id)
    word = "corrected" if message.kind == CORRECTION else "withdrawn"
    if sent.state == "refused":
        detail = f"message {id} was refused, and reached nobody"
        raise RoutingRefused("amended_was_refused", detail, "send it anew, as it should be")
    if sent.header.kind == WITHDRAWAL:
        detail = f"message {id} is a withdrawal, and cannot be {word}: its readers may have erased what it took back"
        raise RoutingRefused("withdrawal_final", detail, "send the message that it took back anew")
    family = around(connection, [id])
    root = sent
    while root.header.kind == CORRECTION and str(root.header.id) in family:
        root = _sent(connection, family[str(root.header.id)].about)
    for one in (sent, root):
        _check_stands(one, family)
    if message.kind == CORRECTION and carries(content) != root.header.kind:
        detail = f"message {root.header.id} is of kind {root.header.kind}, and its correction of {carries(content)}"
        raise RoutingRefused("amended_kind_differs", detail, f"give content of kind {root.header.kind}, or withdraw it")
    header = sent.header
    return Earlier(header.thread, header.task_force, header.recipients, header.handling)


def _sent(connection: Connection, id: str) -> _Sent:
    table = store.outbox.c
    row = connection.execute(select(table.header, table.state).where(table.id == id)).first()
    if row is not None:
        return _Sent(Header.from_bytes(row.header), row.state)
    received = connection.scalar(select(store.inbox.c.sender).where(store.inbox.c.id == id))
    if received is not None:
        detail = f"message {id} is of {received}, and only its sender can correct or withdraw it"
        raise RoutingRefused("amended_is_anothers", detail, f"ask {received} to do so")
    step = "name one of those sent, see `seci-node status`: only these can be corrected or withdrawn"
    raise MessageUnknown(f"no message {id} was sent from here", step)


def _check_stands(sent: _Sent, family: Mapping[str, Said]) -> None:
    id = str(sent.header.id)
    for one in family.values():
        if one.kind == WITHDRAWAL and one.about == id and one.sender == sent.header.sender:
            detail = f"message {id} was withdrawn by {one.id}"
            raise RoutingRefused("amended_was_withdrawn", detail, "send it anew, if it is true after all")


def untold(message: Outgoing, before: Earlier | None, recipients: Collection[str]) -> list[str]:
    """A warning where some who got the earlier message do not get what amends it."""
    left = sorted(set(before.recipients) - set(recipients)) if before is not None else []
    if not left:
        return []
    return [f"{', '.join(left)} had the earlier message too, and will not be told of the {message.kind}"]
