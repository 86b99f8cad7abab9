"""The audit's arithmetic: a walk over the ledger's rows, from the first to the newest checkpoint. It reads nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from crypto import merkle
from crypto.errors import NoteInvalid
from crypto.hubkeys import LedgerKeys, open_checkpoint
from crypto.merkle import HASH_SIZE, CompactRange
from crypto.receipt import leaf_of
from hub import tables
from hub.batch import STRIDE
from hub.errors import Fault, LedgerBroken
from schemas import cbor

Subtrees = Mapping[tuple[int, int], bytes]
"""The stored hash of the perfect subtree at (level, place)."""
Erased = Mapping[int, bytes | None]
"""The commitment that is kept of an erased entry, if any is."""

_NEXT: Final = "stop the hub, keep the database as it is, and compare with a backup and the nodes' checkpoints"
_LEAF: Final = tables.ledger_leaf.name
_CONTENT: Final = tables.ledger_content.name
_ERASURE: Final = tables.erasure.name
_CHECKPOINT: Final = tables.ledger_checkpoint.name
_SUBTREE: Final = tables.ledger_subtree.name


def broken(fault: Fault, table: str, index: int, words: str) -> LedgerBroken:
    """The error for a fault, which concerns the entry `index` first."""
    return LedgerBroken(fault, table, index, words, _NEXT)


@dataclass(slots=True)
class Walk:
    """How far it has come: the tree of the leaves, and since the last checkpoint what is wrong with what."""

    origin: str
    keys: LedgerKeys
    tree: CompactRange = field(default_factory=lambda: CompactRange(0, ()))
    checkpoints: int = 0
    erased: int = 0
    _since: int = 0
    # The tree of the contents, once it is another one; the first entry at fault; the first subtree at fault.
    _other: CompactRange | None = None
    _entry: LedgerBroken | None = None
    _subtree: LedgerBroken | None = None

    def go_on(self, rows: Sequence[Any], checkpoints: Sequence[Any], subtrees: Subtrees, erased: Erased) -> None:
        """Goes on with the next entries, the checkpoints over these, and the subtrees that they complete.

        Of the entries `erased`, which an erasure names, there is no content. A fault is raised at the checkpoint behind
        it, which tells what the tree should be. Raises LedgerBroken.
        """
        start = done = self.tree.size
        for checkpoint in checkpoints:
            self._extend(rows[done - start : checkpoint.size - start], subtrees, erased)
            self._hold_against(checkpoint)
            done = checkpoint.size
        self._extend(rows[done - start :], subtrees, erased)

    def _extend(self, rows: Sequence[Any], subtrees: Subtrees, erased: Erased) -> None:
        leaves, contents = [], []
        for index, row in enumerate(rows, self.tree.size):
            leaf, content = None if row is None else row.hash, _hash_of(row, erased.get(index))
            if index in erased and leaf is not None:
                self._entry = self._entry or _fault_of_erased(index, row, content)
                self.erased += 1
            elif leaf is None or leaf != content or not _is_labelled(row):
                self._entry = self._entry or _fault_of(index, leaf, content)
            known = leaf or content
            if known is None:
                raise self._entry or _fault_of(index, leaf, content)
            leaves.append(known)
            contents.append(content or known)
        if self._other or contents != leaves:
            self._other = (self._other or self.tree).append(contents)[0]
        self.tree, completed = self.tree.append(leaves)
        for (level, place), value in completed.items():
            if level and level % STRIDE == 0 and subtrees.get((level, place)) != value and self._subtree is None:
                self._subtree = _fault_of_subtree(level, place, (level, place) in subtrees)

    def _hold_against(self, row: Any) -> None:
        root = self.tree.root()
        try:
            signed = open_checkpoint(row.note, self.keys)
            unsigned = "" if (signed.origin, signed.size) == (self.origin, row.size) else "its note is of another tree"
        except NoteInvalid as error:
            unsigned = str(error)
        wanted = row.root if unsigned else signed.root
        if self._entry is not None:
            raise self._judged(self._entry, wanted)
        if not unsigned and root != wanted:
            raise self._together(row, wanted)
        if unsigned or row.root != root or row.frontier != b"".join(self.tree.hashes):
            words = unsigned or "its root or frontier is not that of the leaves, and not what was signed"
            raise broken(
                Fault.CHECKPOINT_CHANGED, _CHECKPOINT, row.size - 1, f"the checkpoint of {row.size} entries: {words}"
            )
        if self._subtree is not None:
            raise self._subtree
        self.checkpoints, self._since = self.checkpoints + 1, row.size

    def _judged(self, found: LedgerBroken, wanted: bytes) -> LedgerBroken:
        if found.fault is not Fault.ENTRY_CHANGED:
            return found
        index = found.index
        if self._other is not None and self._other.root() == wanted:
            return broken(Fault.LEAF_CHANGED, _LEAF, index, f"the leaf of entry {index} is not that of its content")
        if self.tree.root() == wanted and found.table == _ERASURE:
            words = f"the commitment that is kept of the erased entry {index} is not that of its leaf"
            return broken(Fault.COMMITMENT_CHANGED, _ERASURE, index, words)
        if self.tree.root() == wanted:
            return broken(Fault.CONTENT_CHANGED, _CONTENT, index, f"entry {index} is not what its leaf commits to")
        return found

    def _together(self, row: Any, wanted: bytes) -> LedgerBroken:
        # Leaf and content fit each other. The frontier, if it is the one that was signed, narrows it down.
        first, end = self._since, row.size
        hashes = tuple(row.frontier[at : at + HASH_SIZE] for at in range(0, len(row.frontier), HASH_SIZE))
        stored = CompactRange(row.size, hashes)
        if len(hashes) == row.size.bit_count() and stored.root() == wanted:
            ours = self.tree.nodes()
            level, place = next(key for key, value in stored.nodes().items() if ours[key] != value)
            first, end = max(first, place << level), (place + 1) << level
        which = f"entry {first}" if end - first == 1 else f"one of the entries {first} to {end - 1}"
        words = f"{which} was changed, content and leaf together: the root is not the one that was signed"
        return broken(Fault.ENTRY_CHANGED, _LEAF, first, words)


def _hash_of(row: Any, kept: bytes | None) -> bytes | None:
    """What the leaf should be by the content, or by the commitment that is kept where that is erased."""
    if row is not None and row.entry is not None:
        return leaf_of(row.salt, row.entry)
    return None if kept is None else merkle.leaf_hash(kept)


def _is_labelled(row: Any) -> bool:
    """Whether the columns by which an entry is found say what it says."""
    try:
        entry = cbor.decode(row.entry)
    except cbor.EncodingRefused:
        return False
    return isinstance(entry, dict) and (entry.get("event"), entry.get("at")) == (row.event, row.at)


def _fault_of(index: int, leaf: bytes | None, content: bytes | None) -> LedgerBroken:
    if leaf is None and content is None:
        return broken(Fault.ROW_MISSING, _LEAF, index, f"entry {index} is missing, leaf and content")
    if leaf is None:
        return broken(Fault.ROW_MISSING, _LEAF, index, f"the leaf of entry {index} is missing")
    if content is None:
        words = f"the content of entry {index} is missing, and no erasure names it"
        return broken(Fault.ROW_MISSING, _CONTENT, index, words)
    if leaf == content:
        words = f"the columns `event` and `at` of entry {index} are not what it says"
        return broken(Fault.CONTENT_CHANGED, _CONTENT, index, words)
    words = f"leaf and content of entry {index} do not fit, and neither gives the root that was signed"
    return broken(Fault.ENTRY_CHANGED, _LEAF, index, words)


def _fault_of_erased(index: int, row: Any, content: bytes | None) -> LedgerBroken | None:
    if row.entry is not None:
        return broken(Fault.ROW_ADDED, _CONTENT, index, f"entry {index} was erased, and there is content of it again")
    if content in (None, row.hash):
        return None
    words = f"leaf and commitment of the erased entry {index} do not fit, and neither gives the root that was signed"
    return broken(Fault.ENTRY_CHANGED, _ERASURE, index, words)


def _fault_of_subtree(level: int, place: int, stored: bool) -> LedgerBroken:
    fault, words = (Fault.SUBTREE_CHANGED, "is not that of its leaves") if stored else (Fault.ROW_MISSING, "is missing")
    return broken(fault, _SUBTREE, place << level, f"subtree {level}/{place} {words}")
