"""Questions that have not expired are found without those of years: how many are overdue is asked all the time."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the index. Messages wait for it meanwhile: a second for a million."""
    present = sa.text("reply_by IS NOT NULL")
    op.create_index("message_question", "message", ["expires", "reply_by"], postgresql_where=present)


def downgrade() -> None:
    """Refused: a ledger's tables are never taken back."""
    raise NotImplementedError("a ledger's tables are not taken back; restore a backup instead")
