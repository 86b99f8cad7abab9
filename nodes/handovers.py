"""The hub's signing key as this node goes by it: another one takes its place by a handover, and in no other way.

    hub -> the handover, signed by both keys, with the proof of its entry in a tree that both keys have signed
        -> it waits until that tree is linked to the history that this node follows, by the old key's signature
        -> from then on the new key is the hub's, and the old one is good for what is of its time

While it waits, what the new key has signed is put aside; without one, such a thing is an alarm. So is a second handover
by the same key, whichever comes first: one of the two is a thief's.
"""

import base64
from typing import Final

from sqlalchemy import func, insert, select, update
from sqlalchemy.engine import Connection

from crypto.errors import HandoverForked
from crypto.handover import open_handover, open_handover_news
from crypto.hubkeys import HubKeys
from crypto.keys import VerifyKey
from crypto.log import log
from crypto.note import Note, NoteVerifier
from nodes import histories, store
from nodes.histories import HubCaught, Standing
from schemas.handover import Handover, HandoverNews

# Put aside until a handover is in force.
WAITING: Final = "handover_waiting"
# Put aside for a moment, in which a handover may come that the broker has put behind it.
UNTOLD: Final = "hub_key_untold"
GRACE_MS: Final = 5_000
_TABLE: Final = store.handover.c


class HandoverWaits(Exception):
    """It is of a key that a handover which is not in force yet is to, or of one that is not known yet."""

    code = WAITING


def keys_of(connection: Connection, pinned: NoteVerifier) -> HubKeys:
    """The keys that the hub is believed by: the one that this node was given, and what handovers in force lead to."""
    return HubKeys.of(pinned, _known(connection, in_force=True))


def documents(connection: Connection) -> tuple[bytes, ...]:
    """The handovers in force, as both keys signed them, the oldest first."""
    query = select(_TABLE.news).where(_TABLE.in_force == 1).order_by(_TABLE.size)
    return tuple(HandoverNews.from_bytes(news).handover for news in connection.execute(query).scalars())


def coming(connection: Connection, pinned: NoteVerifier) -> frozenset[bytes]:
    """The ids of keys that handovers which wait are to, and the hashes by which notes name them."""
    known = {term.key for term in keys_of(connection, pinned).terms}
    found = {term.key for term in HubKeys.of(pinned, _known(connection)).terms} - known
    return frozenset(name for key in found for name in (key.key.key_id, key.key_hash))


def take_in(connection: Connection, pinned: NoteVerifier, body: bytes, now: int) -> None:
    """Keeps a handover until it can be in force. Raises ControlRefused and what `open_handover_news` does; HubCaught;
    HandoverWaits for one that leads from no key that is known here to another.
    """
    news = HandoverNews.from_bytes(body)
    found = open_handover_news(news, pinned.name)
    handover = found.handover
    known = {item.to_bytes() for item in _known(connection)}
    if handover.to_bytes() in known:
        return
    _compare(connection, handover, news)
    try:
        terms = HubKeys.of(pinned, [*_known(connection), handover]).terms
    except HandoverForked as error:
        raise _forked(connection, handover, news, str(error)) from error
    if handover.new not in {term.key.key.public_bytes() for term in terms[1:]}:
        raise HandoverWaits("the handover is of keys that are not known here")
    # By the word of the younger one, which is believed here already: what is older is known from now on.
    is_past = handover.new in {term.key.key.public_bytes() for term in keys_of(connection, pinned).terms}
    if not is_past:
        _check_before(connection, handover)
        histories.see(connection, found.checkpoint, news.checkpoint, Standing.CLAIMED, now)
    row = {"old": handover.old, "size": handover.size, "news": body, "at": now, "in_force": int(is_past)}
    connection.execute(insert(store.handover).values(row))
    log.warning("handover_heard", size=handover.size, waits=not is_past)


def bring_into_force(connection: Connection, pinned: NoteVerifier, now: HubKeys) -> HubKeys | None:
    """The hub's keys, if there are others by now than `now`. Raises HubCaught."""
    standing = select(store.checkpoint.c.standing).where(store.checkpoint.c.size == _TABLE.size + 1).scalar_subquery()
    query = select(_TABLE.old, _TABLE.news).where(_TABLE.in_force == 0, standing == int(Standing.LINKED))
    for row in connection.execute(query.order_by(_TABLE.size)).all():
        if row.old == keys_of(connection, pinned).newest.key.public_bytes():
            _check_before(connection, open_handover(HandoverNews.from_bytes(row.news).handover))
            connection.execute(update(store.handover).where(_TABLE.old == row.old).values(in_force=1))
    found = keys_of(connection, pinned)
    if found == now:
        return None
    log.warning("hub_key_handed_over", key=found.newest.key.key_id.hex())
    return found


def waiting(connection: Connection) -> tuple[int, ...]:
    """The sizes of the trees that handovers wait for the link to."""
    return tuple(connection.execute(select(_TABLE.size + 1).where(_TABLE.in_force == 0)).scalars())


def overdue(connection: Connection, now: int) -> int | None:
    """The entry of a handover that has waited for longer than it may, if there is one."""
    query = select(func.min(_TABLE.size)).where(_TABLE.in_force == 0, _TABLE.at < now - histories.WITHHELD_MS)
    found: int | None = connection.scalar(query)
    return found


def _known(connection: Connection, *, in_force: bool = False) -> list[Handover]:
    # Those of a store were opened when they came, and nobody else writes there; they are again all the same.
    query = select(_TABLE.news).where(_TABLE.in_force == 1) if in_force else select(_TABLE.news)
    return [open_handover(HandoverNews.from_bytes(news).handover) for news in connection.execute(query).scalars()]


def _compare(connection: Connection, handover: Handover, news: HandoverNews) -> None:
    """Raises HubCaught for a second handover by the same key."""
    if connection.scalar(select(_TABLE.news).where(_TABLE.old == handover.old)) is not None:
        raise _forked(connection, handover, news, "the hub's key has handed over twice")


def _forked(connection: Connection, handover: Handover, news: HandoverNews, words: str) -> HubCaught:
    first = connection.scalar(select(_TABLE.news).where(_TABLE.old == handover.old))
    both = [base64.b64encode(item).decode() for item in (first, news.to_bytes()) if item is not None]
    return HubCaught(histories.FORKED, words, news.checkpoint, *both)


def _check_before(connection: Connection, handover: Handover) -> None:
    """Raises HubCaught if the old key, whose rosters alone are believed yet, has signed more than the handover says."""
    checkpoint, old = store.checkpoint.c, NoteVerifier(handover.origin, VerifyKey.from_public_bytes(handover.old))
    notes = connection.execute(select(checkpoint.note).where(checkpoint.size > handover.size + 1)).scalars()
    # Not those of handovers that come behind this one.
    beyond = [note for note in notes if note and Note.parse(note).is_signed_by(old)]
    newest = connection.scalar(select(func.max(store.roster.c.version))) or 0
    if beyond or newest > handover.roster:
        words = f"the hub's key has signed more than it says when it hands over: more than {handover.size + 1} entries,"
        raise HubCaught(histories.FORKED, f"{words} or than version {handover.roster} of the roster", *beyond[:1])
