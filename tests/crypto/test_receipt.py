"""Receipts: what they prove they prove without the hub, and nothing else passes."""

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import pytest

from crypto import merkle
from crypto.errors import CryptoError, NoteInvalid, ProofInvalid, ReceiptInvalid
from crypto.keys import SigningKey
from crypto.note import Checkpoint, NoteSigner, sign_note
from crypto.receipt import leaf_of, verify_receipts
from schemas.control import ControlRefused, Entry, Event, Receipt, Receipts
from tests.crypto.people import HUB, RO

ORIGIN = "ledger.example.org"
SIGNER = NoteSigner(ORIGIN, HUB.signing)
ENTRIES = [Entry(event=Event.ACCEPTED, at=number, node="ro") for number in range(7)]
SALTS = [hashlib.sha256(bytes([number])).digest() for number in range(7)]


@dataclass(frozen=True)
class Ledger:
    """A tree over given entry bytes."""

    entries: tuple[bytes, ...]

    def receipt(self, index: int) -> Receipt:
        subtrees = merkle.CompactRange(0, ()).append(self.leaves())[1]
        proof = merkle.inclusion_proof(index, len(self.entries), lambda level, place: subtrees[level, place])
        return Receipt(index=index, entry=self.entries[index], salt=SALTS[index], proof=tuple(proof))

    def leaves(self) -> list[bytes]:
        return [leaf_of(salt, entry) for salt, entry in zip(SALTS, self.entries, strict=True)]

    def checkpoint(self, signer: NoteSigner = SIGNER, origin: str = ORIGIN) -> str:
        return sign_note(Checkpoint(origin, len(self.entries), merkle.root(self.leaves())).text(), signer)

    def bundle(self, *indexes: int, **changes: Any) -> Receipts:
        fields = {"checkpoint": self.checkpoint(), "receipts": tuple(self.receipt(index) for index in indexes)}
        return Receipts(**fields | changes)


LEDGER = Ledger(tuple(entry.to_bytes() for entry in ENTRIES))


def check(bundle: Receipts) -> list[Entry]:
    return [proven.entry for proven in verify_receipts(bundle, ORIGIN, SIGNER.verifier)]


def changed(**changes: Any) -> Receipts:
    """A bundle with one receipt, for entry 3, in which something is changed."""
    return LEDGER.bundle(receipts=(replace(LEDGER.receipt(3), **changes),))


def test_a_good_bundle_proves_its_entries_in_their_places() -> None:
    bundle = LEDGER.bundle(*range(7))
    proven = verify_receipts(Receipts.from_bytes(bundle.to_bytes()), ORIGIN, SIGNER.verifier)
    assert [found.entry for found in proven] == ENTRIES
    assert [found.index for found in proven] == list(range(7))
    assert {found.checkpoint.size for found in proven} == {7}


def test_a_leaf_is_the_rfc_6962_hash_of_the_salted_commitment() -> None:
    commitment = hashlib.sha256(SALTS[0] + b"entry").digest()
    assert leaf_of(SALTS[0], b"entry") == hashlib.sha256(b"\x00" + commitment).digest()


def test_a_wrong_salt_is_refused() -> None:
    with pytest.raises(ProofInvalid):
        check(changed(salt=SALTS[4]))


def test_another_entry_is_refused() -> None:
    with pytest.raises(ProofInvalid):
        check(changed(entry=LEDGER.entries[4]))


@pytest.mark.parametrize("index", [0, 1, 2, 4, 5, 6, 7, 11, 2**40])
def test_a_wrong_index_is_refused(index: int) -> None:
    with pytest.raises(ProofInvalid):
        check(changed(index=index))


def test_a_proof_that_is_altered_shortened_or_lengthened_is_refused() -> None:
    proof = LEDGER.receipt(3).proof
    for wrong in (proof[:-1], (*proof, bytes(32)), proof[::-1], (bytes(32), *proof[1:]), ()):
        with pytest.raises(ProofInvalid):
            check(changed(proof=wrong))


def test_one_bad_receipt_refuses_the_bundle() -> None:
    bad = replace(LEDGER.receipt(3), index=4)
    with pytest.raises(ProofInvalid):
        check(LEDGER.bundle(receipts=(LEDGER.receipt(0), bad)))


def test_a_checkpoint_of_another_log_is_refused() -> None:
    other = LEDGER.checkpoint(origin="other.example.org")
    with pytest.raises(ReceiptInvalid, match=r"'other\.example\.org'"):
        check(LEDGER.bundle(3, checkpoint=other))


def test_a_checkpoint_signed_by_another_key_is_refused() -> None:
    for signer in (NoteSigner(ORIGIN, RO.signing), NoteSigner("other.example.org", HUB.signing)):
        with pytest.raises(NoteInvalid):
            check(LEDGER.bundle(3, checkpoint=LEDGER.checkpoint(signer)))


def test_a_checkpoint_with_another_size_or_root_loses_its_signature() -> None:
    text, signature = LEDGER.checkpoint().split("\n\n")
    for altered in (text.replace("\n7\n", "\n8\n"), text.replace(ORIGIN, "x" + ORIGIN)):
        assert altered != text
        with pytest.raises(NoteInvalid):
            check(LEDGER.bundle(3, checkpoint=f"{altered}\n\n{signature}"))


def test_a_receipt_under_a_checkpoint_of_another_tree_is_refused() -> None:
    grown = Ledger((*LEDGER.entries[:3], b"another", *LEDGER.entries[4:]))
    with pytest.raises(ProofInvalid):
        check(LEDGER.bundle(3, checkpoint=grown.checkpoint()))


def test_a_proven_leaf_that_is_no_entry_is_refused() -> None:
    ledger = Ledger((b"hello", *LEDGER.entries[1:]))
    with pytest.raises(ControlRefused):
        check(ledger.bundle(0))


@pytest.mark.parametrize("checkpoint", ["", "\n", "hello", "a\n\nb\n", "\N{EM DASH} x AAAA\n"])
def test_a_checkpoint_that_is_no_note_is_refused(checkpoint: str) -> None:
    with pytest.raises(CryptoError):
        check(LEDGER.bundle(3, checkpoint=checkpoint))


def test_a_fresh_key_of_the_hub_s_name_is_not_believed() -> None:
    forger = NoteSigner(ORIGIN, SigningKey.generate())
    forged = Ledger((Entry(event=Event.REFUSED, at=0, node="ro").to_bytes(), *LEDGER.entries[1:]))
    with pytest.raises(NoteInvalid):
        check(forged.bundle(0, checkpoint=forged.checkpoint(forger)))
