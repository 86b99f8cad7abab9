"""RFC 6962 Merkle trees: hashes, proofs, and appending without the whole tree in hand.

A tree of n leaves splits at the largest power of two below n. A *perfect subtree* (level, index)
covers the 2^level leaves from index * 2^level on; every hash in a proof is one, or is computed
from some. So proofs need only a function from (level, index) to a hash, wherever it looks them up.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, repeat
from typing import Final, Self

from crypto.errors import ProofInvalid

HASH_SIZE: Final = 32
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()

Nodes = Callable[[int, int], bytes]
"""The hash of the perfect subtree at (level, index)."""


def leaf_hash(data: bytes) -> bytes:
    """RFC 6962 section 2.1: SHA-256(0x00 || data)."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """RFC 6962 section 2.1: SHA-256(0x01 || left || right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(leaf_hashes: Sequence[bytes]) -> bytes:
    """The tree's root over leaf hashes, by the definition. For one million leaves, about a second."""
    return CompactRange(0, ()).append(leaf_hashes)[0].root()


def inclusion_proof(index: int, size: int, nodes: Nodes) -> list[bytes]:
    """The audit path of leaf `index` in the tree of `size` leaves (RFC 6962 section 2.1.1).

    Hashes of 32 bytes, the leaf's sibling first. Raises ProofInvalid for an index outside.
    """
    if not 0 <= index < size:
        raise ProofInvalid(f"there is no leaf {index} in a tree of {size}")
    path = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(_range_hash(middle, end, nodes))
            end = middle
        else:
            path.append(_range_hash(start, middle, nodes))
            start = middle
    return path[::-1]


def consistency_proof(size1: int, size2: int, nodes: Nodes) -> list[bytes]:
    """Proof that the tree of `size2` leaves begins with that of `size1` (RFC 6962 section 2.1.2).

    Raises ProofInvalid unless 0 < size1 <= size2.
    """
    if not 0 < size1 <= size2:
        raise ProofInvalid(f"no consistency proof from size {size1} to {size2}")
    path = []
    start, end = 0, size2
    while size1 != end:
        middle = start + _split(end - start)
        if size1 <= middle:
            path.append(_range_hash(middle, end, nodes))
            end = middle
        else:
            path.append(_range_hash(start, middle, nodes))
            start = middle
    # What is left is a subtree of both trees; it is known to the verifier only if it is all of the first.
    if start > 0:
        path.append(_range_hash(start, end, nodes))
    return path[::-1]


def verify_inclusion(index: int, size: int, leaf_hash: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Raises ProofInvalid unless `leaf_hash` is leaf `index` of the tree of `size` with this root.

    The algorithm of RFC 9162 section 2.1.3.2.
    """
    if not 0 <= index < size:
        raise ProofInvalid(f"there is no leaf {index} in a tree of {size}")
    _check_hashes(leaf_hash, root, *proof)
    value = leaf_hash
    for sibling, is_left in _climb(index, size - 1, proof):
        value = node_hash(sibling, value) if is_left else node_hash(value, sibling)
    if value != root:
        raise ProofInvalid("the inclusion proof does not lead to the root")


def verify_consistency(size1: int, size2: int, proof: Sequence[bytes], root1: bytes, root2: bytes) -> None:
    """Raises ProofInvalid unless the tree (size2, root2) begins with the tree (size1, root1).

    The algorithm of RFC 9162 section 2.1.4.2. A proof from the empty tree is an error.
    """
    if not 0 < size1 <= size2:
        raise ProofInvalid(f"no consistency proof from size {size1} to {size2}")
    _check_hashes(root1, root2, *proof)
    if size1 == size2:
        if proof or root1 != root2:
            raise ProofInvalid("trees of one size must have one root and need no proof")
        return
    # A first tree that is perfect is itself a subtree of the second: the proof leaves its root out.
    path = [root1, *proof] if size1 & (size1 - 1) == 0 else list(proof)
    if not path:
        raise ProofInvalid("the consistency proof is empty")
    place, last = size1 - 1, size2 - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    first = second = path[0]
    for sibling, is_left in _climb(place, last, path[1:]):
        if is_left:
            first = node_hash(sibling, first)
        second = node_hash(sibling, second) if is_left else node_hash(second, sibling)
    if first != root1 or second != root2:
        raise ProofInvalid("the consistency proof does not lead to both roots")


def _climb(place: int, last: int, proof: Sequence[bytes]) -> Iterator[tuple[bytes, bool]]:
    # The walk of RFC 9162 from `place` up to the root, where `last` is the level's last place: each hash
    # of the proof, and whether it is the left sibling. Raises ProofInvalid unless the proof ends at the root.
    for sibling in proof:
        if last == 0:
            raise ProofInvalid("the proof is too long")
        is_left = place & 1 == 1 or place == last
        yield sibling, is_left
        if is_left:
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        place, last = place >> 1, last >> 1
    if last != 0:
        raise ProofInvalid("the proof is too short")


@dataclass(frozen=True, slots=True)
class CompactRange:
    """All that is needed of a tree to append to it: the roots of its perfect subtrees, largest first."""

    size: int
    hashes: tuple[bytes, ...]

    def append(self, leaf_hashes: Sequence[bytes]) -> tuple[Self, dict[tuple[int, int], bytes]]:
        """The range with more leaves, and every perfect subtree that they completed, leaves included."""
        waiting = {level: value for (level, _), value in self.nodes().items()}
        completed: dict[tuple[int, int], bytes] = {}
        row, first, level = list(leaf_hashes), self.size, 0
        while row:
            completed.update(zip(zip(repeat(level), count(first)), row, strict=False))
            if first & 1:
                # The left sibling of the first was there before.
                row.insert(0, waiting.pop(level))
            if len(row) & 1:
                waiting[level] = row.pop()
            row, first, level = list(map(node_hash, row[::2], row[1::2])), first >> 1, level + 1
        hashes = tuple(waiting[level] for level in sorted(waiting, reverse=True))
        return type(self)(self.size + len(leaf_hashes), hashes), completed

    def nodes(self) -> dict[tuple[int, int], bytes]:
        """The range's perfect subtrees by (level, index)."""
        levels = [level for level in reversed(range(self.size.bit_length())) if self.size >> level & 1]
        return {(level, (self.size >> level) - 1): value for level, value in zip(levels, self.hashes, strict=True)}

    def root(self) -> bytes:
        """The tree's root. Of the empty tree, SHA-256 of nothing."""
        if not self.hashes:
            return EMPTY_ROOT
        value = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            value = node_hash(left, value)
        return value


def _split(size: int) -> int:
    return 1 << (size - 1).bit_length() - 1


def _range_hash(start: int, end: int, nodes: Nodes) -> bytes:
    # `start` is aligned to every perfect subtree that the range splits into.
    size = end - start
    if size & (size - 1) == 0:
        level = size.bit_length() - 1
        return nodes(level, start >> level)
    middle = start + _split(size)
    return node_hash(_range_hash(start, middle, nodes), _range_hash(middle, end, nodes))


def _check_hashes(*values: bytes) -> None:
    if any(len(value) != HASH_SIZE for value in values):
        raise ProofInvalid(f"every hash in a proof has {HASH_SIZE} bytes")
