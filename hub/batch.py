"""Entries on their way into the tree: encoded, salted, hashed, appended, and each one proven. No I/O."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from crypto import merkle
from crypto.receipt import leaf_of
from hub.rows import Content, Row
from schemas.control import SALT_SIZE, Entry, Receipt

STRIDE: Final = 8


@dataclass(slots=True)
class Batch:
    """Entries on their way into the tree `old`, which makes it `tree`; `completed` has the subtrees that are new."""

    old: merkle.CompactRange
    entries: Sequence[Entry]
    salts: list[bytes] = field(default_factory=list)
    encoded: list[bytes] = field(default_factory=list)
    leaves: list[bytes] = field(default_factory=list)
    tree: merkle.CompactRange = field(init=False)
    completed: dict[tuple[int, int], bytes] = field(init=False)

    def content(self) -> list[Content]:
        """The rows of `ledger_content`: each entry encoded, salted and hashed."""
        entries, indices = self.entries, range(self.old.size, self.old.size + len(self.entries))
        drawn = secrets.token_bytes(SALT_SIZE * len(entries))
        self.salts = [drawn[place : place + SALT_SIZE] for place in range(0, len(drawn), SALT_SIZE)]
        self.encoded = [entry.to_bytes() for entry in entries]
        self.leaves = list(map(leaf_of, self.salts, self.encoded))
        events, times = [entry.event for entry in entries], [entry.at for entry in entries]
        return list(zip(indices, events, times, self.salts, self.encoded, strict=True))

    def grow(self) -> None:
        """Appends the leaves, once the content was made."""
        self.tree, self.completed = self.old.append(self.leaves)

    def receipts(self) -> tuple[Receipt, ...]:
        """Of each entry, under the checkpoint of `tree`."""
        paths = proofs(self.old.size, self.tree.size, {**self.old.nodes(), **self.completed})
        indices = range(self.old.size, self.tree.size)
        return tuple(map(Receipt, indices, self.encoded, self.salts, paths))

    def subtrees(self) -> list[Row]:
        """The rows of `ledger_subtree`."""
        return [(*at, value) for at, value in self.completed.items() if at[0] and not at[0] % STRIDE]


def proofs(first: int, size: int, nodes: Mapping[tuple[int, int], bytes]) -> list[tuple[bytes, ...]]:
    """As `merkle.inclusion_proof`, of all leaves from `first` to the last; what they have in common is done once."""
    found: list[tuple[bytes, ...]] = []

    def root_of(start: int, end: int) -> bytes:
        level = (end - start).bit_length() - 1
        if end - start == 1 << level:
            return nodes[level, start >> level]
        middle = start + (1 << level)
        return merkle.node_hash(root_of(start, middle), root_of(middle, end))

    def descend(start: int, end: int, path: tuple[bytes, ...]) -> None:
        if first <= start and (end - start) & (end - start - 1) == 0:
            level = (end - start).bit_length() - 1
            found.extend(_below(level, start >> level, path, nodes))
            return
        middle = start + (1 << (end - start - 1).bit_length() - 1)
        if first < middle:
            descend(start, middle, (root_of(middle, end), *path))
        descend(middle, end, (root_of(start, middle), *path))

    descend(0, size, ())
    return found


def _below(
    level: int, place: int, path: tuple[bytes, ...], nodes: Mapping[tuple[int, int], bytes]
) -> list[tuple[bytes, ...]]:
    """The paths of all leaves of a perfect subtree, in order; `path` is its own."""
    paths = [path]
    while level:
        level, place = level - 1, place << 1
        paths = [(nodes[level, (place + at) ^ 1], *paths[at >> 1]) for at in range(2 * len(paths))]
    return paths
