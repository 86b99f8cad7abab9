"""One round trip to take one's turn at the ledger: the lock, the clock and the newest checkpoint's tree."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the function; each of its statements sees what was committed until then, for it is volatile."""
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


def downgrade() -> None:
    """Takes the function away."""
    op.execute("DROP FUNCTION take_turn")
