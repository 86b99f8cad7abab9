"""The hub's second signature, ML-DSA-44, under the checkpoints that witnesses are asked to cosign.

Rounds from before have none.
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the column; the hub's role has its rights on the whole table."""
    op.execute("ALTER TABLE witness_round ADD COLUMN line text")


def downgrade() -> None:
    """Refused: a ledger's tables are never taken back."""
    raise NotImplementedError("a ledger's tables are not taken back; restore a backup instead")
