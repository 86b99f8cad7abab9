"""Erasing keeps the commitment: what the leaf hash is taken of, and what tools that are not ours read as the entry.

Of what was erased before, it is gone with the salt.
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the column, and puts the function that fills it in the former one's place; who may call it stays."""
    op.execute("ALTER TABLE erasure ADD COLUMN commitment bytea CHECK (octet_length(commitment) = 32)")
    op.execute("CREATE INDEX erasure_uncommitted ON erasure (leaf_index) WHERE commitment IS NULL")
    op.execute(_ERASE)


# As in 0007, but for the statement that deletes: what it takes of salt and entry, it leaves in `erasure`.
_ERASE = """
CREATE OR REPLACE FUNCTION erase_entries(erasing bigint, indices bigint[], ids uuid[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    named bytea;
    gone bigint;
BEGIN
    SELECT 'ferased'::bytea || cbor_head(4, cardinality(indices))
            || string_agg(cbor_head(0, one.index), ''::bytea ORDER BY one.place)
        INTO named FROM unnest(indices) WITH ORDINALITY AS one (index, place);
    PERFORM FROM ledger_content
        WHERE leaf_index = erasing AND event = 'erased' AND xmin = pg_current_xact_id()::xid
            AND substring(entry FROM octet_length(entry) - octet_length(named) + 1) = named;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no entry of this transaction says that just these are erased' USING ERRCODE = '42501';
    END IF;
    WITH erased AS (
        DELETE FROM ledger_content WHERE leaf_index = ANY (indices) AND event NOT IN ('erased', 'roster')
            RETURNING leaf_index, sha256(salt || entry) AS commitment
    ) INSERT INTO erasure (leaf_index, erased_by, commitment) SELECT leaf_index, erasing, commitment FROM erased;
    GET DIAGNOSTICS gone = ROW_COUNT;
    IF gone <> cardinality(indices) THEN
        RAISE EXCEPTION 'one of these is not there, or must stay' USING ERRCODE = '42501';
    END IF;

    -- By sender, id and envelope a message is recognised for ever; by kind and expiry its other entries are kept.
    UPDATE message SET thread = id, task_force = '', priority = '', recipients = '{}',
            in_reply_to = NULL, remind_at = NULL, reply_by = NULL
        WHERE id = ANY (ids) AND leaf_index = ANY (indices);
    UPDATE refusal SET message = NULL WHERE message = ANY (ids) AND leaf_index = ANY (indices);
    DELETE FROM deadline WHERE id = ANY (ids) AND leaf_index = ANY (indices);
    UPDATE quarantine_decision SET operator = '', reason = '' WHERE leaf_index = ANY (indices);
    DELETE FROM acknowledgement_document AS document
        WHERE document.evidence IN (
                SELECT acknowledgement.evidence FROM acknowledgement WHERE id = ANY (ids) AND leaf_index = ANY (indices)
            ) AND NOT EXISTS (
                SELECT FROM acknowledgement AS other
                WHERE other.id = ANY (ids) AND other.evidence = document.evidence
                    AND NOT EXISTS (SELECT FROM erasure WHERE erasure.leaf_index = other.leaf_index)
            );
END $$
"""


def downgrade() -> None:
    """Refused: a ledger's tables are never taken back."""
    raise NotImplementedError("a ledger's tables are not taken back; restore a backup instead")
