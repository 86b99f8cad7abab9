"""The Merkle tree against RFC 6962's own words, written out naively, and against vectors that nobody here wrote."""

import base64
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto import merkle
from crypto.errors import ProofInvalid
from crypto.merkle import CompactRange

VECTORS = Path(__file__).parents[2].parent / "shared" / "vectors" / "merkle"
LARGEST = 40
LEAVES = [merkle.leaf_hash(bytes([number])) for number in range(LARGEST)]

# The leaves and roots of the tests of Certificate Transparency.
CT_LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
CT_ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def split(size: int) -> int:
    """The largest power of two smaller than `size`."""
    power = 1
    while power * 2 < size:
        power *= 2
    return power


def naive_root(leaves: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    middle = split(len(leaves))
    return hashlib.sha256(b"\x01" + naive_root(leaves[:middle]) + naive_root(leaves[middle:])).digest()


def naive_path(index: int, leaves: list[bytes]) -> list[bytes]:
    """RFC 6962 section 2.1.1, word for word."""
    if len(leaves) == 1:
        return []
    middle = split(len(leaves))
    if index < middle:
        return [*naive_path(index, leaves[:middle]), naive_root(leaves[middle:])]
    return [*naive_path(index - middle, leaves[middle:]), naive_root(leaves[:middle])]


def naive_proof(size: int, leaves: list[bytes], known: bool = True) -> list[bytes]:
    """RFC 6962 section 2.1.2, word for word."""
    if size == len(leaves):
        return [] if known else [naive_root(leaves)]
    middle = split(len(leaves))
    if size <= middle:
        return [*naive_proof(size, leaves[:middle], known), naive_root(leaves[middle:])]
    return [*naive_proof(size - middle, leaves[middle:], False), naive_root(leaves[:middle])]


@cache
def root_of(size: int) -> bytes:
    """The naive root over the first leaves."""
    return naive_root(LEAVES[:size])


def nodes(level: int, place: int) -> bytes:
    """The perfect subtrees of the largest tree, naively."""
    return naive_root(LEAVES[place << level : (place + 1) << level])


def test_roots_are_those_of_certificate_transparency() -> None:
    leaves = [merkle.leaf_hash(bytes.fromhex(leaf)) for leaf in CT_LEAVES]
    assert [merkle.root(leaves[:size]).hex() for size in range(9)] == CT_ROOTS


def test_leaves_and_nodes_are_hashed_apart() -> None:
    assert merkle.leaf_hash(b"data") == hashlib.sha256(b"\x00data").digest()
    assert merkle.node_hash(b"left", b"right") == hashlib.sha256(b"\x01leftright").digest()


@pytest.mark.parametrize("size", range(LARGEST + 1))
def test_the_root_is_that_of_the_definition(size: int) -> None:
    assert merkle.root(LEAVES[:size]) == root_of(size)


@pytest.mark.parametrize("size", range(1, LARGEST + 1))
def test_inclusion_proofs_are_those_of_the_definition_and_verify(size: int) -> None:
    for index in range(size):
        proof = merkle.inclusion_proof(index, size, nodes)
        assert proof == naive_path(index, LEAVES[:size])
        merkle.verify_inclusion(index, size, LEAVES[index], proof, root_of(size))


@pytest.mark.parametrize("size", range(1, LARGEST + 1))
def test_an_inclusion_proof_proves_nothing_else(size: int) -> None:
    for index in range(size):
        proof = merkle.inclusion_proof(index, size, nodes)
        wrong: list[tuple[int, int, bytes, list[bytes], bytes]] = [
            (index, size, LEAVES[index], proof, bytes(32)),
            (index, size, bytes(32), proof, root_of(size)),
            (index, size, LEAVES[index], [*proof, bytes(32)], root_of(size)),
            (size, size, LEAVES[index], proof, root_of(size)),
            (-1, size, LEAVES[index], proof, root_of(size)),
            (index, size, LEAVES[index][:31], proof, root_of(size)),
            *((other, size, LEAVES[index], proof, root_of(size)) for other in range(size) if other != index),
        ]
        for place in range(len(proof)):
            altered = [*proof[:place], bytes(32), *proof[place + 1 :]]
            wrong.append((index, size, LEAVES[index], altered, root_of(size)))
            wrong.append((index, size, LEAVES[index], proof[:place], root_of(size)))
            wrong.append((index, size, LEAVES[index], [*proof[:place], proof[place][:31]], root_of(size)))
        for arguments in wrong:
            with pytest.raises(ProofInvalid):
                merkle.verify_inclusion(*arguments)


@pytest.mark.parametrize("size2", range(1, LARGEST + 1))
def test_consistency_proofs_are_those_of_the_definition_and_verify(size2: int) -> None:
    for size1 in range(1, size2 + 1):
        proof = merkle.consistency_proof(size1, size2, nodes)
        assert proof == naive_proof(size1, LEAVES[:size2])
        merkle.verify_consistency(size1, size2, proof, root_of(size1), root_of(size2))


@pytest.mark.parametrize("size2", range(2, LARGEST + 1))
def test_a_consistency_proof_proves_nothing_else(size2: int) -> None:
    for size1 in range(1, size2):
        proof = merkle.consistency_proof(size1, size2, nodes)
        wrong: list[tuple[int, int, list[bytes], bytes, bytes]] = [
            (size1, size2, proof, bytes(32), root_of(size2)),
            (size1, size2, proof, root_of(size1), bytes(32)),
            (size1, size2, proof, root_of(size2), root_of(size1)),
            (size1, size2, [*proof, bytes(32)], root_of(size1), root_of(size2)),
            (size1, size2, proof[:-1], root_of(size1), root_of(size2)),
            (size1, size2, [], root_of(size1), root_of(size2)),
            (size2, size1, proof, root_of(size1), root_of(size2)),
            (0, size2, proof, root_of(0), root_of(size2)),
        ]
        for place in range(len(proof)):
            altered = [*proof[:place], bytes(32), *proof[place + 1 :]]
            wrong.append((size1, size2, altered, root_of(size1), root_of(size2)))
        for arguments in wrong:
            with pytest.raises(ProofInvalid):
                merkle.verify_consistency(*arguments)


def test_a_tree_that_was_rewritten_is_not_consistent() -> None:
    rewritten = [LEAVES[0], bytes(32), *LEAVES[2:]]

    def rewritten_nodes(level: int, place: int) -> bytes:
        return naive_root(rewritten[place << level : (place + 1) << level])

    for size1 in range(2, LARGEST):
        proof = merkle.consistency_proof(size1, LARGEST, rewritten_nodes)
        with pytest.raises(ProofInvalid):
            merkle.verify_consistency(size1, LARGEST, proof, root_of(size1), naive_root(rewritten))


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 1), (-1, 5), (5, 5), (9, 5)])
def test_there_is_no_proof_of_a_leaf_outside(index: int, size: int) -> None:
    with pytest.raises(ProofInvalid):
        merkle.inclusion_proof(index, size, nodes)


@pytest.mark.parametrize(("size1", "size2"), [(0, 0), (0, 5), (6, 5), (-1, 5)])
def test_there_is_no_proof_from_nothing_or_backwards(size1: int, size2: int) -> None:
    with pytest.raises(ProofInvalid):
        merkle.consistency_proof(size1, size2, nodes)
    with pytest.raises(ProofInvalid):
        merkle.verify_consistency(size1, size2, [], root_of(0), root_of(0))


def test_trees_of_one_size_need_one_root_and_no_proof() -> None:
    merkle.verify_consistency(5, 5, [], root_of(5), root_of(5))
    for proof, root in (([], root_of(4)), ([bytes(32)], root_of(5))):
        with pytest.raises(ProofInvalid):
            merkle.verify_consistency(5, 5, proof, root_of(5), root)


@given(st.lists(st.integers(0, 20), max_size=6))
@settings(max_examples=60, deadline=None)
def test_appending_in_any_batches_gives_the_tree_of_the_definition(batches: list[int]) -> None:
    leaves = [merkle.leaf_hash(number.to_bytes(2)) for number in range(sum(batches))]
    grown, stored = CompactRange(0, ()), dict[tuple[int, int], bytes]()
    for batch in batches:
        grown, completed = grown.append(leaves[grown.size : grown.size + batch])
        assert not completed.keys() & stored.keys()
        stored |= completed
    assert grown.size == len(leaves)
    assert grown.root() == naive_root(leaves)
    perfect = {
        (level, place): naive_root(leaves[place << level : (place + 1) << level])
        for level in range(8)
        for place in range(len(leaves) >> level)
    }
    assert stored == perfect
    assert grown.nodes().items() <= perfect.items()
    assert CompactRange(grown.size, tuple(grown.nodes().values())) == grown


def vector_files(kind: str) -> list[Path]:
    return sorted((VECTORS / kind).rglob("*.json"))


def hashes_of(values: list[str] | None) -> list[bytes]:
    return [base64.b64decode(value) for value in values or []]


def name_of(path: Path) -> str:
    return str(path.relative_to(VECTORS))


def judge(vector: dict[str, Any]) -> None:
    root = "root1" if "root1" in vector else "root"
    proof = hashes_of(vector["proof"])
    if root == "root1":
        roots = hashes_of([vector["root1"] or "", vector["root2"] or ""])
        merkle.verify_consistency(vector["size1"], vector["size2"], proof, *roots)
    else:
        leaf, top = hashes_of([vector["leafHash"] or "", vector["root"] or ""])
        merkle.verify_inclusion(vector["leafIdx"], vector["treeSize"], leaf, proof, top)


@pytest.mark.skipif(not VECTORS.exists(), reason="the vectors of transparency-dev are not beside the repository")
@pytest.mark.parametrize("kind", ["inclusion", "consistency"])
def test_the_vectors_of_transparency_dev(kind: str) -> None:
    files = vector_files(kind)
    assert len(files) > 30
    accepted = 0
    for path in files:
        vector = json.loads(path.read_text())
        if vector["wantErr"]:
            with pytest.raises(ProofInvalid):
                judge(vector)
                pytest.fail(name_of(path))
        else:
            judge(vector)
            accepted += 1
    assert accepted > 0
