"""An exported ledger in which another key took the place of the one that signed."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pytest

from crypto import merkle
from crypto.errors import CryptoError, LedgerFault, LedgerUnproven
from crypto.export import handover_file, roster_file
from crypto.handover import sign_handover
from crypto.keys import SigningKey
from crypto.note import Checkpoint, sign_note
from crypto.policy import Policy
from crypto.receipt import leaf_of
from nodes.verify_ledger import verify_ledger
from nodes.verify_words import ledger_fields, ledger_lines
from schemas.control import Entry, Event
from tests.crypto import exported
from tests.crypto.exhibits import salt, signed_roster
from tests.crypto.exported import SIZE, Ledger
from tests.crypto.handing import NEW, OLD, ORIGIN, THIEF, handover, signer, told
from tests.crypto.people import BG, HU, HUB, NOW, Person

# The first entry behind the checkpoint of 4.
PLACE = 4
LEAVES = [leaf_of(salt(index), exported.entry(index).to_bytes()) for index in range(PLACE)]
SAID = handover(size=PLACE, root=merkle.root(LEAVES), roster=1)
SIGNED = sign_handover(SAID, OLD, NEW)
SECOND = signed_roster(2, BG, HU, signer=Person("hub", NEW, HUB.encryption))


def _entry(index: int) -> bytes:
    if index == PLACE:
        return told(SAID).entry
    if index == 11:
        digest = hashlib.sha256(SECOND).digest()
        return Entry(event=Event.ROSTER, at=NOW, node="seci", evidence=digest, detail="version 2").to_bytes()
    return exported.entry(index).to_bytes()


@dataclass
class Handed(Ledger):
    """The ledger, of which the old key signed the first five checkpoints' trees and the new one the rest."""

    last: int = PLACE + 1
    """Up to so many entries the old key signs."""

    def note(self, size: int) -> str:
        by = [signer(NEW)] * (size > PLACE) + [signer(OLD)] * (size <= self.last)
        return sign_note(Checkpoint(ORIGIN, size, merkle.root(self.leaves[:size])).text(), *by)


def _written(folder: Path, last: int = PLACE + 1, signed: bytes | None = SIGNED, roster: bytes = SECOND) -> Path:
    Handed(entries=[_entry(index) for index in range(SIZE)], last=last).write(folder)
    (folder / roster_file(2)).write_bytes(roster)
    if signed is not None:
        (folder / handover_file(PLACE)).parent.mkdir()
        (folder / handover_file(PLACE)).write_bytes(signed)
    return folder


def _policy(*keys: SigningKey) -> Policy:
    return Policy.of([signer(key).verifier for key in keys], [], 0)


@pytest.mark.parametrize("policy", [None, _policy(OLD), _policy(NEW), _policy(OLD, NEW)])
def test_a_ledger_is_proven_across_the_handover(tmp_path: Path, policy: Policy | None) -> None:
    found = verify_ledger(_written(tmp_path), policy, (), lambda *_: None)
    assert (found.cosigned.checkpoint.size, found.rosters, found.handovers) == (SIZE, 2, (SAID,))
    assert ledger_fields(found)["handovers"][0]["index"] == PLACE
    assert any("was handed over by entry 4" in line for line in ledger_lines(found))


def _fault(folder: Path, policy: Policy | None = None) -> LedgerFault:
    with pytest.raises(LedgerUnproven) as caught:
        verify_ledger(folder, policy, (), lambda *_: None)
    return caught.value.fault


def test_a_handover_that_is_missing_or_another_one_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(CryptoError):
        verify_ledger(_written(tmp_path / "1", signed=None), _policy(OLD), (), lambda *_: None)
    another = sign_handover(SAID.model_copy(update={"at": NOW + 1}), OLD, NEW)
    assert _fault(_written(tmp_path / "2", signed=another)) == LedgerFault.HANDOVER_WRONG
    elsewhere = sign_handover(SAID.model_copy(update={"size": PLACE + 1}), OLD, NEW)
    assert _fault(_written(tmp_path / "3", signed=elsewhere)) == LedgerFault.HANDOVER_WRONG
    stranger = sign_handover(SAID, THIEF, NEW)
    assert _fault(_written(tmp_path / "4", signed=stranger)) == LedgerFault.HANDOVER_WRONG


def test_what_the_old_key_signs_after_the_handover_is_not_the_ledger_s(tmp_path: Path) -> None:
    stolen = _written(tmp_path / "1")
    # Each later checkpoint by the old key alone.
    ledger = Handed(entries=[_entry(index) for index in range(SIZE)], last=SIZE)
    ledger.notes = {size: _without_new(note) if size > PLACE + 1 else note for size, note in ledger.notes.items()}
    ledger.write(stolen)
    with pytest.raises(CryptoError):
        verify_ledger(stolen, _policy(OLD), (), lambda *_: None)
    forged = _written(tmp_path / "2", roster=signed_roster(2, BG, HU))
    assert _fault(forged) == LedgerFault.ROSTER_WRONG


def _without_new(note: str) -> str:
    text, _, lines = note.partition("\n\n")
    return f"{text}\n\n" + lines.splitlines(keepends=True)[-1]
