"""Handovers of the signing key; and whose turn it is learns which key signs by now."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_HUB_ROLE = "seci_hub"


def upgrade() -> None:
    """Adds the table, which is only ever added to; renews the functions."""
    op.create_table(
        "handover",
        sa.Column("leaf_index", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.Column("news", sa.LargeBinary, nullable=False),
    )
    op.execute(f"GRANT SELECT, INSERT ON handover TO {_HUB_ROLE}")
    # Which key signs when is never erased, as what operators did is not.
    op.execute(
        """
        DO $$ BEGIN EXECUTE replace(
            pg_get_functiondef('erase_entries(bigint, bigint[], uuid[])'::regprocedure),
            $old$'operator')$old$, $new$'operator', 'handover')$new$
        ); END $$
        """
    )
    op.execute("DROP FUNCTION take_turn_seeing(bigint, uuid[], text[], bytea[])")
    op.execute("DROP FUNCTION take_turn(bigint)")
    # As they were, and the id of the key that the newest handover is to: who has another one signs nothing.
    op.execute(
        """
        CREATE FUNCTION take_turn(key bigint) RETURNS TABLE (at bigint, size bigint, frontier bytea, signer bytea)
        LANGUAGE plpgsql VOLATILE AS $$
        BEGIN
            PERFORM pg_advisory_xact_lock(key);
            RETURN QUERY
                SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint,
                    coalesce(newest.size, 0), coalesce(newest.frontier, ''::bytea),
                    (SELECT handover.key FROM handover ORDER BY handover.leaf_index DESC LIMIT 1)
                FROM (VALUES (1)) AS one LEFT JOIN LATERAL (
                    SELECT ledger_checkpoint.size, ledger_checkpoint.frontier FROM ledger_checkpoint
                    ORDER BY ledger_checkpoint.size DESC LIMIT 1
                ) AS newest ON true;
        END $$
        """
    )
    op.execute(
        """
        CREATE FUNCTION take_turn_seeing(key bigint, ids uuid[], nodes text[], digests bytea[])
        RETURNS TABLE (
            at bigint, size bigint, frontier bytea, signer bytea, roster integer, node text, id uuid, envelope bytea,
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
