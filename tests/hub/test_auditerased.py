"""The audit of what is erased: what was done to rows behind the hub's back, and how it is named."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from hub import audit, erasure
from hub.errors import Fault, LedgerBroken
from hub.pen import writing
from hub.quarantine import Decision
from tests.hub.ownhub import OwnHub

pytestmark = pytest.mark.system

# What a superuser does behind the hub's back, and what the audit says of it. Entry 310 erased 307 and 309.
KEPT = "INSERT INTO ledger_content SELECT * FROM kept"
FOUND = {
    "content without an erasure": (
        "DELETE FROM ledger_content WHERE leaf_index = 308",
        *("row_missing", "ledger_content", 308),
    ),
    "content, and a row that no entry stands behind": (
        "DELETE FROM ledger_content WHERE leaf_index = 308; INSERT INTO erasure VALUES (308, 310)",
        *("row_missing", "ledger_content", 308),
    ),
    "the row of an erasure": ("DELETE FROM erasure WHERE leaf_index = 309", "row_missing", "ledger_content", 309),
    "content put back": (KEPT, "row_added", "ledger_content", 307),
    "content put back, and no row": (f"{KEPT}; DELETE FROM erasure", "row_missing", "erasure", 307),  # noqa: S608 ours
    "a row of what was not erased": ("INSERT INTO erasure VALUES (308, 310)", "row_added", "erasure", 308),
    "a row of an entry that is none": ("INSERT INTO erasure VALUES (308, 999)", "row_added", "erasure", 308),
    "a row of an entry that erases nothing": ("INSERT INTO erasure VALUES (306, 308)", "row_added", "erasure", 306),
    "the leaf of an erased entry": (
        "UPDATE ledger_leaf SET hash = sha256('x') WHERE leaf_index = 309",
        *("leaf_changed", "ledger_leaf", 309),
    ),
    "the leaf of an erased entry, missing": (
        "DELETE FROM ledger_leaf WHERE leaf_index = 309",
        *("row_missing", "ledger_leaf", 309),
    ),
    "the leaf of an entry that was erased before commitments were kept": (
        "UPDATE erasure SET commitment = NULL; UPDATE ledger_leaf SET hash = sha256('x') WHERE leaf_index = 309",
        *("entry_changed", "ledger_leaf", 308),
    ),
    "the commitment that is kept": (
        "UPDATE erasure SET commitment = sha256('x') WHERE leaf_index = 307",
        *("commitment_changed", "erasure", 307),
    ),
    "the commitment and the leaf, each to something else": (
        "UPDATE erasure SET commitment = sha256('x') WHERE leaf_index = 309; "
        "UPDATE ledger_leaf SET hash = sha256('y') WHERE leaf_index = 309",
        *("entry_changed", "erasure", 309),
    ),
    "the commitment and the leaf together": (
        "UPDATE erasure SET commitment = sha256('x') WHERE leaf_index = 309; "
        "UPDATE ledger_leaf SET hash = sha256('\\x00' || sha256('x')) WHERE leaf_index = 309",
        *("entry_changed", "ledger_leaf", 308),
    ),
    "the erasure's own entry": (
        "UPDATE ledger_content SET salt = sha256('x') WHERE leaf_index = 310",
        *("content_changed", "ledger_content", 310),
    ),
}  # fmt: skip


async def test_the_audit_takes_an_erasure_from_its_entry_alone(own: OwnHub, own_engine: AsyncEngine) -> None:
    for count in (306, 4):
        await own.append(own_engine, count)
    own.sql("CREATE TABLE kept AS SELECT * FROM ledger_content WHERE leaf_index IN (307, 309)")
    async with writing(own_engine, own.log) as connection:
        assert await erasure.erase(connection, own.log, [309, 307], Decision("Ana", "court order")) == 310
    await own.append(own_engine)

    async def audited() -> audit.Audited:
        async with own_engine.connect() as connection:
            return await audit.audit(connection, own.log, lambda *_: None)

    found = await audited()
    assert (found.size, found.erased) == (312, 2)
    everything = "ledger_leaf, ledger_content, erasure"
    own.sql(*(f"CREATE TABLE {table}_whole AS SELECT * FROM {table}" for table in everything.split(", ")))  # noqa: S608 ours
    for name, (statements, fault, table, index) in FOUND.items():
        own.sql(statements)
        with pytest.raises(LedgerBroken) as caught:
            await audited()
        error = caught.value
        assert (name, error.fault, error.table, error.index) == (name, Fault(fault), table, index)
        own.sql(f"TRUNCATE {everything}")
        own.sql(*(f"INSERT INTO {table} SELECT * FROM {table}_whole" for table in everything.split(", ")))  # noqa: S608 ours
    own.sql("UPDATE erasure SET commitment = NULL WHERE leaf_index = 309")  # as if it had been erased before 0008
    assert await audited() == found
