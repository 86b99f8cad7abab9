"""What an operator does, as it is written down: an entry `operator`, whose evidence is the act's SHA-256.

The act itself (JSON: who, in which role, what, of what, under which approval) stands in `operator_act`.
"""

import getpass
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from crypto import merkle
from crypto.errors import CryptoError
from crypto.hubkeys import open_checkpoint
from crypto.receipt import leaf_of
from hub import ledger, rows, tables, tilestore
from hub.errors import OperatorsTampered
from hub.ledger import DETAIL_SIZE, Ledger
from hub.roles import Action, Role
from schemas.control import ControlRefused, Entry, Event
from schemas.participants import CENTRE

# Before there were operators: with whose login at the machine it was done is all that is known.
SETUP: Final = "setup"
OWNER: Final = "owner"
# What somebody typed as a name, and is nobody's.
UNKNOWN: Final = "unknown"
# The first operator makes the account alone, in a name of one's own; nobody else ever does.
_FIRST: Final = re.compile(r"([a-z0-9.-]+): operator\.add name=\1 role=security-officer")
_ADDS: Final = "position(convert_to('operator.add name=', 'UTF8') IN entry) > 0"
_NAMES: Final = "position(convert_to(:words, 'UTF8') IN entry) > 0"
_ABOUT: Final = "convert_from(act, 'UTF8')::jsonb #>> CAST(CAST(:path AS text) AS text[]) = :value"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does what, of what. `subject` is JSON, holds no secret, and names all that a second person must know.

    `role` and `session` (the token's SHA-256) are None of who acts before there are operators. `approval` is the
    number of what a second person confirmed.
    """

    name: str
    action: Action
    subject: Mapping[str, Any] = field(default_factory=dict)
    role: Role | None = None
    session: bytes | None = None
    approval: int | None = None

    @property
    def is_setup(self) -> bool:
        """Whether it is done before there are operators."""
        return self.role is None and self.name.partition("/")[0] == SETUP

    def described(self, at: int) -> bytes:
        """The act as it is written down: JSON, keys in order, no spaces. `at` in ms."""
        fields = {
            "v": 1,
            "at": at,
            "operator": self.name,
            "role": self.role and str(self.role),
            "action": str(self.action),
            "subject": dict(self.subject),
            "session": self.session and self.session.hex(),
            "approval": self.approval,
        }
        return canonical({name: value for name, value in fields.items() if value is not None})

    def detail(self) -> str:
        """In a line, for the entry."""
        words = " ".join(f"{name}={_words(value)}" for name, value in self.subject.items() if value is not None)
        approved = "" if self.approval is None else f" (approval {self.approval})"
        return f"{self.name}: {self.action}{approved} {words}".rstrip()[:DETAIL_SIZE]


def setup_actor(action: Action, subject: Mapping[str, Any]) -> Actor:
    """Who acts while there are no operators."""
    try:
        login = getpass.getuser()
    except (KeyError, OSError):
        login = "?"
    return Actor(f"{SETUP}/{login}", action, subject)


def canonical(value: Any) -> bytes:
    """JSON of which there is one form: keys in order, no spaces, UTF-8."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def digest_of(action: Action, subject: Mapping[str, Any]) -> bytes:
    """SHA-256 of what is asked for: an approval is good for just this. 32 bytes."""
    return hashlib.sha256(canonical({"action": str(action), "subject": dict(subject)})).digest()


async def record(connection: AsyncConnection, log: Ledger, actor: Actor) -> int:
    """Puts the act on record, in the caller's transaction; the entry's index."""
    turn = await ledger.take_turn(connection)
    act = actor.described(turn.at)
    entry = Entry(event=Event.OPERATOR, at=turn.at, node=CENTRE, evidence=ledger.evidence(act), detail=actor.detail())
    index = (await ledger.append(connection, log, turn, [entry])).receipts[0].index
    row = (index, turn.at, actor.name, str(actor.action), act)
    await rows.insert(connection, {tables.operator_act.name: [row]})
    return index


async def newest(
    connection: AsyncConnection,
    log: Ledger,
    action: Action,
    operator: str | None = None,
    about: tuple[str, str] | None = None,
) -> dict[str, Any] | None:
    """The last act of its kind, by anybody or one operator; `about` is a path into it and what stands there.

    Raises OperatorsTampered unless a checkpoint that we signed has it: rows alone are nobody's word.
    """
    act, content = tables.operator_act.c, tables.ledger_content.c
    query = (
        select(act.leaf_index, act.act, content.salt, content.entry)
        .outerjoin_from(tables.operator_act, tables.ledger_content, content.leaf_index == act.leaf_index)
        .where(act.action == str(action))
    )
    if operator is not None:
        query = query.where(act.operator == operator)
    if about is not None:
        query = query.where(text(_ABOUT).bindparams(path=about[0], value=about[1]))
    row = (await connection.execute(query.order_by(act.leaf_index.desc()).limit(1))).first()
    if row is None:
        return None
    # The entry is in the tree, and the act is its evidence; what nodes have sent is the evidence of other entries.
    entry = _entry(row.entry or b"")
    is_ours = entry is not None and (entry.event, entry.evidence) == (Event.OPERATOR, ledger.evidence(row.act))
    if not is_ours or not await _is_in(connection, log, row):
        raise _tampered(row.leaf_index, "is not the one in the ledger")
    found: dict[str, Any] = json.loads(row.act)
    # Whose it is and what is not for the columns to say: they are no part of what the ledger has.
    if found["action"] != str(action) or (operator is not None and found["operator"] != operator):
        raise _tampered(row.leaf_index, "is another's, or another act")
    return found


async def _is_in(connection: AsyncConnection, log: Ledger, row: Any) -> bool:
    note = (await ledger.head(connection)).note
    # Behind it: what another key has signed meanwhile is nobody's tampering. Raises HandedOver.
    await ledger.check_signer(connection, log)
    try:
        tree = open_checkpoint(note, log.keys)
        if not 0 <= row.leaf_index < tree.size:
            return False
        path = (await tilestore.inclusion(connection, [row.leaf_index], tree.size))[row.leaf_index]
        merkle.verify_inclusion(row.leaf_index, tree.size, leaf_of(row.salt, row.entry), path, tree.root)
    except CryptoError:
        return False
    return tree.origin == log.origin


async def told(connection: AsyncConnection, words: str, pattern: str) -> Entry | None:
    """The last entry of an act whose detail begins with a name and `: `, goes on as `pattern` says, and has `words` in
    it: by the ledger's entries, for who takes a row out of the table of acts takes none out of these.
    """
    table, whole = tables.ledger_content.c, re.compile(f"[a-z0-9.-]+(?:/[^:]*)?: {pattern}")
    query = select(table.entry).where(table.event == str(Event.OPERATOR), text(_NAMES).bindparams(words=words))
    for data in (await connection.execute(query.order_by(table.leaf_index.desc()))).scalars():
        entry = _entry(data)
        if entry is not None and whole.fullmatch(entry.detail or ""):
            return entry
    return None


async def anybody_began(connection: AsyncConnection) -> bool:
    """Whether the ledger has it that a first operator was made: whatever the table of them says, there were some."""
    table = tables.ledger_content.c
    query = select(table.entry).where(table.event == str(Event.OPERATOR), text(_ADDS))
    entries = (await connection.execute(query.order_by(table.leaf_index))).scalars()
    return any(map(_tells_of_first, entries))


def _tells_of_first(entry: bytes) -> bool:
    found = _entry(entry)
    # One that does not read, somebody made so behind the hub's back, and not to take rights from himself.
    return found is None or _FIRST.fullmatch(found.detail or "") is not None


def _entry(data: bytes) -> Entry | None:
    try:
        return Entry.from_bytes(data)
    except ControlRefused:
        return None


def _tampered(index: int, why: str) -> OperatorsTampered:
    return OperatorsTampered(
        f"the act of entry {index} {why}",
        "somebody wrote to the database behind the hub's back: keep it as it is, and run `seci-hub ledger verify`",
    )


def _words(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(str, value)) or "none"
    return str(value)
