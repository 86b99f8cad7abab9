"""Invitations to join, and how far each has come. A node has one at a time that is not over."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_HUB_ROLE = "seci_hub"


def upgrade() -> None:
    """Adds the table. Rows are never deleted: they say who invited, approved and confirmed."""
    op.create_table(
        "enrolment",
        sa.Column("invitation", sa.LargeBinary, primary_key=True),
        sa.Column("node", sa.Text, nullable=False),
        sa.Column("stage", sa.Text, nullable=False),
        sa.Column("token_key", sa.LargeBinary, nullable=False),
        sa.Column("agencies", sa.ARRAY(sa.Text)),
        sa.Column("task_forces", sa.ARRAY(sa.Text)),
        sa.Column("replace_keys", sa.Boolean, nullable=False),
        sa.Column("expires", sa.BigInteger, nullable=False),
        sa.Column("invited_by", sa.Text, nullable=False),
        sa.Column("request", sa.Text),
        sa.Column("words", sa.Text),
        sa.Column("challenge", sa.LargeBinary),
        sa.Column("by_file", sa.Boolean),
        sa.Column("proven", sa.Boolean),
        sa.Column("approved_by", sa.Text),
        sa.Column("confirmed_by", sa.Text),
        sa.Column("certificate", sa.Text),
        sa.Column("roster_version", sa.Integer),
        sa.Column("reason", sa.Text),
        sa.Column("since", sa.BigInteger, nullable=False),
    )
    still_open = sa.text("stage NOT IN ('in_roster', 'welcomed', 'rejected', 'withdrawn')")
    op.create_index("enrolment_open", "enrolment", ["node"], unique=True, postgresql_where=still_open)
    op.execute(f"GRANT SELECT, INSERT, UPDATE ON enrolment TO {_HUB_ROLE}")


def downgrade() -> None:
    """Refused: a ledger's tables are never taken back."""
    raise NotImplementedError("a ledger's tables are not taken back; restore a backup instead")
