"""The hub's tables. All but `held` are only ever inserted into: the role the hub runs as may not change a row.

Times are milliseconds since the epoch, UTC; digests and hashes are 32 bytes.
"""

from typing import Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)

metadata: Final = MetaData()

# The ledger. A leaf never changes; its entry and salt stand apart so that they can be erased.
ledger_leaf: Final = Table(
    "ledger_leaf",
    metadata,
    Column("leaf_index", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary, nullable=False),
)
ledger_content: Final = Table(
    "ledger_content",
    metadata,
    Column("leaf_index", BigInteger, primary_key=True, autoincrement=False),
    Column("event", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("salt", LargeBinary, nullable=False),
    Column("entry", LargeBinary, nullable=False),
)
# Roots of perfect subtrees of 256^n leaves (level 8, 16, ...): any proof reads a few hundred rows.
ledger_subtree: Final = Table(
    "ledger_subtree",
    metadata,
    Column("level", SmallInteger, primary_key=True, autoincrement=False),
    Column("place", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary, nullable=False),
)
ledger_checkpoint: Final = Table(
    "ledger_checkpoint",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("root", LargeBinary, nullable=False),
    Column("frontier", LargeBinary, nullable=False),
    Column("note", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
)

# What was accepted, by which a message is recognised when it comes again.
message: Final = Table(
    "message",
    metadata,
    Column("sender", Text, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("envelope", LargeBinary, nullable=False),
    Column("leaf_index", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("thread", Uuid, nullable=False),
    Column("task_force", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("priority", Text, nullable=False),
    Column("recipients", ARRAY(Text), nullable=False),
    Column("expires", BigInteger, nullable=False),
)
refusal: Final = Table(
    "refusal",
    metadata,
    Column("node", Text, primary_key=True),
    Column("envelope", LargeBinary, primary_key=True),
    Column("message", Uuid),
    Column("leaf_index", BigInteger, nullable=False),
    Column("code", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
)
acknowledgement: Final = Table(
    "acknowledgement",
    metadata,
    Column("sender", Text, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("recipient", Text, primary_key=True),
    Column("outcome", Text, nullable=False),
    Column("leaf_index", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("signed", LargeBinary, nullable=False),
)
quarantine: Final = Table(
    "quarantine",
    metadata,
    Column("node", Text, primary_key=True),
    Column("digest", LargeBinary, primary_key=True),
    Column("leaf_index", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("type", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("content", LargeBinary, nullable=False),
)
roster: Final = Table(
    "roster",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("leaf_index", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("signed", LargeBinary, nullable=False),
)

# Deliveries that the broker would not take (a full inbox, say): tried again with growing pauses.
held: Final = Table(
    "held",
    metadata,
    Column("node", Text, primary_key=True),
    Column("message_id", Text, primary_key=True),
    Column("type", Text, nullable=False),
    Column("urgent", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("since", BigInteger, nullable=False, server_default=text("extract(epoch FROM now()) * 1000")),
)
Index("held_due", held.c.due)
# An id is one message, whoever sends it: an answer by id alone must not go astray.
Index("message_id", message.c.id, unique=True)
Index("refusal_message", refusal.c.message)
Index("message_envelope", message.c.envelope)
Index("acknowledgement_id", acknowledgement.c.id)
