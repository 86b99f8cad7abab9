"""The hub's history as this node was shown it: every checkpoint, what links them, and what does not.

A hub that rolls its ledger back, keeps two of them, or signs with another key contradicts its own signature. Whoever
notices has caught it: an alarm stays in the store, with what the hub signed, until an operator decides. The decisions
are functions of what came and what is stored; `witness` says when they are asked.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from sqlalchemy import bindparam, delete, func, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import Connection

from crypto import merkle
from crypto.errors import HubKeyForeign, LogForked, NoteInvalid, OldSizeWrong, ProofInvalid, ReceiptInvalid
from crypto.hubkeys import LedgerKeys, open_checkpoint, signer_of
from crypto.log import log
from crypto.note import Checkpoint, Note
from crypto.policy import Policy
from crypto.witness import AddCheckpoint, follow
from nodes import store
from nodes.prepared import Prepared
from schemas.control import MessageType
from schemas.witnessing import MOST_CLAIMS, Link, WitnessCheckpoint

FORKED: Final = "log_forked"
ROLLED_BACK: Final = "log_rolled_back"
REWRITTEN: Final = "log_rewritten"
KEY_CHANGED: Final = "hub_key_changed"
KEY_FOREIGN: Final = "roster_key_foreign"
ROSTER_FORKED: Final = "roster_forked"
# What is put aside while the hub is not trusted.
DISTRUSTED: Final = "hub_distrusted"
# For so long the hub may leave a checkpoint unlinked that it has signed itself.
WITHHELD_MS: Final = 15 * 60 * 1000


class HubCaught(Exception):
    """The hub contradicts what it has signed. `code` is stable; `evidence` has notes, the older one first.

    With KEY_FOREIGN it contradicts this node: then the evidence is the note, the news of the roster in base64, and a
    `key_line` for each key. With ROSTER_FORKED it is the note, the roster that was known and the news of the other one,
    both in base64; where a key has handed over twice, the note and the news of both. With KEY_CHANGED, `by` names the
    keys: their ids, or the hashes that stand in a note.
    """

    def __init__(self, code: str, detail: str, *evidence: str, by: Iterable[bytes] = ()) -> None:
        super().__init__(detail)
        self.code = code
        self.evidence = evidence
        self.by = frozenset(by)


class Standing(IntEnum):
    """How well a checkpoint is known to be of the history that this node follows."""

    SEEN = 0
    CLAIMED = 1
    LINKED = 2


@dataclass(frozen=True, slots=True)
class Followed:
    """The checkpoint that was followed last, its note, and this node's cosignature of it (empty: none).

    `half_signed`: the hub has not signed it with its second key, of which this node knows.
    """

    checkpoint: Checkpoint
    note: str
    line: str
    half_signed: bool = False


def opened(note: str, origin: str, hub: LedgerKeys) -> Checkpoint:
    """The checkpoint of a note that the hub signed. Raises NoteInvalid, ReceiptInvalid; HubCaught for another key."""
    try:
        checkpoint = open_checkpoint(note, hub)
    except HubKeyForeign as error:
        parsed = Note.parse(note)
        if Checkpoint.parse(parsed.text).origin != origin:
            raise
        detail = "a checkpoint of the ledger is signed with another key than the one this node was given"
        by = [signature.key_hash for signature in parsed.signatures if signature.name == hub.origin]
        raise HubCaught(KEY_CHANGED, detail, note, by=by) from error
    if checkpoint.origin != origin:
        raise ReceiptInvalid(f"the checkpoint is of log {checkpoint.origin!r}, not of {origin!r}")
    return checkpoint


def follow_answer(answer: WitnessCheckpoint, last: Followed | None, origin: str, hub: LedgerKeys) -> Checkpoint | None:
    """The checkpoint that the hub offers, proven to continue `last`; None for an answer to an older question.

    Raises HubCaught, NoteInvalid, ReceiptInvalid.
    """
    new = opened(answer.checkpoint, origin, hub)
    size = last.checkpoint.size if last else 0
    if answer.old != size:
        return None
    if last is not None and new.size < size:
        detail = f"the hub offers a ledger of {new.size} entries, and has signed one of {size}"
        raise HubCaught(ROLLED_BACK, detail, last.note, answer.checkpoint)
    request = AddCheckpoint(answer.old, answer.proof, answer.checkpoint)
    signer = signer_of(Note.parse(answer.checkpoint), hub)
    try:
        return follow(request, None if last is None else last.checkpoint, Policy.of([signer], [], 0))
    except (LogForked, ProofInvalid, OldSizeWrong) as error:
        if last is None:
            # Nothing was signed before that this could contradict.
            raise NoteInvalid(f"the first checkpoint comes with a proof: {error}") from error
        code = FORKED if isinstance(error, LogForked) else REWRITTEN
        raise HubCaught(code, f"after {size} entries: {error}", last.note, answer.checkpoint) from error


_SEE: Final = Prepared(insert(store.checkpoint).on_conflict_do_nothing(), "size", "root", "note", "standing", "at")
_KNOWN: Final = select(store.checkpoint).where(store.checkpoint.c.size == bindparam("this"))
_RAISE: Final = (
    update(store.checkpoint)
    .where(store.checkpoint.c.size == bindparam("this"))
    .values(standing=bindparam("now_standing"), at=bindparam("now"))
)


def see(connection: Connection, seen: Checkpoint, note: str, standing: Standing, now: int) -> Standing:
    """Remembers a checkpoint that the hub has signed; returns how it stands. Raises HubCaught for a second root."""
    row = {"size": seen.size, "root": seen.root, "note": note, "standing": int(standing), "at": now}
    if _SEE.change(connection, **row) is not None:
        return standing
    known = connection.execute(_KNOWN, {"this": seen.size}).one()
    if known.root != seen.root:
        first = known.note or Checkpoint(seen.origin, seen.size, known.root).text()
        raise HubCaught(FORKED, f"the hub has signed two ledgers of {seen.size} entries", first, note)
    if standing > known.standing:
        connection.execute(_RAISE, {"this": seen.size, "now_standing": int(standing), "now": now})
    return max(standing, Standing(known.standing))


def claims(connection: Connection, now: int) -> list[int]:
    """Sizes of checkpoints of which the hub is to prove that they are of the history that this node follows."""
    table = store.checkpoint.c
    newest = connection.execute(select(table.size, table.standing).order_by(table.size.desc()).limit(1)).first()
    if newest is not None and newest.standing == Standing.SEEN:
        connection.execute(_RAISE, {"this": newest.size, "now_standing": int(Standing.CLAIMED), "now": now})
    query = select(table.size).where(table.standing == 1).order_by(table.size).limit(MOST_CLAIMS)
    return list(connection.execute(query).scalars())


def take_links(connection: Connection, links: Sequence[Link], new: Checkpoint, note: str, now: int) -> None:
    """Takes in what the hub proves of claims; `new` is followed. Raises HubCaught for a proof that does not hold."""
    for link in links:
        known = connection.execute(_KNOWN, {"this": link.size}).first()
        if known is None or known.standing == Standing.LINKED:
            continue
        try:
            merkle.verify_consistency(link.size, new.size, link.proof, known.root, new.root)
        except ProofInvalid as error:
            first = known.note or Checkpoint(new.origin, link.size, known.root).text()
            detail = f"the ledger of {link.size} entries is no part of that of {new.size}: {error}"
            raise HubCaught(REWRITTEN, detail, first, note) from error
        connection.execute(_RAISE, {"this": link.size, "now_standing": int(Standing.LINKED), "now": now})


def withheld(connection: Connection, now: int) -> int | None:
    """The size of a checkpoint that the hub has signed and for long not proven to be of its ledger, if there is one."""
    table = store.checkpoint.c
    followed = select(store.witness.c.size).scalar_subquery()
    query = select(func.min(table.size)).where(
        table.standing == 1, table.at < now - WITHHELD_MS, table.size <= followed
    )
    found: int | None = connection.scalar(query)
    return found


def last(connection: Connection, origin: str) -> Followed | None:
    """The checkpoint that was followed last."""
    row = connection.execute(select(store.witness)).first()
    if row is None:
        return None
    return Followed(Checkpoint(origin, row.size, row.root), row.note, row.line or "", bool(row.half_signed))


def keep(connection: Connection, followed: Followed, *, sent: bool) -> None:
    """Remembers what was followed, and whether the hub has this node's cosignature of it."""
    row = {
        "one": 1,
        "size": followed.checkpoint.size,
        "root": followed.checkpoint.root,
        "note": followed.note,
        "line": followed.line or None,
        "sent": int(sent),
        "half_signed": int(followed.half_signed),
    }
    connection.execute(insert(store.witness).values(row).on_conflict_do_update(index_elements=["one"], set_=row))


def unsent(connection: Connection) -> tuple[int, str] | None:
    """The size and note, with this node's cosignature, that the hub does not have yet."""
    table = store.witness.c
    row = connection.execute(select(table.size, table.note, table.line).where(table.sent == 0)).first()
    return None if row is None or not row.line else (row.size, row.note + row.line)


def mark_sent(connection: Connection, size: int) -> None:
    """The broker has the cosignature of that checkpoint."""
    connection.execute(update(store.witness).where(store.witness.c.size == size).values(sent=1))


@dataclass(frozen=True, slots=True)
class Alarm:
    """Why the hub is not trusted: its number, since when (ms), code, words, and the notes that show it."""

    number: int
    at: int
    code: str
    detail: str
    evidence: tuple[str, ...]


_KEY: Final = "key "


def key_line(kid: bytes) -> str:
    """How an alarm's evidence names a key."""
    return f"{_KEY}{kid.hex()}"


_UNDECIDED: Final = Prepared(
    select(*(store.alarm.c[name] for name in ("seq", "at", "code", "detail", "evidence")))
    .where(store.alarm.c.decided_at.is_(None))
    .order_by(store.alarm.c.seq)
    .limit(1)
)


def undecided(connection: Connection) -> Alarm | None:
    """The first alarm that no operator has decided on."""
    row = _UNDECIDED.first(connection)
    if row is None:
        return None
    seq, at, code, detail, evidence = row
    return Alarm(seq, at, code, detail, tuple(json.loads(evidence)))


def forgiven_until(connection: Connection) -> int:
    """Until when (ms) an operator has accepted that the hub contradicted itself; 0: never."""
    table = store.alarm.c
    return int(connection.scalar(select(func.max(table.decided_at)).where(table.code != KEY_FOREIGN)) or 0)


def raise_alarm(connection: Connection, caught: HubCaught, now: int) -> None:
    """Keeps what the hub was caught at. The cosignature goes out again: through the hub, others may learn of it."""
    evidence = json.dumps(caught.evidence, ensure_ascii=False)
    row = {"at": now, "code": caught.code, "detail": str(caught), "evidence": evidence}
    connection.execute(insert(store.alarm).values(row))
    connection.execute(update(store.witness).values(sent=0))
    log.critical("hub_caught", code=caught.code, detail=str(caught))


def decide(connection: Connection, number: int, reason: str, now: int) -> bool:
    """An operator accepts the hub's present history: what it signed before binds it no longer, and alarms are decided.

    Not so with KEY_FOREIGN: that the keys are this node's own is accepted, and what the hub signed binds it still.
    False if no such alarm waits for a decision. Alarms stay in the store with their evidence.
    """
    found, table = undecided(connection), store.alarm.c
    if found is None or found.number != number:
        return False
    decided = update(store.alarm).values(decided_at=now, reason=reason)
    if found.code == KEY_FOREIGN:
        connection.execute(decided.where(table.seq == number))
        kids = [bytes.fromhex(line.removeprefix(_KEY)) for line in found.evidence if line.startswith(_KEY)]
        connection.execute(insert(store.own_key).on_conflict_do_nothing(), [{"kid": kid} for kid in kids])
        return True
    connection.execute(decided.where(table.decided_at.is_(None), table.code != KEY_FOREIGN))
    connection.execute(delete(store.witness))
    connection.execute(delete(store.checkpoint))
    # The hub is asked again for rosters that are not in force, and proves them in its present history: none of those
    # that were put aside may come back. What is in force stays so until there is a higher version.
    connection.execute(delete(store.roster).where(store.roster.c.size.is_not(None)))
    connection.execute(delete(store.quarantine).where(store.quarantine.c.type == MessageType.ROSTER))
    kept = select(store.roster.c.version).where(store.roster.c.size.is_(None))
    connection.execute(insert(store.let_go).from_select(["version"], kept).on_conflict_do_nothing())
    # What is proven stays proven, under a checkpoint that a quorum has cosigned.
    connection.execute(delete(store.proof).where(store.proof.c.size.is_(None)))
    return True
