"""What operators did with nodes; certificates as issued; and whose turn it is learns the newest roster's version."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_HUB_ROLE = "seci_hub"


def upgrade() -> None:
    """Adds the tables, which are only ever added to, and an index of what is withheld; renews the function."""
    op.create_table(
        "node_act",
        sa.Column("leaf_index", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("node", sa.Text, nullable=False),
        sa.Column("act", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
    )
    op.create_table(
        "certificate",
        sa.Column("serial", sa.Text, primary_key=True),
        sa.Column("node", sa.Text, nullable=False),
        sa.Column("not_after", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "certificate_revocation",
        sa.Column("serial", sa.Text, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("cause", sa.Text, nullable=False),
    )
    op.execute(f"GRANT SELECT, INSERT ON node_act, certificate, certificate_revocation TO {_HUB_ROLE}")
    op.execute("CREATE INDEX held_withheld ON held (node) WHERE reason = 'withheld'")
    op.execute("DROP FUNCTION take_turn_seeing(bigint, uuid[], text[], bytea[])")
    # As it was, and the version of the newest roster: what was judged by an older one is judged anew.
    op.execute(
        """
        CREATE FUNCTION take_turn_seeing(key bigint, ids uuid[], nodes text[], digests bytea[])
        RETURNS TABLE (
            at bigint, size bigint, frontier bytea, roster integer, node text, id uuid, envelope bytea,
            leaf_index bigint, thread uuid, recipients text[], priority text
        )
        LANGUAGE plpgsql VOLATILE AS $$
        #variable_conflict use_column
        BEGIN
            PERFORM pg_advisory_xact_lock(key);
            RETURN QUERY
                SELECT turn.*, (SELECT max(newest.version) FROM roster AS newest), seen.*
                FROM take_turn(key) AS turn LEFT JOIN (
                    SELECT message.sender AS node, message.id, message.envelope, message.leaf_index,
                        message.thread, message.recipients, message.priority
                    FROM message WHERE message.id = ANY (ids)
                    UNION ALL
                    SELECT refusal.node, NULL, refusal.envelope, refusal.leaf_index, NULL, NULL, NULL
                    FROM refusal WHERE refusal.node = ANY (nodes) AND refusal.envelope = ANY (digests)
                    UNION ALL
                    SELECT aside.node, NULL, aside.digest, aside.leaf_index, NULL, NULL, NULL
                    FROM quarantine AS aside
                    WHERE aside.node = ANY (nodes) AND aside.digest = ANY (digests) AND NOT EXISTS (
                        SELECT FROM quarantine_decision AS decided
                        WHERE (decided.node, decided.digest) = (aside.node, aside.digest)
                            AND decided.decision = 'released'
                    )
                ) AS seen ON true;
        END $$
        """
    )


def downgrade() -> None:
    """Refused: a ledger's tables are never taken back."""
    raise NotImplementedError("a ledger's tables are not taken back; restore a backup instead")
