"""Entries on their way into the tree: encoded, salted and hashed in parts, appended, and each one proven. No I/O."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from crypto import merkle
from crypto.receipt import leaf_of
from hub.rows import Content, Row
from schemas.control import SALT_SIZE, Entry, Receipt

STRIDE: Final = 8
# Entries that the database is given at a time: enough that what each part costs does not count, and few enough that it
# does not wait for long for the first. The last are few: when they are made, it has nearly all of the others.
PART: Final = 100
LAST: Final = 25


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

    def content(self) -> Iterator[list[Content]]:
        """The rows of `ledger_content`, in parts that are encoded, salted and hashed as they are asked for."""
        start = 0
        while part := self.entries[start : start + _width(len(self.entries) - start)]:
            drawn = secrets.token_bytes(SALT_SIZE * len(part))
            salts = [drawn[place : place + SALT_SIZE] for place in range(0, len(drawn), SALT_SIZE)]
            encoded = [entry.to_bytes() for entry in part]
            self.salts += salts
            self.encoded += encoded
            self.leaves += map(leaf_of, salts, encoded)
            indices = range(self.old.size + start, self.old.size + start + len(part))
            events, times = [entry.event for entry in part], [entry.at for entry in part]
            start += len(part)
            yield list(zip(indices, events, times, salts, encoded, strict=True))

    def grow(self) -> None:
        """Appends the leaves, once all content was made."""
        self.tree, self.completed = self.old.append(self.leaves)

    def receipts(self) -> tuple[Receipt, ...]:
        """Of each entry, under the checkpoint of `tree`."""
        paths = proofs(self.old.size, self.tree.size, {**self.old.nodes(), **self.completed})
        indices = range(self.old.size, self.tree.size)
        return tuple(map(Receipt, indices, self.encoded, self.salts, paths))

    def subtrees(self) -> list[Row]:
        """The rows of `ledger_subtree`."""
        return [(*at, value) for at, value in self.completed.items() if at[0] and not at[0] % STRIDE]


def _width(left: int) -> int:
    """Of the next part of so many entries."""
    return min(PART, max(LAST, left // 2))


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
