"""Vectors of the ledger's proofs: its checkpoint with cosignatures, a policy, proofs on disk, tiles."""

from typing import Final

from crypto.cosignature import Cosigner, time_of
from crypto.errors import NoteInvalid
from crypto.keys import SigningKey
from crypto.mldsa import MlDsaKey
from crypto.note import Checkpoint, Note, NoteSigner, Signature
from crypto.policy import Policy
from crypto.proof import LogProof, without_content
from crypto.receipt import commitment_of
from crypto.tiles import bundle, tiles_of
from tests.vectors.fixed import CREATED, ORIGIN, SIGNERS, Document, material
from tests.vectors.ledger import receipts

AT: Final = CREATED // 1000
LOG: Final = NoteSigner(ORIGIN, SIGNERS["hub"])
LOG_PQ: Final = Cosigner(ORIGIN, MlDsaKey.from_seed(material("ML-DSA-44 key of hub")))
WITNESSES: Final = tuple(
    Cosigner(f"{node}.seci.example/witness", key)
    for node, key in (
        ("ro", SigningKey.from_seed(material("witness key of ro"))),
        ("bg", MlDsaKey.from_seed(material("witness key of bg"))),
    )
)


def proofs(before: Document) -> Document:
    """`proofs.json`, of the ledger of `receipts.json`."""
    ledger = receipts({})
    leaves = [bytes.fromhex(leaf["leaf"]) for leaf in ledger["leaves"]]
    contents = [(bytes.fromhex(leaf["salt"]), bytes.fromhex(leaf["entry_bytes"])) for leaf in ledger["leaves"]]
    text = Checkpoint(ORIGIN, len(leaves), bytes.fromhex(ledger["root"])).text()
    cosigners = (LOG_PQ, *WITNESSES)
    signatures = (LOG.sign(text), *(_kept(cosigner, text, before) for cosigner in cosigners))
    checkpoint = str(Note(text, signatures))
    policy = Policy.of([LOG.verifier, LOG_PQ.verifier], [witness.verifier for witness in WITNESSES], 2)
    found = []
    for receipt in ledger["receipts"]:
        hashes = tuple(bytes.fromhex(item) for item in receipt["proof"])
        found.append(LogProof(receipt["index"], hashes, checkpoint, b"".join(contents[receipt["index"]])))
    commitments = [commitment_of(salt, entry) for salt, entry in contents]
    (tile,) = tiles_of(len(leaves))
    return {
        "log": {"vkey": LOG.verifier.vkey(), "signing_private": LOG.key.private_bytes().hex()},
        "cosigners": [
            {
                "vkey": cosigner.verifier.vkey(),
                "seed": cosigner.key.seed.hex()
                if isinstance(cosigner.key, MlDsaKey)
                else cosigner.key.private_bytes()[1:].hex(),
                "at": AT,
                "message": cosigner.verifier.message(text, AT).hex(),
            }
            for cosigner in cosigners
        ],
        "checkpoint": checkpoint,
        "policy": policy.to_bytes().decode(),
        "proofs": [str(proof) for proof in found],
        "proof_without_content": str(without_content(found[0])),
        "commitments": [item.hex() for item in commitments],
        "tiles": [
            {"path": tile.path(), "data": b"".join(leaves).hex()},
            {"path": tile.entries_path(), "data": bundle(commitments).hex()},
        ],
    }


def _kept(cosigner: Cosigner, text: str, before: Document) -> Signature:
    # ML-DSA-44 signs otherwise each time; what is there is kept as long as it fits.
    try:
        kept = Note.parse(before.get("checkpoint", ""))
        signature = Note(text, kept.signatures).check(cosigner.verifier)
    except NoteInvalid:
        return cosigner.sign(text, AT)
    return signature if time_of(signature.value) == AT else cosigner.sign(text, AT)
