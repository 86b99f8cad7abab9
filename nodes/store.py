"""The node's store: SQLite with every commit synced to disk, bodies encrypted under the node's storage key.

Tables are here; what is done with them stands in `outbox`, `inbox`, `rosters` and `histories`. Times are milliseconds
since the epoch, UTC. Ids are UUIDs in text.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, Self, TypeVar

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    bindparam,
    create_engine,
    event,
    func,
    literal,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import StaticPool

from nodes.commits import Commits
from nodes.migrations import bring_up_to_date

LONGEST_PAUSE_MS: Final = 6 * 3600 * 1000
_metadata: Final = MetaData()
# For tables that stand with what is done with them.
metadata: Final = _metadata

outbox: Final = Table(
    "outbox",
    _metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("request", LargeBinary, nullable=False),
    Column("state", Text, nullable=False),
    Column("urgent", Integer, nullable=False),
    Column("header", LargeBinary, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("queued_at", BigInteger, nullable=False),
    Column("sent_at", BigInteger),
    Column("resend_at", BigInteger, nullable=False, default=0),
    Column("attempts", Integer, nullable=False, default=0),
    Column("settled_at", BigInteger),
    Column("expires", BigInteger, nullable=False),
    Column("code", Text),
    Column("detail", Text),
    Column("ledger_index", BigInteger),
    Column("receipt", LargeBinary),
    # Closed as the body is. With it, the body is what the header's digest says; versions before 3 kept none.
    Column("nonce", LargeBinary),
)
# The kind as the header has it, CBOR: a text of fourteen letters. Written out, so that SQLite knows its index by it.
SENT_PLAN: Final = literal_column("instr(header, CAST('noperation.plan' AS BLOB))") > literal_column("0")
Index("outbox_plan", outbox.c.seq, sqlite_where=SENT_PLAN)
Index("outbox_digest", outbox.c.digest)
Index("outbox_waiting", outbox.c.state, outbox.c.urgent, outbox.c.seq)
delivery: Final = Table(
    "delivery",
    _metadata,
    Column("id", Text, primary_key=True),
    Column("recipient", Text, primary_key=True),
    Column("outcome", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("code", Text),
    Column("ledger_index", BigInteger, nullable=False),
    # The receipt, and the digest of the acknowledgement that its entry rests on; versions before 3 kept neither.
    Column("receipt", LargeBinary),
    Column("evidence", LargeBinary),
)
# What recipients signed, this node too: one is for up to a thousand messages.
acknowledgement: Final = Table(
    "acknowledgement",
    _metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("signed", LargeBinary, nullable=False),
)
inbox: Final = Table(
    "inbox",
    _metadata,
    Column("seq", Integer, primary_key=True),
    Column("sender", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("thread", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("header", LargeBinary, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    # Of versions before 5: nonce and body, closed; since then they are read from the envelope.
    Column("content", LargeBinary),
    Column("received_at", BigInteger, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("code", Text),
    Column("acknowledge_at", BigInteger),
    Column("attempts", Integer, nullable=False, default=0),
    # What opens the envelope's content, closed; none of what was declined.
    Column("content_key", LargeBinary),
    # Of the entry that our acknowledgement is on record; versions before 5 kept none.
    Column("receipt", LargeBinary),
    UniqueConstraint("sender", "id"),
)
# As above.
CAME_PLAN: Final = inbox.c.kind == literal_column("'operation.plan'")
Index("inbox_plan", inbox.c.seq, sqlite_where=CAME_PLAN)
Index("inbox_thread", inbox.c.thread)
Index("inbox_id", inbox.c.id)
Index("inbox_acknowledge", inbox.c.acknowledge_at)
# The envelopes of what came, by their place in the inbox: written once, while its row changes twice.
sealed: Final = Table(
    "sealed",
    _metadata,
    Column("seq", Integer, primary_key=True),
    Column("envelope", LargeBinary, nullable=False),
)
# Which message of ours answers which that came; versions that kept no such table have no answers in it.
answer: Final = Table(
    "answer",
    _metadata,
    Column("question", Text, primary_key=True),
    Column("id", Text, primary_key=True),
)
# Corrections and withdrawals, sent and received, and what each is `about`; none where that is still to be read, of a
# version before 8. `carries` is the kind of what a correction puts in its place.
amendment: Final = Table(
    "amendment",
    _metadata,
    Column("id", Text, primary_key=True),
    Column("sender", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("about", Text),
    Column("carries", Text, nullable=False, server_default=""),
)
Index("amendment_about", amendment.c.about)
# What the ledger says of what became of a message, or by `roster` of a node: see `notices`.
notice: Final = Table(
    "notice",
    _metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("ledger_index", BigInteger, nullable=False),
    Column("roster", Integer),
    Column("code", Text),
    Column("heir", Text),
    UniqueConstraint("id", "recipient", "event"),
)
quarantine: Final = Table(
    "quarantine",
    _metadata,
    Column("seq", Integer, primary_key=True),
    Column("type", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("reason", Text, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("at", BigInteger, nullable=False),
    # The message before it in its thread, whatever it is put aside for; empty if the hub named none.
    Column("after", Text, nullable=False, server_default=""),
)
Index("quarantine_reason", quarantine.c.reason, quarantine.c.at)
roster: Final = Table(
    "roster",
    _metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("signed", LargeBinary, nullable=False),
    # Of the checkpoint whose link it waits for, see `rosters`; none once it is in force.
    Column("size", BigInteger),
    # Of its entry; versions before 9 kept none.
    Column("leaf_index", BigInteger),
)
# By which key the hub's was replaced: the one before it, the size of the last tree of that, and the news as it came.
handover: Final = Table(
    "handover",
    _metadata,
    Column("old", LargeBinary, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("news", LargeBinary, nullable=False),
    Column("at", BigInteger, nullable=False),
    # Not yet while it waits for the link to the tree with its entry.
    Column("in_force", Integer, nullable=False),
)
# Others' messages that are proven to have been accepted: the digest of the envelope, and the entry's place and time.
acceptance: Final = Table(
    "acceptance",
    _metadata,
    Column("envelope", LargeBinary, primary_key=True),
    Column("leaf_index", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
)
# Versions in force of a history that an operator has let go: the hub may log others in their place.
let_go: Final = Table("let_go", _metadata, Column("version", Integer, primary_key=True, autoincrement=False))
# The ids of all public keys that this node made: no other may stand under its name in a roster.
own_key: Final = Table("own_key", _metadata, Column("kid", LargeBinary, primary_key=True))
# Those of witness keys from the time before own keys were remembered: known for nothing else.
old_witness: Final = Table("old_witness", _metadata, Column("kid", LargeBinary, primary_key=True))
# Every checkpoint that the hub has signed and shown, with its note (versions before 4 kept none).
checkpoint: Final = Table(
    "checkpoint",
    _metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("root", LargeBinary, nullable=False),
    Column("note", Text),
    # See `histories.Standing`; `at` is since when, ms.
    Column("standing", Integer, nullable=False, server_default="0"),
    Column("at", BigInteger, nullable=False, server_default="0"),
)
Index("checkpoint_claimed", checkpoint.c.size, sqlite_where=checkpoint.c.standing == literal_column("1"))
# The one that this node's witness followed last, and its cosignature: a signature line. `half_signed`: the hub has a
# second key, and has not signed with it.
witness: Final = Table(
    "witness",
    _metadata,
    Column("one", Integer, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("root", LargeBinary, nullable=False),
    Column("note", Text, nullable=False),
    Column("line", Text),
    Column("sent", Integer, nullable=False),
    Column("half_signed", Integer, nullable=False, server_default="0"),
)
# Why the hub is not trusted any more, with what it signed; until an operator has decided.
alarm: Final = Table(
    "alarm",
    _metadata,
    Column("seq", Integer, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("code", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("evidence", Text, nullable=False),
    Column("decided_at", BigInteger),
    Column("reason", Text),
)
# Checkpoints that a quorum of witnesses has cosigned.
witnessed: Final = Table(
    "witnessed",
    _metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("note", Text, nullable=False),
)
# The entries of receipts by their place in the ledger; once there is one, the path to a witnessed checkpoint.
proof: Final = Table(
    "proof",
    _metadata,
    Column("leaf_index", BigInteger, primary_key=True, autoincrement=False),
    Column("leaf", LargeBinary, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("size", BigInteger),
    Column("path", LargeBinary),
    sqlite_with_rowid=False,
)
Index("proof_size", proof.c.size, proof.c.leaf_index)


P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Store:
    """The open database and the key that closes bodies at rest."""

    _engine: Engine
    _key: AESGCM = field(repr=False)
    _commits: Commits = field(repr=False)

    @classmethod
    def open(cls, file: Path, storage_key: bytes) -> Self:
        """Opens or makes the database. `storage_key` has 32 bytes. Raises StoreVersionUnknown."""
        file.touch(mode=0o600, exist_ok=True)
        engine = create_engine(f"sqlite:///{file}", poolclass=StaticPool, connect_args={"check_same_thread": False})
        event.listen(engine, "connect", _configure)
        with engine.begin() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            bring_up_to_date(connection, file)
            _metadata.create_all(connection)
        return cls(engine, AESGCM(storage_key), Commits(engine))

    async def run(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Does `work` wholly or not at all, durable when this returns. What `work` raises rolls it back."""
        return await self._commits.do(lambda connection: work(connection, *args, **kwargs))

    def close(self) -> None:
        """Finishes what is under way and closes the database."""
        self._commits.close()
        self._engine.dispose()

    def close_body(self, id: str, body: bytes) -> bytes:
        """`body` encrypted for the disk, bound to the message's id: 12 bytes of nonce, then ciphertext."""
        nonce = secrets.token_bytes(12)
        return nonce + self._key.encrypt(nonce, body, id.encode())

    def open_body(self, id: str, closed: bytes) -> bytes:
        """What `close_body` was given."""
        return self._key.decrypt(closed[:12], closed[12:], id.encode())


def counts(connection: Connection) -> dict[str, int]:
    """How many messages there are in each state of the outbox, in the inbox, and in quarantine."""
    rows = connection.execute(select(outbox.c.state, func.count()).group_by(outbox.c.state))
    found: dict[str, int] = {str(state): int(number) for state, number in rows}
    return {**found, "inbox": _count(connection, inbox), "quarantine": _count(connection, quarantine)}


def oldest_waiting(connection: Connection) -> int | None:
    """When the oldest message without a receipt was queued, ms."""
    query = select(func.min(outbox.c.queued_at)).where(outbox.c.state.in_(("queued", "sent")))
    found: int | None = connection.scalar(query)
    return found


def next_attempt(attempts: Column[int]) -> ColumnElement[int]:
    """When to try again, ms: `first_ms` after `now`, then each time twice as late, at last every 6 hours.

    Both are parameters of the statement.
    """
    first = bindparam("first_ms", type_=BigInteger)
    pause = func.min(first * literal(1).op("<<")(func.min(attempts, 16)), LONGEST_PAUSE_MS)
    return bindparam("now", type_=BigInteger) + pause


def one_of(column: Column[str], *values: str) -> ColumnElement[bool]:
    """That a column has one of these values. SQLAlchemy writes a statement with IN anew each time it is executed."""
    return or_(*(column == value for value in values))


def bring_forward(connection: Connection, now: int, first_ms: int) -> None:
    """Makes due what is put off for longer than it can have been, except by a clock that was ahead."""
    times = {"now": now, "first_ms": first_ms}
    late = outbox.c.resend_at > next_attempt(outbox.c.attempts)
    waiting = one_of(outbox.c.state, "queued", "sent")
    connection.execute(update(outbox).where(waiting, late).values(resend_at=bindparam("now")), times)
    late = inbox.c.acknowledge_at > next_attempt(inbox.c.attempts)
    connection.execute(update(inbox).where(late).values(acknowledge_at=bindparam("now")), times)


def _count(connection: Connection, table: Table) -> int:
    return int(connection.scalar(select(func.count()).select_from(table)) or 0)


def _configure(connection: Any, _: Any) -> None:
    # Transactions begin where we say, not at the driver's guess: else a savepoint commits by itself.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA busy_timeout=10000")
    cursor.close()
