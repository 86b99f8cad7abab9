"""Erasing what entries say: what the hub's role may not do itself, a function of the database's owner does for it.

It takes away nothing but what an entry of event `erased`, written in the same transaction, names; and that entry stays.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_HUB_ROLE = "seci_hub"


def upgrade() -> None:
    """Adds the table that says which entry erased which, and the function."""
    op.execute("CREATE TABLE erasure (leaf_index bigint PRIMARY KEY, erased_by bigint NOT NULL)")
    op.execute("CREATE INDEX erasure_erased_by ON erasure (erased_by)")
    op.execute("CREATE INDEX ledger_content_erased ON ledger_content (leaf_index) WHERE event = 'erased'")
    op.execute(f"GRANT SELECT ON erasure TO {_HUB_ROLE}")
    # A number of CBOR, and the head of an array (RFC 8949, 3.1), in their shortest form.
    op.execute(
        """
        CREATE FUNCTION cbor_head(major int, value bigint) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
            SELECT CASE
                WHEN value < 24 THEN substring(int8send(major * 32 + value) FROM 8)
                WHEN value < 256 THEN substring(set_byte(int8send(value), 6, major * 32 + 24) FROM 7)
                WHEN value < 65536 THEN substring(set_byte(int8send(value), 5, major * 32 + 25) FROM 6)
                WHEN value < 4294967296 THEN substring(set_byte(int8send(value), 3, major * 32 + 26) FROM 4)
                ELSE substring(int2send((major * 32 + 27)::int2) FROM 2) || int8send(value)
            END
        $$
        """
    )
    op.execute(_ERASE)
    op.execute("REVOKE ALL ON FUNCTION erase_entries(bigint, bigint[], uuid[]) FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION erase_entries(bigint, bigint[], uuid[]) TO {_HUB_ROLE}")


# `erased` is the last field of such an entry, so what it names is how its bytes end. `ids` are the messages that the
# entries, and the acknowledgements they rest on, are about: by these the rows are found that repeat what is erased.
_ERASE = """
CREATE FUNCTION erase_entries(erasing bigint, indices bigint[], ids uuid[]) RETURNS void
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
    DELETE FROM ledger_content WHERE leaf_index = ANY (indices) AND event NOT IN ('erased', 'roster');
    GET DIAGNOSTICS gone = ROW_COUNT;
    IF gone <> cardinality(indices) THEN
        RAISE EXCEPTION 'one of these is not there, or must stay' USING ERRCODE = '42501';
    END IF;
    INSERT INTO erasure SELECT unnest(indices), erasing;

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
