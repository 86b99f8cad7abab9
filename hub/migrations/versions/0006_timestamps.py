"""Timestamps of the ledger's checkpoints by an authority outside of the exchange, and how the last attempt went."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_HUB_ROLE = "seci_hub"


def upgrade() -> None:
    """Adds the tables; the one row of progress says that nothing was tried yet."""
    op.create_table(
        "timestamps",
        sa.Column("size", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("place", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("said", sa.BigInteger, nullable=False),
        sa.Column("tsa", sa.Text, nullable=False),
        sa.Column("response", sa.LargeBinary, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    progress = op.create_table(
        "timestamp_progress",
        sa.Column("tried", sa.BigInteger, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("code", sa.Text),
    )
    op.bulk_insert(progress, [{"tried": 0, "failures": 0}])
    op.execute(f"GRANT SELECT, INSERT ON timestamps TO {_HUB_ROLE}")
    op.execute(f"GRANT SELECT, UPDATE ON timestamp_progress TO {_HUB_ROLE}")


def downgrade() -> None:
    """Refused: a ledger's tables are never taken back."""
    raise NotImplementedError("a ledger's tables are not taken back; restore a backup instead")
