"""The node's store: SQLite with every commit synced to disk, bodies encrypted under the node's storage key.

Tables are here; what is done with them stands in `outbox` and `inbox`. Times are milliseconds
since the epoch, UTC. Ids are UUIDs in text.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

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
    delete,
    event,
    func,
    literal,
    select,
)
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

LONGEST_PAUSE_MS: Final = 6 * 3600 * 1000
_metadata: Final = MetaData()

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
)
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
    Column("content", LargeBinary),
    Column("received_at", BigInteger, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("code", Text),
    Column("acknowledge_at", BigInteger),
    Column("attempts", Integer, nullable=False, default=0),
    UniqueConstraint("sender", "id"),
)
Index("inbox_id", inbox.c.id)
Index("inbox_acknowledge", inbox.c.acknowledge_at)
quarantine: Final = Table(
    "quarantine",
    _metadata,
    Column("seq", Integer, primary_key=True),
    Column("type", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("reason", Text, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("at", BigInteger, nullable=False),
)
roster: Final = Table(
    "roster",
    _metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("signed", LargeBinary, nullable=False),
)
checkpoint: Final = Table(
    "checkpoint",
    _metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("root", LargeBinary, nullable=False),
)


@dataclass(frozen=True)
class Store:
    """The open database and the key that closes bodies at rest."""

    engine: AsyncEngine
    _key: AESGCM = field(repr=False)

    @classmethod
    async def open(cls, file: Path, storage_key: bytes) -> Self:
        """Opens or makes the database. `storage_key` has 32 bytes."""
        _create_private(file)
        # One connection: SQLite has one writer anyway, and waiting in line beats "database is locked".
        engine = create_async_engine(f"sqlite+aiosqlite:///{file}", pool_size=1, max_overflow=0)
        event.listen(engine.sync_engine, "connect", _configure)
        async with engine.begin() as connection:
            await connection.run_sync(_metadata.create_all)
        return cls(engine, AESGCM(storage_key))

    def close_body(self, id: str, body: bytes) -> bytes:
        """`body` encrypted for the disk, bound to the message's id: 12 bytes of nonce, then the ciphertext."""
        nonce = secrets.token_bytes(12)
        return nonce + self._key.encrypt(nonce, body, id.encode())

    def open_body(self, id: str, closed: bytes) -> bytes:
        """What `close_body` was given."""
        return self._key.decrypt(closed[:12], closed[12:], id.encode())

    async def newest_roster(self) -> bytes | None:
        """The signed roster of the highest version."""
        async with self.engine.connect() as connection:
            query = select(roster.c.signed).order_by(roster.c.version.desc()).limit(1)
            signed: bytes | None = await connection.scalar(query)
            return signed

    async def counts(self) -> dict[str, int]:
        """How many messages there are in each state of the outbox, in the inbox, and in quarantine."""
        async with self.engine.connect() as connection:
            rows = await connection.execute(select(outbox.c.state, func.count()).group_by(outbox.c.state))
            counts: dict[str, int] = dict(rows.tuples().all())
            counts["inbox"] = await _count(connection, inbox)
            counts["quarantine"] = await _count(connection, quarantine)
            return counts

    async def oldest_waiting(self) -> int | None:
        """When the oldest message without a receipt was queued, ms."""
        async with self.engine.connect() as connection:
            query = select(func.min(outbox.c.queued_at)).where(outbox.c.state.in_(("queued", "sent")))
            found: int | None = await connection.scalar(query)
            return found


def _create_private(file: Path) -> None:
    file.touch(mode=0o600, exist_ok=True)


def next_attempt(attempts: Column[int], now: int, first_ms: int) -> ColumnElement[int]:
    """When to try again, ms: after `first_ms`, then each time twice as late, at last every 6 hours."""
    pause = func.min(literal(first_ms) * literal(1).op("<<")(func.min(attempts, 16)), LONGEST_PAUSE_MS)
    return literal(now) + pause


async def save_roster(connection: AsyncConnection, version: int, signed: bytes) -> None:
    """Adds a roster to the history."""
    await connection.execute(insert(roster).values(version=version, signed=signed).on_conflict_do_nothing())


async def put_aside(
    connection: AsyncConnection, type: str, digest: bytes, reason: str, content: bytes, at: int
) -> None:
    """Keeps what could not be understood, once."""
    row = {"type": type, "digest": digest, "reason": reason, "content": content, "at": at}
    await connection.execute(insert(quarantine).values(row).on_conflict_do_nothing())


async def put_aside_for(connection: AsyncConnection, reasons: Sequence[str]) -> list[tuple[bytes, bytes]]:
    """Digest and content of what was put aside for one of these reasons, oldest first."""
    columns = quarantine.c
    query = select(columns.digest, columns.content).where(columns.reason.in_(reasons)).order_by(columns.seq)
    return [(row.digest, row.content) for row in await connection.execute(query)]


async def take_back(connection: AsyncConnection, digest: bytes) -> None:
    """Forgets what was put aside: it has been understood since."""
    await connection.execute(delete(quarantine).where(quarantine.c.digest == digest))


async def _count(connection: AsyncConnection, table: Table) -> int:
    return int(await connection.scalar(select(func.count()).select_from(table)) or 0)


def _configure(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA busy_timeout=10000")
    cursor.close()
