"""A ledger as it is served is verified by the Go checksum database's packages, which nobody here wrote."""

import base64
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from crypto import merkle
from crypto.cosignature import add_cosignatures, cosign
from crypto.proof import SUFFIX, proof_of
from crypto.tiles import Tile, bundle, tile_bytes, tiles_of
from tests.crypto.cosigners import AT, LOG, RO, RO_PQ, Ledger
from tests.crypto.golang import build, needs_go

SIZE = 3 * 256 + 77
OLDER = (1, 2, 255, 256, 257, 512, 700, SIZE - 1)
PROVEN = (0, 1, 255, 256, 511, 768, SIZE - 1)

pytestmark = needs_go
Verify = Callable[[Path], "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def verify(tmp_path_factory: pytest.TempPathFactory) -> Verify:
    program = build(tmp_path_factory.mktemp("go"))
    return lambda served: subprocess.run([program, served], capture_output=True, text=True)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger, its proofs and its past in the files that verify.go names."""
    folder = tmp_path_factory.mktemp("served")

    def put(name: str, data: bytes) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    ledger = Ledger(SIZE)
    nodes, commitments = ledger.nodes(), ledger.commitments()
    checkpoint = ledger.checkpoint()
    lines = cosign(checkpoint, RO, AT) + cosign(checkpoint, RO_PQ, AT)
    checkpoint = add_cosignatures(checkpoint, lines, [RO.verifier, RO_PQ.verifier])
    put("log.vkey", LOG.verifier.vkey().encode())
    put("witness.vkey", RO.verifier.vkey().encode())
    put("checkpoint", checkpoint.encode())
    for tile in tiles_of(SIZE):
        put(tile.path(), tile_bytes(tile, nodes))
        if tile.level == 0:
            put(tile.entries_path(), bundle(commitments[tile.index * 256 :][: tile.width]))
    for index in PROVEN:
        put(f"proof/{index}{SUFFIX}", str(proof_of(ledger.receipt(index), checkpoint)).encode())
    for size in OLDER:
        proof = merkle.consistency_proof(size, SIZE, nodes)
        put(f"older/{size}", Ledger(size).checkpoint().encode())
        put(f"consistency/{size}", "".join(f"{base64.b64encode(item).decode()}\n" for item in proof).encode())
    return folder


def test_go_verifies_checkpoint_tiles_entries_and_proofs(served: Path, verify: Verify) -> None:
    done = verify(served)
    assert (done.stderr, done.stdout) == ("", f"entries {SIZE} proofs {len(PROVEN)} older {len(OLDER)}\n")


ALTERED = {
    "checkpoint": 19,
    "witness.vkey": -3,
    Tile(0, 1).path(): 5000,
    Tile(1, 0, SIZE // 256).path(): 40,
    Tile(0, 2).entries_path(): 3000,
    f"proof/256{SUFFIX}": 60,
    f"older/{OLDER[3]}": 25,
    f"consistency/{OLDER[2]}": 50,
}


@pytest.mark.parametrize("name", ALTERED)
def test_go_refuses_what_is_altered(served: Path, verify: Verify, tmp_path: Path, name: str) -> None:
    copy = shutil.copytree(served, tmp_path / "copy")
    data = bytearray((copy / name).read_bytes())
    data[ALTERED[name] % len(data)] ^= 1
    (copy / name).write_bytes(data)
    done = verify(copy)
    assert done.returncode == 1 and done.stderr, done.stdout
