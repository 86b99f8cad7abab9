"""Witnesses: which checkpoints the nodes are asked to cosign, and their cosignatures.

What agrees with the ledger is work in hand and may be cleared away: the nodes keep what they need of it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_HUB_ROLE = "seci_hub"


def upgrade() -> None:
    """Adds the tables; the first round begins when a node asks."""
    op.create_table(
        "witness_round",
        sa.Column("size", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "cosignature",
        sa.Column("size", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("node", sa.Text, primary_key=True),
        sa.Column("line", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "contradiction",
        sa.Column("size", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("root", sa.LargeBinary, primary_key=True),
        sa.Column("node", sa.Text, primary_key=True),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    op.execute(f"GRANT SELECT, INSERT, DELETE ON witness_round, cosignature TO {_HUB_ROLE}")
    op.execute(f"GRANT SELECT, INSERT ON contradiction TO {_HUB_ROLE}")


def downgrade() -> None:
    """Refused: a ledger's tables are never taken back."""
    raise NotImplementedError("a ledger's tables are not taken back; restore a backup instead")
