"""Entries `operator`, of what operators did, are found without reading the whole ledger."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the index, as there is one of entries `erased`."""
    op.execute("CREATE INDEX ledger_content_operator ON ledger_content (leaf_index) WHERE event = 'operator'")


def downgrade() -> None:
    """Refused: a ledger's tables are never taken back."""
    raise NotImplementedError("a ledger's tables are not taken back; restore a backup instead")
