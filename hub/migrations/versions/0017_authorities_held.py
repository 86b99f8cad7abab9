"""What nodes say of the certification authorities that they trust."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_HUB_ROLE = "seci_hub"


def upgrade() -> None:
    """Adds the table; of each node the newest word counts."""
    op.create_table(
        "authorities_held",
        sa.Column("node", sa.Text, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("authorities", sa.ARRAY(sa.LargeBinary), nullable=False),
        sa.Column("issuer", sa.LargeBinary),
    )
    op.execute(f"GRANT SELECT, INSERT, UPDATE ON authorities_held TO {_HUB_ROLE}")


def downgrade() -> None:
    """Refused: a ledger's tables are never taken back."""
    raise NotImplementedError("a ledger's tables are not taken back; restore a backup instead")
