"""The policy in tables that people read, who changed it and why, and what coordinators ordered. Only ever added to."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_HUB_ROLE = "seci_hub"


def upgrade() -> None:
    """Adds the three tables."""
    op.create_table(
        "policy_rule",
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("id", "effect", "words")),
        *(sa.Column(name, sa.ARRAY(sa.Text)) for name in ("senders", "recipients")),
        sa.Column("mutual", sa.Boolean, nullable=False),
        *(sa.Column(name, sa.ARRAY(sa.Text)) for name in ("agencies", "task_forces", "kinds", "handling")),
        sa.Column("only", sa.Text),
    )
    op.create_table(
        "policy_change",
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("leaf_index", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("operator", "change", "reason")),
    )
    op.create_table(
        "membership_order",
        sa.Column("node", sa.Text, primary_key=True),
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("leaf_index", "at", "said")),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("task_force", "act", "subject")),
        sa.Column("code", sa.Text),
        sa.Column("signed", sa.LargeBinary, nullable=False),
    )
    op.execute(f"GRANT SELECT, INSERT ON policy_rule, policy_change, membership_order TO {_HUB_ROLE}")


def downgrade() -> None:
    """Refused: a ledger's tables are never taken back."""
    raise NotImplementedError("a ledger's tables are not taken back; restore a backup instead")
