"""Proofs on disk: their form, and that they prove their entry under a witnessed checkpoint and nothing else."""

import base64
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto import merkle
from crypto.cosignature import add_cosignatures, cosign, sign_checkpoint
from crypto.errors import NoteInvalid, NotWitnessed, ProofInvalid, ProofMalformed, ReceiptInvalid
from crypto.note import Checkpoint
from crypto.policy import Policy
from crypto.proof import LogProof, proof_of, verify_entry, without_content
from crypto.receipt import leaf_of
from schemas.control import ControlRefused
from tests.crypto.cosigners import AT, BG, LOG, LOG_PQ, ORIGIN, RO, Ledger

LEDGER = Ledger(11)
NOTE = LEDGER.checkpoint()
COSIGNED = add_cosignatures(NOTE, cosign(NOTE, RO, AT) + cosign(NOTE, BG, AT), [RO.verifier, BG.verifier])
POLICY = Policy.of([LOG.verifier, LOG_PQ.verifier], [RO.verifier, BG.verifier], 2)
PROOF = proof_of(LEDGER.receipt(4), COSIGNED)
HASH = base64.b64encode(bytes(32)).decode()


def test_a_proof_is_the_text_of_the_specification() -> None:
    text = str(LogProof(5, (bytes(32), b"\xff" * 32), "checkpoint\n", b"extra"))
    ones = base64.b64encode(b"\xff" * 32).decode()
    assert text == f"c2sp.org/tlog-proof@v1\nextra ZXh0cmE=\nindex 5\n{HASH}\n{ones}\n\ncheckpoint\n"
    assert str(LogProof(0, (), "checkpoint\n")) == "c2sp.org/tlog-proof@v1\nindex 0\n\ncheckpoint\n"


@given(
    st.integers(0, 10**19 - 1),
    st.lists(st.binary(min_size=32, max_size=32), max_size=63),
    st.binary(max_size=200),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=50),
)
@settings(max_examples=50, deadline=None)
def test_a_proof_comes_back_as_it_was(index: int, hashes: list[bytes], extra: bytes, checkpoint: str) -> None:
    proof = LogProof(index, tuple(hashes), checkpoint, extra)
    assert LogProof.parse(str(proof)) == proof


HEAD = "c2sp.org/tlog-proof@v1\n"
MALFORMED = {
    "nothing": "",
    "another header": "c2sp.org/tlog-proof@v2\nindex 0\n\nc\n",
    "no index": f"{HEAD}\nc\n",
    "no empty line": f"{HEAD}index 0\nc\n",
    "an index with a leading zero": f"{HEAD}index 00\n\nc\n",
    "an index below zero": f"{HEAD}index -1\n\nc\n",
    "an index of twenty digits": f"{HEAD}index {'1' * 20}\n\nc\n",
    "two spaces before the index": f"{HEAD}index  1\n\nc\n",
    "an index after a hash": f"{HEAD}{HASH}\nindex 1\n\nc\n",
    "extra after the index": f"{HEAD}index 1\nextra AAAA\n\nc\n",
    "extra twice": f"{HEAD}extra AAAA\nextra AAAA\nindex 1\n\nc\n",
    "extra without data": f"{HEAD}extra \nindex 1\n\nc\n",
    "extra that does not read": f"{HEAD}extra AAA\nindex 1\n\nc\n",
    "extra with loose bits": f"{HEAD}extra AB==\nindex 1\n\nc\n",
    "a hash too short": f"{HEAD}index 1\n{base64.b64encode(bytes(31)).decode()}\n\nc\n",
    "a hash that does not read": f"{HEAD}index 1\n{HASH[:-1]}\n\nc\n",
    "a blank behind a hash": f"{HEAD}index 1\n{HASH} \n\nc\n",
    "sixty-four hashes": f"{HEAD}index 1\n" + f"{HASH}\n" * 64 + "\nc\n",
    "carriage returns": f"{HEAD}index 1\n\nc\n".replace("\n", "\r\n"),
}


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_proof_is_refused(text: str) -> None:
    with pytest.raises(ProofMalformed):
        LogProof.parse(text)


@pytest.mark.parametrize("size", [1, 2, 7, 11])
def test_every_entry_is_proven_from_its_text_alone(size: int) -> None:
    ledger = Ledger(size)
    note = ledger.checkpoint()
    signed = add_cosignatures(note, cosign(note, RO, AT) + cosign(note, BG, AT), [RO.verifier, BG.verifier])
    for index in range(size):
        text = str(proof_of(ledger.receipt(index), signed))
        proven, cosigned = verify_entry(LogProof.parse(text), POLICY)
        assert (proven.index, proven.entry.at, proven.checkpoint) == (index, index, ledger.text())
        assert cosigned.witnesses == ((RO.name, AT), (BG.name, AT))


def test_without_its_content_a_proof_still_holds_for_the_commitment() -> None:
    bare = LogProof.parse(str(without_content(PROOF)))
    assert LEDGER.entry(4).hex() not in str(bare)
    commitment = LEDGER.commitments()[4]
    assert bare.verify(merkle.leaf_hash(commitment), POLICY).quorum
    with pytest.raises(ReceiptInvalid):
        verify_entry(bare, POLICY)


def test_a_proof_proves_nothing_else() -> None:
    for wrong in (
        replace(PROOF, index=5),
        replace(PROOF, index=11),
        replace(PROOF, hashes=PROOF.hashes[:-1]),
        replace(PROOF, hashes=(*PROOF.hashes, bytes(32))),
        replace(PROOF, hashes=PROOF.hashes[::-1]),
        replace(PROOF, extra=LEDGER.salt(5) + PROOF.extra[32:]),
        replace(PROOF, extra=PROOF.extra + b"\0"),
    ):
        with pytest.raises(ProofInvalid):
            verify_entry(wrong, POLICY)
    for short in (b"", PROOF.extra[:32], b"x"):
        with pytest.raises(ReceiptInvalid):
            verify_entry(replace(PROOF, extra=short), POLICY)


def test_a_proven_leaf_that_is_no_entry_is_refused() -> None:
    salt, data = bytes(32), b"hello"
    note = sign_checkpoint(Checkpoint(ORIGIN, 1, leaf_of(salt, data)), LOG, LOG_PQ, AT)
    with pytest.raises(ControlRefused):
        verify_entry(LogProof(0, (), note, salt + data), POLICY.unwitnessed())


def test_a_proof_without_its_quorum_is_refused_unless_the_log_s_word_will_do() -> None:
    alone = replace(PROOF, checkpoint=NOTE)
    with pytest.raises(NotWitnessed):
        verify_entry(alone, POLICY)
    assert verify_entry(alone, POLICY.unwitnessed())[0].index == 4


def test_a_proof_under_another_log_s_checkpoint_is_refused() -> None:
    altered = replace(PROOF, checkpoint=COSIGNED.replace("\n11\n", "\n12\n"))
    for wrong in (altered, replace(PROOF, checkpoint=""), replace(PROOF, checkpoint="text\n")):
        with pytest.raises(NoteInvalid):
            verify_entry(wrong, POLICY)
    with pytest.raises(ProofInvalid):
        other = Ledger(12).checkpoint()
        verify_entry(replace(PROOF, checkpoint=other), POLICY.unwitnessed())
