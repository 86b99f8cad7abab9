"""Operators: accounts, sessions, approvals by a second person, and their acts as they were written down."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_HUB_ROLE = "seci_hub"


def upgrade() -> None:
    """Adds the tables; of an operator's act only the evidence of it is in the ledger, and it is never changed."""
    op.create_table(
        "operator",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("certificate", sa.LargeBinary),
        sa.Column("totp_step", sa.BigInteger, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("disabled_at", sa.BigInteger),
    )
    op.create_table(
        "operator_session",
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        sa.Column("operator", sa.Text, nullable=False),
        sa.Column("begun", sa.BigInteger, nullable=False),
        sa.Column("last_used", sa.BigInteger, nullable=False),
        sa.Column("ends", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "login_failure",
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("last", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "approval",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("asked_by", sa.Text, nullable=False),
        sa.Column("asked_at", sa.BigInteger, nullable=False),
        sa.Column("expires", sa.BigInteger, nullable=False),
        sa.Column("confirmed_by", sa.Text),
        sa.Column("confirmed_at", sa.BigInteger),
        sa.Column("ended", sa.Text),
        sa.Column("ended_by", sa.Text),
        sa.Column("ended_at", sa.BigInteger),
        sa.CheckConstraint("confirmed_by <> asked_by", name="approval_by_another"),
    )
    op.create_table(
        "operator_act",
        sa.Column("leaf_index", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("operator", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("act", sa.LargeBinary, nullable=False),
    )
    op.create_index("operator_act_operator", "operator_act", ["operator", "leaf_index"])
    op.create_index("operator_act_action", "operator_act", ["action", "leaf_index"])
    op.create_index("approval_digest", "approval", ["digest", "id"])
    for rights, table in (
        ("SELECT, INSERT, UPDATE (role, sealed, certificate, totp_step, disabled_at)", "operator"),
        ("SELECT, INSERT, UPDATE (last_used, ends), DELETE", "operator_session"),
        ("SELECT, INSERT, UPDATE, DELETE", "login_failure"),
        ("SELECT, INSERT, UPDATE (confirmed_by, confirmed_at, ended, ended_by, ended_at)", "approval"),
        ("SELECT, INSERT", "operator_act"),
    ):
        op.execute(f"GRANT {rights} ON {table} TO {_HUB_ROLE}")
    # What operators did is never erased, as rosters and erasures are not.
    op.execute(
        """
        DO $$ BEGIN EXECUTE replace(
            pg_get_functiondef('erase_entries(bigint, bigint[], uuid[])'::regprocedure),
            $old$('erased', 'roster')$old$, $new$('erased', 'roster', 'operator')$new$
        ); END $$
        """
    )


def downgrade() -> None:
    """Refused: a ledger's tables are never taken back."""
    raise NotImplementedError("a ledger's tables are not taken back; restore a backup instead")
