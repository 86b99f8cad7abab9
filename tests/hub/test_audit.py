"""`seci-hub ledger verify` beside a superuser who changes each kind of thing behind the hub's back."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from crypto.note import Checkpoint
from hub import audit
from hub.errors import LedgerBroken
from tests.hub.ownhub import OwnHub

pytestmark = pytest.mark.system
LEAF, CONTENT, CHECKPOINT, SUBTREE = "ledger_leaf", "ledger_content", "ledger_checkpoint", "ledger_subtree"
# Batches of 3, 1, 300 and 6 entries: checkpoints of 3, 4, 304 and 310, and the subtree 8/0.
BATCHES = (3, 1, 300, 6)
# Every leaf as its content wants it.
_FIT = """
    UPDATE ledger_leaf SET hash = sha256('\\x00' || sha256(salt || entry))
    FROM ledger_content WHERE ledger_content.leaf_index = ledger_leaf.leaf_index
"""
CHANGES = {
    "a salt": (["UPDATE ledger_content SET salt = sha256('x') WHERE leaf_index = 2"], "content_changed", CONTENT, 2),
    "the first of several": (
        ["UPDATE ledger_content SET entry = entry || '\\x00' WHERE leaf_index IN (1, 2, 309)"],
        *("content_changed", CONTENT, 1),
    ),
    "what it is found by": (
        ["UPDATE ledger_content SET event = 'delivered' WHERE leaf_index = 100"],
        *("content_changed", CONTENT, 100),
    ),
    "when it is said to be": (
        ["UPDATE ledger_content SET at = at + 1 WHERE leaf_index = 5"],
        "content_changed",
        CONTENT,
        5,
    ),
    "a leaf": (["UPDATE ledger_leaf SET hash = sha256('x') WHERE leaf_index = 200"], "leaf_changed", LEAF, 200),
    "leaf and content of one each": (
        [
            "UPDATE ledger_leaf SET hash = sha256('x') WHERE leaf_index = 7",
            "UPDATE ledger_content SET salt = sha256('x') WHERE leaf_index = 8",
        ],
        *("entry_changed", LEAF, 7),
    ),
    "leaf and content together, alone under a checkpoint": (
        [
            "UPDATE ledger_content SET salt = sha256('x') WHERE leaf_index = 3",
            _FIT,
        ],
        *("entry_changed", LEAF, 3),
    ),
    "leaf and content together, with others": (
        [
            "UPDATE ledger_content SET salt = sha256('x') WHERE leaf_index = 305",
            _FIT,
        ],
        *("entry_changed", LEAF, 304),
    ),
    "no leaf": (["DELETE FROM ledger_leaf WHERE leaf_index = 0"], "row_missing", LEAF, 0),
    "no content": (["DELETE FROM ledger_content WHERE leaf_index = 309"], "row_missing", CONTENT, 309),
    "no entry": (
        ["DELETE FROM ledger_leaf WHERE leaf_index = 150", "DELETE FROM ledger_content WHERE leaf_index = 150"],
        "row_missing",
        LEAF,
        150,
    ),
    "another leaf": (["INSERT INTO ledger_leaf VALUES (310, sha256('x'))"], "row_added", LEAF, 310),
    "a leaf before all": (["INSERT INTO ledger_leaf VALUES (-1, sha256('x'))"], "row_added", LEAF, -1),
    "another content": (
        ["INSERT INTO ledger_content VALUES (400, 'refused', 1, sha256('x'), 'x')"],
        *("row_added", CONTENT, 400),
    ),
    "a root": (["UPDATE ledger_checkpoint SET root = sha256('x') WHERE size = 4"], "checkpoint_changed", CHECKPOINT, 3),
    "a frontier": (
        ["UPDATE ledger_checkpoint SET frontier = frontier || sha256('x') WHERE size = 310"],
        *("checkpoint_changed", CHECKPOINT, 309),
    ),
    "a note": (
        ["UPDATE ledger_checkpoint SET note = replace(note, '304', '303') WHERE size = 304"],
        *("checkpoint_changed", CHECKPOINT, 303),
    ),
    "an older note": (
        ["UPDATE ledger_checkpoint SET note = (SELECT note FROM ledger_checkpoint WHERE size = 3) WHERE size = 304"],
        *("checkpoint_changed", CHECKPOINT, 303),
    ),
    "a size": (["UPDATE ledger_checkpoint SET size = 299 WHERE size = 304"], "checkpoint_changed", CHECKPOINT, 298),
    "another checkpoint": (
        ["INSERT INTO ledger_checkpoint SELECT 200, root, frontier, note, at FROM ledger_checkpoint WHERE size = 304"],
        *("checkpoint_changed", CHECKPOINT, 199),
    ),
    "a checkpoint of nothing": (
        ["INSERT INTO ledger_checkpoint SELECT 0, root, frontier, note, at FROM ledger_checkpoint WHERE size = 304"],
        *("row_added", CHECKPOINT, -1),
    ),
    "no newest checkpoint": (["DELETE FROM ledger_checkpoint WHERE size = 310"], "row_missing", CHECKPOINT, 309),
    "a subtree": (["UPDATE ledger_subtree SET hash = sha256('x')"], "subtree_changed", SUBTREE, 0),
    "no subtree": (["DELETE FROM ledger_subtree"], "row_missing", SUBTREE, 0),
    "another subtree": (["INSERT INTO ledger_subtree VALUES (8, 1, sha256('x'))"], "row_added", SUBTREE, 256),
    "a subtree of no such level": (["INSERT INTO ledger_subtree VALUES (7, 0, sha256('x'))"], "row_added", SUBTREE, 0),
}


async def _fill(own: OwnHub, engine: AsyncEngine) -> None:
    for count in BATCHES:
        await own.append(engine, count)


@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.long)])
async def test_each_change_of_a_superuser_is_named(own: OwnHub, own_engine: AsyncEngine, every: int) -> None:
    await _fill(own, own_engine)
    await own_engine.dispose()
    own.back_up()
    assert own.type("ledger", "verify")[1]["ok"]
    for name, (statements, *wanted) in list(CHANGES.items())[::every]:
        own.restore()
        own.sql(*statements)
        code, said = own.type("ledger", "verify")
        found = [said[key] for key in ("fault", "table", "index")] if "fault" in said else said
        assert (name, code, said["code"], found) == (name, 6, "ledger_broken", wanted)


async def test_a_ledger_that_holds_is_still_held_against_the_lock_store(own: OwnHub, own_engine: AsyncEngine) -> None:
    await _fill(own, own_engine)
    assert own.type("ledger", "verify") == (
        0,
        own.type("ledger", "verify")[1] | {"ok": True, "size": 310, "checkpoints": 4},
    )
    store = own.log.store
    kept, origin = store.path.read_bytes(), store.origin
    root = store.read().newest.root
    store.begin(Checkpoint(origin, 312, root))
    assert own.type("ledger", "verify")[1]["code"] == "ledger_behind"
    store.begin(Checkpoint(origin, 304, root))
    assert own.type("ledger", "verify")[1]["code"] == "ledger_forked"
    store.begin(Checkpoint(origin, 302, root))
    assert own.type("ledger", "verify")[1]["fault"] == "row_missing"
    store.path.unlink()
    assert own.type("ledger", "verify")[1]["code"] == "lock_store_unusable"
    own.sql("UPDATE ledger_subtree SET hash = sha256('x')")
    assert own.type("ledger", "verify")[1]["fault"] == "subtree_changed"
    store.path.write_bytes(kept)


async def test_it_goes_on_over_many_chunks(
    own: OwnHub, own_engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _fill(own, own_engine)
    monkeypatch.setattr(audit, "CHUNK", 7)
    done = []
    async with own_engine.connect() as connection:
        found = await audit.audit(connection, own.log, lambda *progress: done.append(progress))
    assert (found.size, found.checkpoints, done[-1], len(done)) == (310, 4, (310, 310), 45)
    own.sql("UPDATE ledger_leaf SET hash = sha256('x') WHERE leaf_index = 23")
    async with own_engine.connect() as connection:
        with pytest.raises(LedgerBroken, match="the leaf of entry 23"):
            await audit.audit(connection, own.log, lambda *_: None)


async def test_an_empty_ledger_holds(own: OwnHub) -> None:
    assert own.type("ledger", "verify")[1]["size"] == 0
