"""The ledger, the messages, and the rights of the role the hub runs as.

Written out, not made from `hub.tables`: a migration says what was true when it was written.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_HUB_ROLE = "seci_hub"
_INSERT_ONLY = (
    "ledger_leaf",
    "ledger_content",
    "ledger_subtree",
    "ledger_checkpoint",
    "message",
    "refusal",
    "acknowledgement",
    "quarantine",
    "roster",
)


def upgrade() -> None:
    """Creates everything."""
    _create_ledger()
    _create_messages()
    _create_rest()
    for table in _INSERT_ONLY:
        op.execute(f"GRANT SELECT, INSERT ON {table} TO {_HUB_ROLE}")
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON held TO {_HUB_ROLE}")


def _create_ledger() -> None:
    op.create_table(
        "ledger_leaf",
        sa.Column("leaf_index", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "ledger_content",
        sa.Column("leaf_index", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("salt", sa.LargeBinary, nullable=False),
        sa.Column("entry", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "ledger_subtree",
        sa.Column("level", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("place", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "ledger_checkpoint",
        sa.Column("size", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("root", sa.LargeBinary, nullable=False),
        sa.Column("frontier", sa.LargeBinary, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )


def _create_messages() -> None:
    op.create_table(
        "message",
        sa.Column("sender", sa.Text, primary_key=True),
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("envelope", sa.LargeBinary, nullable=False),
        sa.Column("leaf_index", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("thread", sa.Uuid, nullable=False),
        sa.Column("task_force", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("priority", sa.Text, nullable=False),
        sa.Column("recipients", sa.ARRAY(sa.Text), nullable=False),
        sa.Column("expires", sa.BigInteger, nullable=False),
    )
    op.create_index("message_id", "message", ["id"], unique=True)
    op.create_index("message_envelope", "message", ["envelope"])
    op.create_table(
        "acknowledgement",
        sa.Column("sender", sa.Text, primary_key=True),
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("recipient", sa.Text, primary_key=True),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("leaf_index", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("signed", sa.LargeBinary, nullable=False),
    )
    op.create_index("acknowledgement_id", "acknowledgement", ["id"])


def _create_rest() -> None:
    op.create_table(
        "refusal",
        sa.Column("node", sa.Text, primary_key=True),
        sa.Column("envelope", sa.LargeBinary, primary_key=True),
        sa.Column("message", sa.Uuid),
        sa.Column("leaf_index", sa.BigInteger, nullable=False),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    op.create_index("refusal_message", "refusal", ["message"])
    op.create_table(
        "quarantine",
        sa.Column("node", sa.Text, primary_key=True),
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        sa.Column("leaf_index", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "roster",
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("leaf_index", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("signed", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "held",
        sa.Column("node", sa.Text, primary_key=True),
        sa.Column("message_id", sa.Text, primary_key=True),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("urgent", sa.Integer, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
    op.create_index("held_due", "held", ["due"])


def downgrade() -> None:
    """Refused: a ledger is never taken back."""
    raise NotImplementedError("the ledger's first migration is not taken back; restore a backup instead")
