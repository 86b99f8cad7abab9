"""Deadlines, the order of threads, what operators decide on the quarantine; each acknowledgement is kept once.

Messages on record before have no deadline for a reply; what has expired before is not made an event now.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_HUB_ROLE = "seci_hub"
_EVENTS = ("reminded", "escalated", "expired")


def upgrade() -> None:
    """Adds columns and tables; moves signed acknowledgements and the quarantine's content into tables of their own."""
    _alter_messages()
    _alter_held()
    _split_acknowledgements()
    _split_quarantine()
    _create_deadlines()
    for table in ("quarantine_decision", "deadline", "acknowledgement_document"):
        op.execute(f"GRANT SELECT, INSERT ON {table} TO {_HUB_ROLE}")
    op.execute(f"GRANT SELECT, INSERT, DELETE ON quarantine_content TO {_HUB_ROLE}")
    op.execute(f"GRANT SELECT, UPDATE ON deadline_progress TO {_HUB_ROLE}")


def _alter_messages() -> None:
    op.add_column("message", sa.Column("in_reply_to", sa.Uuid))
    op.add_column("message", sa.Column("remind_at", sa.BigInteger))
    op.add_column("message", sa.Column("reply_by", sa.BigInteger))
    op.create_index("message_thread", "message", ["thread", "leaf_index"])
    op.create_index("message_expires", "message", ["expires", "leaf_index"])
    for columns in (["in_reply_to"], ["remind_at", "leaf_index"], ["reply_by", "leaf_index"]):
        present = sa.text(f"{columns[0]} IS NOT NULL")
        op.create_index(f"message_{columns[0]}", "message", columns, postgresql_where=present)


def _alter_held() -> None:
    op.add_column("held", sa.Column("place", sa.BigInteger, sa.Identity(), nullable=False))
    op.add_column("held", sa.Column("after", sa.Text))
    op.drop_index("held_due")
    op.create_index("held_place", "held", ["node", "urgent", "place"])


def _split_acknowledgements() -> None:
    op.create_table(
        "acknowledgement_document",
        sa.Column("evidence", sa.LargeBinary, primary_key=True),
        sa.Column("signed", sa.LargeBinary, nullable=False),
    )
    op.execute("INSERT INTO acknowledgement_document SELECT DISTINCT sha256(signed), signed FROM acknowledgement")
    op.add_column("acknowledgement", sa.Column("evidence", sa.LargeBinary))
    op.execute("UPDATE acknowledgement SET evidence = sha256(signed)")
    op.alter_column("acknowledgement", "evidence", nullable=False)
    op.drop_column("acknowledgement", "signed")


def _split_quarantine() -> None:
    op.create_table(
        "quarantine_content",
        sa.Column("node", sa.Text, primary_key=True),
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        sa.Column("content", sa.LargeBinary, nullable=False),
    )
    op.execute("INSERT INTO quarantine_content SELECT node, digest, content FROM quarantine")
    op.drop_column("quarantine", "content")
    op.create_table(
        "quarantine_decision",
        sa.Column("node", sa.Text, primary_key=True),
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        sa.Column("decision", sa.Text, nullable=False),
        sa.Column("leaf_index", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("operator", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )


def _create_deadlines() -> None:
    op.create_table(
        "deadline",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("recipient", sa.Text, primary_key=True),
        sa.Column("event", sa.Text, primary_key=True),
        sa.Column("leaf_index", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    progress = op.create_table(
        "deadline_progress",
        sa.Column("event", sa.Text, primary_key=True),
        sa.Column("upto", sa.BigInteger, nullable=False),
        sa.Column("leaf_index", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(progress, [{"event": event, "upto": 0, "leaf_index": 0} for event in _EVENTS])
    op.execute("UPDATE deadline_progress SET upto = (extract(epoch FROM clock_timestamp()) * 1000)::bigint")


def downgrade() -> None:
    """Refused: a ledger's tables are never taken back."""
    raise NotImplementedError("a ledger's tables are not taken back; restore a backup instead")
