"""Rosters as they come: proven to be in the ledger, and in force in the order of their versions.

A roster waits until the checkpoint that it is proven under is linked to the history that this node follows: so it is
there for an auditor to see. In each one that comes, whichever is in force, the node looks at its own entry: a key there
that it did not make is an alarm, for whoever has it can read and sign in the node's name. So is a second roster of a
version. One that only other nodes are shown is seen by what those sign: `hearsay`.
"""

import base64
import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Select, func, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import Connection

from crypto.errors import CryptoError, HubKeyForeign, NoteInvalid, SignatureInvalid
from crypto.hubkeys import HubKeys, LedgerKeys
from crypto.keyfile import NodeKeys
from crypto.keys import key_id_of
from crypto.log import log
from crypto.rosternews import Logged, open_news
from crypto.trust import Earlier, RosterKeys, Trust, open_roster, signer_of_roster, trust_in, unverified_roster
from nodes import histories, notices, store
from nodes.histories import Followed, HubCaught, Standing
from schemas.roster import KeyUse, Roster, RosterKey, RosterNews

# For so long the hub is not asked again for what it answered with a roster that cannot be read.
FIRST_PAUSE_S: Final = 20.0
LONGEST_PAUSE_S: Final = 600.0
_ALL: Final = store.roster.alias()
_IN_FORCE: Final = select(func.max(_ALL.c.version)).where(_ALL.c.size.is_(None))
_STANDING: Final = store.checkpoint.c.standing


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads, with which keys; by whose key rosters are signed, and in which log they are entries."""

    node: str
    keys: NodeKeys
    hub: RosterKeys
    origin: str
    ledger: LedgerKeys

    def remember(self, connection: Connection, own: Iterable[bytes]) -> None:
        """Tells the store the ids of the keys that this node has.

        A store from before version 6 remembered none: `witness.key` may have been lost and made anew since the roster
        in force, so the witness keys there count as this node's, too.
        """
        signed = newest(connection)
        if signed is not None and connection.scalar(select(store.own_key.c.kid).limit(1)) is None:
            listed = _listed(open_roster(signed, self.hub), self.node)
            kids = {key_id_of(key.public) for key in listed if key.use is KeyUse.WITNESS}
            for kid in kids:
                connection.execute(insert(store.old_witness).values(kid=kid).on_conflict_do_nothing())
        remember_keys(connection, own)

    def take_in(self, connection: Connection, body: bytes, now: int) -> str | None:
        """Keeps a roster that is newer than the one in force until it can be in force, too.

        Returns the code of what is wrong with one that is proven and yet never will be: the next versions go on without
        it. Raises ControlRefused and what `open_news` does; HubCaught, also for what an older version shows.
        """
        news = RosterNews.from_bytes(body)
        logged = self._opened(news)
        self._compare(connection, logged.roster, news)
        if logged.roster.version <= (in_force(connection) or 0):
            return None
        self._let_wait(connection, logged, news, now)
        try:
            self._usable(logged.roster)
        except CryptoError as error:
            return error.code
        return None

    def bring_into_force(self, connection: Connection) -> Trust | None:
        """The newest of the rosters that can be in force by now and were not, if there are any."""
        expected, found, before = in_force(connection) or 0, None, trust_of(connection, self.hub)
        table = store.roster.c
        for row in connection.execute(_waiting(table.version, table.signed, table.leaf_index, _STANDING)).all():
            expected += 1
            if row.version != expected or row.standing != Standing.LINKED:
                break
            try:
                found = self._usable(open_roster(row.signed, self.hub))
            except CryptoError:
                # Told when it came. It is the ledger's version of that number all the same.
                continue
            connection.execute(update(store.roster).where(table.version == row.version).values(size=None))
            log.info("roster_taken", version=row.version, nodes=len(found.nodes))
            notices.tell_of_nodes(connection, before, found, row.leaf_index)
            notices.tell_of_members(connection, before, found, self.node, row.leaf_index)
            notices.tell_of_policy(connection, before, found, row.leaf_index)
            before = found
        return None if found is None else trust_of(connection, self.hub)

    def welcome(self, connection: Connection, body: bytes, own: Iterable[bytes], now: int) -> None:
        """Takes in the roster of a welcome file; `own` are the ids of the keys that this node has.

        The first one is in force, and the history that it is proven in is the one to follow. Raises ControlRefused,
        KeyUnknown, KeyUnusable, and what `open_news` does; HubCaught.
        """
        self.remember(connection, own)
        news = RosterNews.from_bytes(body)
        logged = self._opened(news)
        newest = in_force(connection)
        if newest is None:
            # Of a node that was enrolled again, and has nothing left of what it was before.
            listed = _listed(logged.roster, self.node)
            remember_keys(connection, [key_id_of(key.public) for key in listed if key.revoked is not None])
        self._compare(connection, logged.roster, news)
        self._usable(logged.roster)
        if newest is None:
            histories.see(connection, logged.checkpoint, news.checkpoint, Standing.LINKED, now)
            if histories.last(connection, self.origin) is None:
                histories.keep(connection, Followed(logged.checkpoint, news.checkpoint, ""), sent=True)
            save(connection, logged.roster.version, news.roster, index=logged.index)
        elif logged.roster.version > newest and histories.undecided(connection) is None:
            self._let_wait(connection, logged, news, now)

    def _opened(self, news: RosterNews) -> Logged:
        try:
            return open_news(news, self.hub, self.origin, self.ledger)
        except SignatureInvalid as error:
            kid = signer_of_roster(news.roster)
            if kid in _ids(self.hub):
                raise
            detail = "a roster is signed with another key than the one this node was given"
            raise HubCaught(histories.KEY_CHANGED, detail, by=[kid]) from error
        except NoteInvalid as error:
            if _is_outlived(news.roster, self.hub):
                detail = "a roster is signed with a key of the hub that has been replaced"
                raise HubCaught(histories.KEY_CHANGED, detail, news.checkpoint) from error
            # Raises HubCaught if it is whole and of another key.
            histories.opened(news.checkpoint, self.origin, self.ledger)
            raise

    def _let_wait(self, connection: Connection, logged: Logged, news: RosterNews, now: int) -> None:
        histories.see(connection, logged.checkpoint, news.checkpoint, Standing.CLAIMED, now)
        save(connection, logged.roster.version, news.roster, logged.checkpoint.size, logged.index)

    def _usable(self, roster: Roster) -> Trust:
        trust = Trust.of(roster)
        trust.check_own_keys(self.node, self.keys.signing.public, self.keys.encryption[0].public)
        return trust

    def _compare(self, connection: Connection, roster: Roster, news: RosterNews) -> None:
        """Raises HubCaught for a roster that contradicts this node, or another one of its version."""
        self._check_own_entry(connection, roster, news)
        known = connection.scalar(select(store.roster.c.signed).where(store.roster.c.version == roster.version))
        if known in (None, news.roster) or is_let_go(connection, roster.version):
            return
        detail = f"the hub has signed two rosters of version {roster.version}"
        both = base64.b64encode(known).decode(), base64.b64encode(news.to_bytes()).decode()
        raise HubCaught(histories.ROSTER_FORKED, detail, news.checkpoint, *both)

    def _check_own_entry(self, connection: Connection, roster: Roster, news: RosterNews) -> None:
        own = set(connection.execute(select(store.own_key.c.kid)).scalars())
        witnesses = own | set(connection.execute(select(store.old_witness.c.kid)).scalars())
        # By the keys themselves: the id that stands beside one is what the roster says.
        listed = [(key.use, key_id_of(key.public)) for key in _listed(roster, self.node)]
        foreign = {kid: use for use, kid in listed if kid not in (witnesses if use is KeyUse.WITNESS else own)}
        if foreign:
            named = ", ".join(f"{use} {kid.hex()}" for kid, use in foreign.items())
            detail = f"version {roster.version} of the roster lists keys of this node that it did not make: {named}"
            signed = base64.b64encode(news.to_bytes()).decode()
            raise HubCaught(histories.KEY_FOREIGN, detail, news.checkpoint, signed, *map(histories.key_line, foreign))


@dataclass
class Asking:
    """After which version the hub is asked for rosters, and when: ever later while what comes cannot be read.

    Times are seconds of one clock that does not go back.
    """

    known: int | None = None
    unread: bool = False
    """Whether one came, since this version is known, that cannot be read."""
    _pause_s: float = FIRST_PAUSE_S
    _again_at: float = -math.inf

    def after(self, known: int | None, now: float) -> int | None:
        """The version to ask with; None while nothing is asked."""
        if known != self.known:
            self.known, self.unread, self._pause_s, self._again_at = known, False, FIRST_PAUSE_S, -math.inf
        return known if now >= self._again_at else None

    def fail(self, now: float) -> None:
        """A roster came that cannot be read. Of several in one answer the first one counts."""
        self.unread = True
        if now >= self._again_at:
            self._again_at = now + self._pause_s
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)


def _ids(hub: RosterKeys) -> set[bytes]:
    return {term.key.key.key_id for term in hub.terms} if isinstance(hub, HubKeys) else {hub.key_id}


def _is_outlived(signed: bytes, hub: RosterKeys) -> bool:
    try:
        open_roster(signed, hub)
    except HubKeyForeign:
        return True
    return False


def _listed(roster: Roster, name: str) -> list[RosterKey]:
    return [key for node in roster.nodes if node.node == name for key in node.keys]


def ended_kids(body: bytes, name: str) -> tuple[bytes, ...]:
    """The ids of a node's keys that are revoked, or have ended, in the roster of that news, which is not verified yet.

    Raises ControlRefused, EnvelopeMalformed, AlgorithmRefused.
    """
    roster = unverified_roster(RosterNews.from_bytes(body).roster)
    return tuple(
        key_id_of(key.public) for key in _listed(roster, name) if key.revoked is not None or key.not_after <= roster.at
    )


def remember_keys(connection: Connection, kids: Iterable[bytes]) -> None:
    """These are ids of keys that this node made: they may stand under its name."""
    for kid in kids:
        connection.execute(insert(store.own_key).values(kid=kid).on_conflict_do_nothing())


def in_force(connection: Connection) -> int | None:
    """The version of the roster in force."""
    version: int | None = connection.scalar(_IN_FORCE)
    return version


def is_let_go(connection: Connection, version: int) -> bool:
    """Whether the roster of that version is of a history that an operator has let go: the hub may log another one."""
    return connection.scalar(select(store.let_go.c.version).where(store.let_go.c.version == version)) is not None


def newest(connection: Connection) -> bytes | None:
    """The signed roster in force."""
    signed: bytes | None = connection.scalar(
        select(store.roster.c.signed).where(store.roster.c.version == _IN_FORCE.scalar_subquery())
    )
    return signed


def describe(connection: Connection, trust: Trust) -> dict[str, Any]:
    """The roster in force, for `status`. `digest` is the SHA-256 of it as signed, as its entry in the ledger names it.

    Two nodes of whom each reads it out know whether the hub has shown them the same roster.
    """
    version = trust.roster.version
    signed = connection.scalar(select(store.roster.c.signed).where(store.roster.c.version == version))
    digest = None if signed is None else hashlib.sha256(signed).hexdigest()
    return {"version": version, "digest": digest, "nodes": sorted(trust.nodes)}


def all_in_force(connection: Connection) -> list[bytes]:
    """The signed roster in force and all that were so before it, the newest first."""
    table = store.roster.c
    query = select(table.signed).where(table.size.is_(None)).order_by(table.version.desc())
    return list(connection.execute(query).scalars())


def trust_of(connection: Connection, hub: RosterKeys) -> Trust | None:
    """The roster in force, ready for questions, with all that were in force before. None if there is none."""
    signed = all_in_force(connection)
    return trust_in(signed[0], hub, [Earlier(older, hub) for older in signed[1:]]) if signed else None


def save(
    connection: Connection, version: int, signed: bytes, size: int | None = None, index: int | None = None
) -> None:
    """Adds a roster, in force or waiting for the link to the checkpoint of `size` entries; `index` is its entry's."""
    row = {"version": version, "signed": signed, "size": size, "leaf_index": index}
    connection.execute(insert(store.roster).values(row).on_conflict_do_nothing())


def waiting(connection: Connection) -> tuple[int, ...]:
    """The versions that are newer than the one in force and wait: for a link, or for a version before them."""
    return tuple(connection.execute(_waiting(store.roster.c.version)).scalars())


def known(connection: Connection) -> int | None:
    """The version up to which all are here, in force or waiting."""
    found = in_force(connection)
    for version in waiting(connection):
        if found is None or version != found + 1:
            break
        found = version
    return found


def overdue(connection: Connection, now: int) -> int | None:
    """A version that has waited for longer than it may, if there is one."""
    query = _waiting(store.roster.c.version).where(store.checkpoint.c.at < now - histories.WITHHELD_MS)
    version: int | None = connection.scalar(query.limit(1))
    return version


def _waiting(*columns: Any) -> Select[Any]:
    # In the order of versions. What is older than the one in force was passed over.
    table = store.roster.c
    newer = table.version > func.coalesce(_IN_FORCE.scalar_subquery(), 0)
    joined = select(*columns).join_from(store.roster, store.checkpoint, table.size == store.checkpoint.c.size)
    return joined.where(newer).order_by(table.version)
