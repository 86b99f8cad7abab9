"""One round trip to take one's turn at the ledger, and to see what is on record already of what arrives."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the functions; each of their statements sees what was committed until then, for they are volatile."""
    op.execute(
        """
        CREATE FUNCTION take_turn(key bigint) RETURNS TABLE (at bigint, size bigint, frontier bytea)
        LANGUAGE plpgsql VOLATILE AS $$
        BEGIN
            PERFORM pg_advisory_xact_lock(key);
            RETURN QUERY
                SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint,
                    coalesce(newest.size, 0), coalesce(newest.frontier, ''::bytea)
                FROM (VALUES (1)) AS one LEFT JOIN LATERAL (
                    SELECT ledger_checkpoint.size, ledger_checkpoint.frontier FROM ledger_checkpoint
                    ORDER BY ledger_checkpoint.size DESC LIMIT 1
                ) AS newest ON true;
        END $$
        """
    )
    # What was refused, or is in quarantine, has no id in the answer.
    op.execute(
        """
        CREATE FUNCTION take_turn_seeing(key bigint, ids uuid[], nodes text[], digests bytea[])
        RETURNS TABLE (
            at bigint, size bigint, frontier bytea, node text, id uuid, envelope bytea, leaf_index bigint,
            thread uuid, recipients text[], priority text
        )
        LANGUAGE plpgsql VOLATILE AS $$
        #variable_conflict use_column
        BEGIN
            PERFORM pg_advisory_xact_lock(key);
            RETURN QUERY
                SELECT turn.*, seen.* FROM take_turn(key) AS turn LEFT JOIN (
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
    """Takes the functions away."""
    op.execute("DROP FUNCTION take_turn_seeing")
    op.execute("DROP FUNCTION take_turn")
