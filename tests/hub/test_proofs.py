"""The proofs of a whole batch at once are those that RFC 6962 defines."""

import pytest

from crypto import merkle
from hub import batch


@pytest.mark.parametrize("before", [*range(20), 255, 256, 257, 300_123])
@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 40, 257])
def test_proofs_of_a_batch_are_those_of_its_leaves(before: int, count: int) -> None:
    leaves = [merkle.leaf_hash(str(number).encode()) for number in range(count)]
    frontier = tuple(merkle.leaf_hash(bytes([number])) for number in range(before.bit_count()))
    old = merkle.CompactRange(before, frontier)
    new, completed = old.append(leaves)
    nodes = {**old.nodes(), **completed}
    found = batch.proofs(before, new.size, nodes)
    for index, (leaf, proof) in enumerate(zip(leaves, found, strict=True), before):
        assert list(proof) == merkle.inclusion_proof(index, new.size, lambda *place: nodes[place])
        merkle.verify_inclusion(index, new.size, leaf, proof, new.root())
