"""Since when a delivery is held, so that a monitor can tell a full inbox of today from one of last week."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """What is held already counts from now on."""
    since = sa.Column(
        "since", sa.BigInteger, nullable=False, server_default=sa.text("extract(epoch FROM now()) * 1000")
    )
    op.add_column("held", since)


def downgrade() -> None:
    """Takes the column away; no delivery is lost."""
    op.drop_column("held", "since")
